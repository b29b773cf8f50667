//! A chain in front of a witness, and what each case must leave behind.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use integration::chain::{ApiServer, Chain, ChainOptions};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::http1::{self, Response};
use integration::played_cluster::OWN_TOKEN;
use integration::raw_http::{Caller, Ended};
use integration::server_config::no_limits;
use reqwest::Client;

use crate::witness::Witness;

/// Stands only where no request of ours goes.
pub(crate) const SMUGGLED: &str = "/smuggled";

/// A chain, its upstream, and a caller who is somebody else.
pub(crate) struct Stage {
    pub(crate) chain: Chain,
    pub(crate) witness: Witness,
    others: [Client; 2],
    cases: AtomicUsize,
}

/// A request that a case makes and that is to arrive: target and body.
pub(crate) type Made = (String, Vec<u8>);

impl Stage {
    /// The witness in the sidecar's place.
    pub(crate) async fn without_sidecar(environment: &Environment) -> Result<Self> {
        let witness = Witness::start().await?;
        let options = ChainOptions {
            upstream: Some(witness.address),
            // What is refused here comes all from one address.
            limits: Some(no_limits()),
            ..ChainOptions::bare()
        };
        Self::new(environment.chain_with(options).await?, witness)
    }

    /// The witness in the API server's place.
    pub(crate) async fn with_sidecar(environment: &Environment) -> Result<Self> {
        let witness = Witness::start().await?;
        let api_server = ApiServer {
            url: format!("http://{}", witness.address),
            // Not looked at over plain HTTP, but it has to be one.
            ca_pem: environment.api_server().await?.ca_pem,
            token: OWN_TOKEN.into(),
        };
        let options = ChainOptions {
            api_server: Some(api_server),
            // What is refused here comes all from one address.
            limits: Some(no_limits()),
            ..ChainOptions::bare()
        };
        Self::new(environment.chain_with(options).await?, witness)
    }

    fn new(chain: Chain, witness: Witness) -> Result<Self> {
        let others = [
            HttpVersion::Http1.caller(&chain)?,
            HttpVersion::Http2.caller(&chain)?,
        ];
        Ok(Self {
            chain,
            witness,
            others,
            cases: AtomicUsize::new(0),
        })
    }

    /// `Authorization: Bearer …`
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.chain.access_token.expose())
    }

    /// What nobody but a smuggler sends: good by itself.
    pub(crate) fn smuggled(&self) -> String {
        self.request("GET", SMUGGLED, "")
    }

    /// A good request by hostname, with lines of its own.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str) -> String {
        self.chain.raw_head(false, method, path, lines)
    }

    /// Fails unless the upstream got exactly `made` since the last case, and
    /// answers another caller's request on another connection as the next.
    pub(crate) async fn nothing_else_came(&self, made: &[Made]) -> Result<()> {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        let path = format!("/somebody-else/{number}");
        let url = format!("{}{path}", self.chain.url_by_host());
        let other = &self.others[number % 2];
        let answer = other.get(url).send().await?.error_for_status()?;
        ensure!(answer.text().await? == path, "another's answer");
        let mut came: Vec<Made> = self
            .witness
            .take()
            .into_iter()
            .map(|request| (request.target, request.body))
            .collect();
        let last = came.pop().context("the other's request did not come")?;
        ensure!(last.0 == path, "{} came behind the other's", last.0);
        let text = |made: &[Made]| -> Vec<String> {
            let line = |(path, body): &Made| format!("{path} {:?}", String::from_utf8_lossy(body));
            made.iter().map(line).collect()
        };
        ensure!(
            came == made,
            "{:#?} came instead of {:#?}",
            text(&came),
            text(made)
        );
        let faults = self.witness.faults();
        ensure!(
            faults.is_empty(),
            "the upstream got no requests: {faults:?}"
        );
        Ok(())
    }

    /// Ends the chain.
    pub(crate) async fn stop(self) -> Result<()> {
        self.chain.stop().await
    }
}

/// The answers on a connection that ends, and how it ended.
pub(crate) async fn answers(caller: &mut Caller) -> Result<(Vec<Response>, Ended)> {
    let (text, ended) = caller.rest().await?;
    let mut rest = text.as_bytes();
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let whole = http1::response(rest, "GET").with_context(|| format!("{text:?}"))?;
        let (answer, length) = whole.with_context(|| format!("an answer is cut: {text:?}"))?;
        answers.push(answer);
        rest = &rest[length..];
    }
    Ok((answers, ended))
}

/// A refusal of the gateway's own.
pub(crate) fn is_status(answer: &Response, code: u16) -> Result<()> {
    let error = http1::values(&answer.headers, "culvert-error").next();
    ensure!(
        answer.status == code && error.is_some(),
        "{} {error:?} instead of a Status {code}",
        answer.status
    );
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    ensure!(
        body["kind"] == "Status" && body["code"] == code,
        "not a Status: {body}"
    );
    Ok(())
}

/// A 400 of the HTTP library's, which knows no Status, and closes.
pub(crate) fn is_bare_400(answer: &Response) -> Result<()> {
    let closes = http1::values(&answer.headers, "connection").any(|value| value == b"close");
    ensure!(
        answer.status == 400 && closes && answer.body.is_empty(),
        "{answer:?} instead of a bare 400 that closes"
    );
    Ok(())
}
