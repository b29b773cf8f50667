//! chisel: SSH channels in a WebSocket, in Go; here over TLS.

use anyhow::Result;
use async_trait::async_trait;

use super::build::GoPeer;
use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8443;
const CALLERS: u16 = 5000;

pub(super) struct Chisel;

#[async_trait(?Send)]
impl Peer for Chisel {
    fn about(&self) -> About {
        About {
            name: "chisel",
            version: "1.11.3",
            link: Link::SshInTls,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.go(&GoPeer {
            name: "chisel",
            commands: &[("chisel", "github.com/jpillora/chisel", "")],
        })
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let arguments = [
            "server".to_owned(),
            "--reverse".to_owned(),
            format!("--host={}", place.host),
            format!("--port={LINK}"),
            format!("--auth=bench:{}", place.secret),
            format!("--tls-cert={}", place.identity.certificate.display()),
            format!("--tls-key={}", place.identity.key.display()),
        ];
        let entries = (0..links).map(|number| Entry::plain(place.at(CALLERS + number as u16)));
        Ok(Running {
            server: place.start(Role::Server, "chisel", arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let callers = place.at(CALLERS + number as u16);
        let arguments = [
            "client".to_owned(),
            format!("--auth=bench:{}", place.secret),
            format!("--tls-ca={}", place.identity.ca.display()),
            format!("https://{}", place.dial),
            format!("R:{callers}:{}", place.upstream),
        ];
        place.start(Role::Client, "chisel", arguments)
    }
}
