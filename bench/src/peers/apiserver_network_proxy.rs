//! apiserver-network-proxy ("konnectivity"): gRPC in Go, as an API server uses it: callers
//! ask by HTTP CONNECT on a Unix socket.

use anyhow::Result;
use async_trait::async_trait;
use integration::daemon::own_host;

use super::build::GoPeer;
use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;
use crate::generator::entry::Reach;

const LINK: u16 = 8091;
const SOCKET: &str = "callers.sock";

pub(super) struct ApiserverNetworkProxy;

#[async_trait(?Send)]
impl Peer for ApiserverNetworkProxy {
    fn about(&self) -> About {
        About {
            name: "apiserver-network-proxy",
            version: "0.36.0",
            link: Link::Tls,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "callers on a Unix socket; with several clients it takes any of them",
        }
    }

    fn obtain(&self, workshop: &Workshop) -> Result<Programs> {
        workshop.go(&GoPeer {
            name: "apiserver-network-proxy",
            commands: &[
                (
                    "proxy-server",
                    "sigs.k8s.io/apiserver-network-proxy/cmd/server",
                    "",
                ),
                (
                    "proxy-agent",
                    "sigs.k8s.io/apiserver-network-proxy/cmd/agent",
                    "",
                ),
            ],
        })
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        let (host, socket) = (place.host, place.folder.join(SOCKET));
        let arguments = [
            "--mode=http-connect".to_owned(),
            format!("--uds-name={}", socket.display()),
            "--server-port=0".to_owned(),
            format!("--agent-bind-address={host}"),
            format!("--agent-port={LINK}"),
            format!("--admin-bind-address={host}"),
            "--admin-port=8095".to_owned(),
            format!("--health-bind-address={host}"),
            "--health-port=8092".to_owned(),
            format!("--cluster-cert={}", place.identity.certificate.display()),
            format!("--cluster-key={}", place.identity.key.display()),
        ];
        let entry = Entry {
            reach: Reach::Unix(socket),
            connect: Some(place.upstream.to_string()),
            ..Entry::plain(place.upstream)
        };
        Ok(Running {
            server: place.start(Role::Server, "proxy-server", arguments)?,
            link: place.at(LINK),
            entries: vec![entry; links],
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        // Its own ports cannot be 0.
        let own = own_host();
        let arguments = [
            format!("--proxy-server-host={}", place.dial.ip()),
            format!("--proxy-server-port={}", place.dial.port()),
            format!("--ca-cert={}", place.identity.ca.display()),
            format!("--agent-id=agent-{number}"),
            format!("--health-server-host={own}"),
            "--health-server-port=8093".to_owned(),
            format!("--admin-bind-address={own}"),
            "--admin-server-port=8094".to_owned(),
        ];
        place.start(Role::Client, "proxy-agent", arguments)
    }
}
