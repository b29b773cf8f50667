//! frp: streams of yamux over TLS, in Go; here its kind `tcp`.

use anyhow::Result;
use async_trait::async_trait;

use super::build::GoPeer;
use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 7000;
const CALLERS: u16 = 5000;

pub(super) struct Frp;

#[async_trait(?Send)]
impl Peer for Frp {
    fn about(&self) -> About {
        About {
            name: "frp",
            version: "0.70.1",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "built without its web pages (tag noweb)",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.go(&GoPeer {
            name: "frp",
            commands: &[
                ("frps", "github.com/fatedier/frp/cmd/frps", "frps,noweb"),
                ("frpc", "github.com/fatedier/frp/cmd/frpc", "frpc,noweb"),
            ],
        })
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let config = format!(
            "bindAddr = \"{host}\"\nbindPort = {LINK}\nproxyBindAddr = \"{host}\"\n\
             log.level = \"warn\"\nauth.token = \"{}\"\ntransport.tls.force = true\n\
             transport.tls.certFile = \"{}\"\ntransport.tls.keyFile = \"{}\"\n",
            place.secret,
            place.identity.certificate.display(),
            place.identity.key.display(),
            host = place.host
        );
        let config = place.write("frps.toml", &config)?;
        let entries = (0..links).map(|number| Entry::plain(place.at(CALLERS + number as u16)));
        Ok(Running {
            server: place.start(Role::Server, "frps", ["-c".to_owned(), config])?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let config = format!(
            "serverAddr = \"{}\"\nserverPort = {}\nlog.level = \"warn\"\nloginFailExit = false\n\
             auth.token = \"{}\"\n\
             transport.tls.trustedCaFile = \"{}\"\ntransport.tls.serverName = \"localhost\"\n\
             [[proxies]]\nname = \"api{number}\"\ntype = \"tcp\"\nlocalIP = \"{}\"\n\
             localPort = {}\nremotePort = {}\n",
            place.dial.ip(),
            place.dial.port(),
            place.secret,
            place.identity.ca.display(),
            place.upstream.ip(),
            place.upstream.port(),
            CALLERS as usize + number
        );
        let config = place.write(&format!("frpc-{number}.toml"), &config)?;
        place.start(Role::Client, "frpc", ["-c".to_owned(), config])
    }
}
