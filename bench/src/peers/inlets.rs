//! inlets: HTTP in a WebSocket, in Go, on remotedialer. Its server ends no TLS itself.

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8001;
const CALLERS: u16 = 8000;

pub(super) struct Inlets;

#[async_trait(?Send)]
impl Peer for Inlets {
    fn about(&self) -> About {
        About {
            name: "inlets",
            version: "3.0.2",
            link: Link::Plain,
            callers: Callers::Plain,
            carries: Carries::Http,
            note: "from a folder of sources",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.go_sources("inlets", ".")
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let arguments = [
            "server".to_owned(),
            format!("--data-addr={}", place.host),
            format!("--port={CALLERS}"),
            format!("--control-addr={}", place.host),
            format!("--control-port={LINK}"),
            format!("--token={}", place.secret),
        ];
        let entries =
            (0..links).map(|number| Entry::plain(place.at(CALLERS)).with_host(host(number)));
        Ok(Running {
            server: place.start(Role::Server, "inlets", arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let arguments = [
            "client".to_owned(),
            format!("--url=ws://{}", place.dial),
            format!("--upstream={}=http://{}", host(number), place.upstream),
            format!("--token={}", place.secret),
            "--insecure".to_owned(),
        ];
        place.start(Role::Client, "inlets", arguments)
    }
}

fn host(number: usize) -> String {
    format!("c{number}.culvert.test")
}
