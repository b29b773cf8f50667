//! What operators see: one request's id in the logs of all three processes, and
//! what each of them counts.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::service::Service;
use integration::wait::until;
use integration::{suite, tests};

fn main() -> ExitCode {
    suite::run(tests![one_request_id_in_all_logs, metrics_count])
}

fn names(service: &Service, id: &str) -> bool {
    service
        .log_lines()
        .iter()
        .any(|line| line["span"]["request_id"] == id)
}

async fn one_request_id_in_all_logs(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let forged = "0123456789abcdef0123456789abcdef";
    let request = chain
        .caller()?
        .get(format!("{}/version?secret=in-a-query", chain.url_by_host()));
    let answer = request.header("culvert-request-id", forged).send().await?;
    let id = answer
        .headers()
        .get("culvert-request-id")
        .context("no id")?
        .to_str()?
        .to_owned();
    ensure!(
        id.len() == 32 && id != forged,
        "the id is the server's own: {id}"
    );
    answer.bytes().await?;
    for service in chain.services() {
        until("the id in a log", SOON, || async {
            Ok(names(service, &id).then_some(()))
        })
        .await?;
        let log = std::fs::read_to_string(service.log())?;
        ensure!(
            !log.contains("in-a-query"),
            "a query stands in {}",
            service.log().display()
        );
    }
    chain.stop().await
}

async fn metrics_count(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let sidecar = chain.sidecar.as_ref().context("no sidecar")?;
    let counted = [
        (
            &chain.server,
            "tunnel_server_requests_total{outcome=\"answered\"}",
        ),
        (
            &chain.client,
            "tunnel_client_requests_total{outcome=\"answered\"}",
        ),
        (
            sidecar,
            "proxy_sidecar_requests_total{outcome=\"answered\"}",
        ),
    ];
    let caller = chain.caller()?;
    for _ in 0..3 {
        caller
            .get(format!("{}/version", chain.url_by_path()))
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
    }
    for (service, name) in counted {
        until(name, SOON, || async {
            Ok((service.metric(name).await? == Some(3.0)).then_some(()))
        })
        .await?;
    }
    let refused = caller
        .get(format!("{}/version", chain.url_by_host()))
        .header("authorization", "Bearer x");
    ensure!(refused.send().await?.status() == 401);
    let name = "tunnel_server_requests_total{outcome=\"unauthenticated\"}";
    until(name, SOON, || async {
        Ok((chain.server.metric(name).await? == Some(1.0)).then_some(()))
    })
    .await?;
    for (service, gauge) in [
        (&chain.server, "tunnel_server_open_requests"),
        (&chain.client, "tunnel_client_open_requests"),
        (sidecar, "proxy_sidecar_open_requests"),
    ] {
        until(gauge, SOON, || async {
            Ok((service.metric(gauge).await? == Some(0.0)).then_some(()))
        })
        .await?;
    }
    chain.stop().await
}
