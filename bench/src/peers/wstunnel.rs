//! wstunnel: a WebSocket over TLS for each connection, in Rust.

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8443;
const CALLERS: u16 = 5000;

pub(super) struct Wstunnel;

#[async_trait(?Send)]
impl Peer for Wstunnel {
    fn about(&self) -> About {
        About {
            name: "wstunnel",
            version: "10.6.2",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "from a folder of sources; its client does not verify the certificate",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.cargo_sources("wstunnel", "wstunnel-cli")
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let arguments = [
            "server".to_owned(),
            "--restrict-http-upgrade-path-prefix".to_owned(),
            place.secret.clone(),
            "--tls-certificate".to_owned(),
            place.identity.certificate.display().to_string(),
            "--tls-private-key".to_owned(),
            place.identity.key.display().to_string(),
            format!("wss://{}", place.at(LINK)),
        ];
        let entries = (0..links).map(|number| Entry::plain(place.at(CALLERS + number as u16)));
        Ok(Running {
            server: place.start(Role::Server, "wstunnel", arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let callers = place.at(CALLERS + number as u16);
        let arguments = [
            "client".to_owned(),
            "--http-upgrade-path-prefix".to_owned(),
            place.secret.clone(),
            "--remote-to-local".to_owned(),
            format!("tcp://{callers}:{}", place.upstream),
            format!("wss://{}", place.dial),
        ];
        place.start(Role::Client, "wstunnel", arguments)
    }
}
