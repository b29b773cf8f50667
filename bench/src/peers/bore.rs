//! bore: a relay of connections in Rust, without encryption.

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

/// It has no flag for another.
const LINK: u16 = 7835;
const CALLERS: u16 = 5000;

pub(super) struct Bore;

#[async_trait(?Send)]
impl Peer for Bore {
    fn about(&self) -> About {
        About {
            name: "bore",
            version: "0.6.0",
            link: Link::Plain,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "a connection to the server for each one of callers",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.cargo_install("bore-cli", self.about().version, true)
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let host = place.host.to_string();
        let arguments = ["server", "--bind-addr", &host, "--secret", &place.secret];
        let entries = (0..links).map(|number| Entry::plain(place.at(CALLERS + number as u16)));
        Ok(Running {
            server: place.start(Role::Server, "bore", arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let arguments = [
            "local".to_owned(),
            place.upstream.port().to_string(),
            "--local-host".to_owned(),
            place.upstream.ip().to_string(),
            "--to".to_owned(),
            place.dial.ip().to_string(),
            "--port".to_owned(),
            (CALLERS as usize + number).to_string(),
            "--secret".to_owned(),
            place.secret.clone(),
        ];
        place.start(Role::Client, "bore", arguments)
    }
}
