//! rathole: a relay of connections in Rust, with native-tls.

use anyhow::Result;
use async_trait::async_trait;

use super::identity::PASSWORD;
use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 2333;
/// Of the first link's callers.
const CALLERS: u16 = 5000;

pub(super) struct Rathole;

#[async_trait(?Send)]
impl Peer for Rathole {
    fn about(&self) -> About {
        About {
            name: "rathole",
            version: "0.5.0",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "a connection to the server for each one of callers, some kept in reserve",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        // Not `--locked`: the `time` that it is locked to no longer builds.
        workshop.cargo_install("rathole", self.about().version, false)
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let identity = place.identity.pkcs12()?;
        let mut config = format!(
            "[server]\nbind_addr = \"{}\"\ndefault_token = \"{}\"\n\
             [server.transport]\ntype = \"tls\"\n\
             [server.transport.tls]\npkcs12 = \"{}\"\npkcs12_password = \"{PASSWORD}\"\n",
            place.at(LINK),
            place.secret,
            identity.display()
        );
        let mut entries = Vec::new();
        for number in 0..links {
            let callers = place.at(CALLERS + number as u16);
            config.push_str(&format!(
                "[server.services.api{number}]\nbind_addr = \"{callers}\"\n"
            ));
            entries.push(Entry::plain(callers));
        }
        let config = place.write("server.toml", &config)?;
        Ok(Running {
            server: place.start(Role::Server, "rathole", ["--server".to_owned(), config])?,
            link: place.at(LINK),
            entries,
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let config = format!(
            "[client]\nremote_addr = \"{}\"\ndefault_token = \"{}\"\n\
             [client.transport]\ntype = \"tls\"\n\
             [client.transport.tls]\ntrusted_root = \"{}\"\nhostname = \"localhost\"\n\
             [client.services.api{number}]\nlocal_addr = \"{}\"\n",
            place.dial,
            place.secret,
            place.identity.ca.display(),
            place.upstream
        );
        let config = place.write(&format!("client-{number}.toml"), &config)?;
        place.start(Role::Client, "rathole", ["--client".to_owned(), config])
    }
}
