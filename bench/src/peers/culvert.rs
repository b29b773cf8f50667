//! Ours: tunnel-server and tunnel-client as they are shipped, with a token to each link
//! and one for callers. Twice: with callers that speak TLS, and with callers that do not,
//! as all other tunnels have them here.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use async_trait::async_trait;
use integration::binaries::culvert;
use integration::chain::{BASE_DOMAIN, CALLER};
use integration::server_config::{ServerConfig, new_token, no_limits};
use integration::service::Service;
use tunnel_protocol::token::TokenKind;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;
use crate::generator::entry::Tls;

/// Ours, by whether its callers speak TLS.
pub(super) struct Culvert {
    pub(super) callers: Callers,
}

#[async_trait(?Send)]
impl Peer for Culvert {
    fn about(&self) -> About {
        About {
            name: match self.callers {
                Callers::Tls => "culvert",
                Callers::Plain => "culvert, plain callers",
            },
            version: env!("CARGO_PKG_VERSION"),
            link: Link::Tls,
            callers: self.callers,
            carries: Carries::Http,
            note: match self.callers {
                Callers::Tls => {
                    "callers' TLS and tokens, and an audit line for each request, are in its figures"
                }
                Callers::Plain => {
                    "the same with --plain-http-listen: tokens and audit lines, no TLS of callers"
                }
            },
        }
    }

    fn obtain(&self, _: &Workshop) -> Result<Programs> {
        // Before the first start, so that what is missing is said at once.
        culvert("tunnel-client")?;
        let server = culvert("tunnel-server")?;
        let folder = server.parent().context("a program in no folder")?;
        Ok(Programs::in_folder(std::path::absolute(folder)?))
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let access = new_token(TokenKind::Access);
        let mut config = ServerConfig::new(BASE_DOMAIN, &format!("{}:0", Ipv4Addr::LOCALHOST));
        // What is measured is the way of a request, not where it would be held up.
        config.limits = Some(no_limits());
        // What the client calls it over a longer way.
        config.extra_hosts = vec![place.far.to_string()];
        let names: Vec<_> = (0..links).map(cluster).collect();
        for name in &names {
            let connector = new_token(TokenKind::Connector);
            place.write(&format!("{name}-token"), connector.expose())?;
            config.cluster(name, &[&connector]);
        }
        let named: Vec<_> = names.iter().map(String::as_str).collect();
        config.caller(CALLER, &named, &[&access]);
        config.write(&place.folder.join("server.yaml"))?;
        let mut arguments = vec!["--config", "server.yaml", "--dev", "dev"];
        if self.callers == Callers::Plain {
            arguments.extend(["--plain-http-listen", "127.0.0.1:0"]);
        }
        let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        let server = start(place, "tunnel-server", &arguments).await?;
        let address = server.address.context("no address in the server's log")?;
        let mut entries = Vec::new();
        for name in &names {
            let host = format!("{name}.{BASE_DOMAIN}");
            let tls = match self.callers {
                Callers::Tls => Some(Tls::new(&place.folder.join("dev/ca.crt"), &host)?),
                Callers::Plain => None,
            };
            let called = server.plain_http.unwrap_or(address);
            let entry = Entry::plain(called)
                .with_host(format!("{host}:{}", address.port()))
                .with_header("Authorization", &format!("Bearer {}", access.expose()));
            entries.push(Entry { tls, ..entry });
        }
        Ok(Running {
            server: Part::new(Role::Server, server.id(), server),
            link: address,
            entries,
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let arguments = [
            "--server".to_owned(),
            format!("https://{}", place.dial),
            "--tls-server-name".to_owned(),
            "localhost".to_owned(),
            "--token-file".to_owned(),
            format!("{}-token", cluster(number)),
            "--ca-file".to_owned(),
            "dev/ca.crt".to_owned(),
            "--upstream".to_owned(),
            place.upstream.to_string(),
            "--admin-address".to_owned(),
            "127.0.0.1:0".to_owned(),
            "--reconnect-spread-ms".to_owned(),
            "0".to_owned(),
        ];
        let client = start(place, "tunnel-client", &arguments).await?;
        // What is called earlier waits for the link, or fails: how often is chance, and
        // counts where instructions are counted.
        client.says("linked").await?;
        Ok(Part::new(Role::Client, client.id(), client))
    }
}

async fn start(place: &Place<'_>, name: &'static str, arguments: &[String]) -> Result<Service> {
    let binary = place.programs.path(name);
    // As it is shipped: the server writes one line a request.
    Service::start_binary(
        place.spawner,
        name,
        &binary,
        "info",
        arguments,
        &place.folder,
    )
    .await
}

fn cluster(number: usize) -> String {
    format!("c{number}")
}
