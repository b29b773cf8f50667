//! remotedialer: connections in a WebSocket, in Go, as Rancher reaches its clusters; a
//! library, so that the program around it is ours (`peers/remotedialer`).

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8443;
const CALLERS: u16 = 8080;
const PROGRAM: &str = "remotedialer";

pub(super) struct Remotedialer;

#[async_trait(?Send)]
impl Peer for Remotedialer {
    fn about(&self) -> About {
        About {
            name: "remotedialer",
            version: "0.6.1",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Http,
            note: "a program of our own around it: Go's ReverseProxy with idle connections kept",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.own_go(PROGRAM)
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let arguments = [
            "server".to_owned(),
            place.at(CALLERS).to_string(),
            place.at(LINK).to_string(),
            place.identity.certificate.display().to_string(),
            place.identity.key.display().to_string(),
            place.secret.clone(),
            place.upstream.to_string(),
        ];
        let entries = (0..links).map(|number| {
            Entry::plain(place.at(CALLERS)).with_header("X-Cluster", &format!("c{number}"))
        });
        Ok(Running {
            server: place.start(Role::Server, PROGRAM, arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let arguments = [
            "client".to_owned(),
            format!("c{number}"),
            place.dial.to_string(),
            place.identity.ca.display().to_string(),
            place.secret.clone(),
        ];
        place.start(Role::Client, PROGRAM, arguments)
    }
}
