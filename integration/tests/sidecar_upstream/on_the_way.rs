//! Proxies between proxy-sidecar and the API server, for ordinary requests and for
//! those that switch protocols.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::connect_proxy::ConnectProxy;
use integration::environment::Environment;
use integration::microsocks::Microsocks;
use integration::tinyproxy::Tinyproxy;
use local_kubernetes::ControlPlane;

use crate::sidecar::{Sidecar, Way};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n";
/// In the API server's certificate, and in no DNS.
const NAME: &str = "kubernetes.default.svc";

/// Both kinds of request.
async fn calls(sidecar: &Sidecar) -> Result<()> {
    let (status, version) = sidecar.get("/version").await?;
    ensure!(status == 200, "{version}");
    let watch = "/api/v1/namespaces?watch=true";
    let (mut connection, status) = sidecar.open(watch, UPGRADE).await?;
    ensure!(status == 101, "{status}");
    // The first event's frame.
    connection.exactly(2).await?;
    Ok(())
}

pub(crate) async fn an_http_proxy(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let sidecar = Sidecar::start(
        &environment,
        Way {
            proxy_url: Some(proxy.url()),
            ..Way::default()
        },
    )
    .await?;
    calls(&sidecar).await?;
    // One for all requests, and one for the upgrade.
    ensure!(proxy.connects()? == 2, "{} connections", proxy.connects()?);
    let socks = Microsocks::start(&environment.secrets).await?;
    let through_socks = Sidecar::start(
        &environment,
        Way {
            proxy_url: Some(socks.url()),
            ..Way::default()
        },
    )
    .await?;
    calls(&through_socks).await?;
    for sidecar in [sidecar, through_socks] {
        environment.secrets.must_not_be_in_file(&sidecar.log())?;
    }
    Ok(())
}

async fn resolving(control_plane: &ControlPlane) -> Result<ConnectProxy> {
    let address = control_plane.url().trim_start_matches("https://");
    ConnectProxy::start(address.parse()?).await
}

pub(crate) async fn proxies_of_the_environment(environment: Arc<Environment>) -> Result<()> {
    let proxy = resolving(environment.kubernetes().await?).await?;
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let way = Way {
            host: Some(NAME),
            variables: vec![
                format!("{variable}={}", proxy.url()),
                "NO_PROXY=10.0.0.0/8,elsewhere".to_owned(),
            ],
            ..Way::default()
        };
        calls(&Sidecar::start(&environment, way).await?).await?;
    }
    Ok(())
}

/// A proxy at which nobody is, so that whoever answers was reached without it.
pub(crate) async fn no_proxy_and_this_machine(environment: Arc<Environment>) -> Result<()> {
    let nobody = "HTTPS_PROXY=http://127.255.254.253:1".to_owned();
    let here = Way {
        variables: vec![nobody.clone()],
        ..Way::default()
    };
    calls(&Sidecar::start(&environment, here).await?).await?;

    let excepted = Way {
        host: Some(NAME),
        variables: vec![nobody, "NO_PROXY=.svc".to_owned()],
        ..Way::default()
    };
    let sidecar = Sidecar::start(&environment, excepted).await?;
    let (status, answer) = sidecar.get("/version").await?;
    // Reached directly it has no address here.
    let message = answer["message"].to_string();
    ensure!(status == 502 && message.contains("dns"), "{message}");
    Ok(())
}

pub(crate) async fn refusals_name_the_proxy(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let socks = Microsocks::start(&environment.secrets).await?;
    let nobody = "http://127.255.254.253:1".to_owned();
    for (url, shown, fault) in [
        (
            proxy.url_with("wrong"),
            proxy.address.to_string(),
            "does not take",
        ),
        (
            socks.url_with("wrong"),
            socks.address.to_string(),
            "leads nowhere",
        ),
        (nobody, "127.255.254.253:1".to_owned(), "cannot be reached"),
    ] {
        let way = Way {
            proxy_url: Some(url),
            ..Way::default()
        };
        let sidecar = Sidecar::start(&environment, way).await?;
        let (status, answer) = sidecar.get("/version").await?;
        let message = answer["message"].to_string();
        ensure!(
            status == 502 && message.contains(&shown) && message.contains(fault),
            "{status} {message}"
        );
        ensure!(!message.contains("wrong"), "{message}");
    }
    Ok(())
}
