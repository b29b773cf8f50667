//! piko: HTTP over streams of yamux in a WebSocket, in Go.

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8001;
const CALLERS: u16 = 8000;

pub(super) struct Piko;

#[async_trait(?Send)]
impl Peer for Piko {
    fn about(&self) -> About {
        About {
            name: "piko",
            version: "0.9.0",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Http,
            note: "from a folder of sources; without its logs of each request",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.go_sources("piko", ".")
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let arguments = [
            "server".to_owned(),
            format!("--proxy.bind-addr={}", place.at(CALLERS)),
            "--proxy.access-log.disable".to_owned(),
            format!("--upstream.bind-addr={}", place.at(LINK)),
            format!(
                "--upstream.tls.cert={}",
                place.identity.certificate.display()
            ),
            format!("--upstream.tls.key={}", place.identity.key.display()),
            format!("--admin.bind-addr={}", place.at(8002)),
            format!("--cluster.gossip.bind-addr={}", place.at(8003)),
            "--log.level=warn".to_owned(),
        ];
        let entries = (0..links).map(|number| {
            Entry::plain(place.at(CALLERS)).with_header("x-piko-endpoint", &format!("c{number}"))
        });
        Ok(Running {
            server: place.start(Role::Server, "piko", arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let arguments = [
            "agent".to_owned(),
            "http".to_owned(),
            format!("c{number}"),
            place.upstream.to_string(),
            format!("--connect.url=https://{}", place.dial),
            format!("--connect.tls.root-cas={}", place.identity.ca.display()),
            "--server.bind-addr=127.0.0.1:0".to_owned(),
            "--access-log.disable".to_owned(),
            "--log.level=warn".to_owned(),
        ];
        place.start(Role::Client, "piko", arguments)
    }
}
