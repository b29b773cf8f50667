//! A chain with a recorder behind it: every call's answer is compared with what
//! the API server said in that same exchange.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::http1::{self, Headers, Request, Response};
use integration::recorder::Recorder;

use crate::caller::{Call, Protocol};

/// Tells a call's exchange from others on the API server's side.
const MARK: &str = "x-test-exchange";

/// Headers that belong to one connection.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The server's only addition by hostname.
const REQUEST_ID: &str = "culvert-request-id";

/// A chain whose exchanges are recorded.
pub(crate) struct RecordedChain {
    chain: Chain,
    recorder: Recorder,
    calls: AtomicU32,
}

impl RecordedChain {
    pub(crate) async fn start(environment: &Environment) -> Result<Self> {
        let token = environment.api_server().await?.token;
        Self::with_token(environment, &token).await
    }

    /// The sidecar's token is `token`.
    pub(crate) async fn with_token(environment: &Environment, token: &str) -> Result<Self> {
        let recorder = Recorder::start(&environment.api_server().await?).await?;
        let options = ChainOptions {
            api_server: Some(recorder.api_server(token)),
            ..ChainOptions::bare()
        };
        Ok(Self {
            chain: environment.chain_with(options).await?,
            recorder,
            calls: AtomicU32::new(0),
        })
    }

    /// Calls; fails unless the answer is the API server's, with that status.
    pub(crate) async fn call(
        &self,
        protocol: Protocol,
        status: u16,
        call: Call<'_>,
    ) -> Result<(Request, Response)> {
        let mark = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        let mut marked = call.clone();
        marked.headers.push((MARK, &mark));
        let got = protocol.send(&self.chain, &marked).await?;
        let what = format!("{protocol:?} {} {}", call.method, call.path);
        let body = String::from_utf8_lossy(&got.body);
        ensure!(got.status == status, "{what}: {}: {body}", got.status);

        let (request, said) = self.recorder.exchange(MARK, &mark)?;
        ensure!(
            got.status == said.status,
            "{what}: {} was said",
            said.status
        );
        ensure!(got.body == said.body, "{what}: another body: {body}");
        same(&format!("{what}: headers"), &got.headers, &said.headers)?;
        same(&format!("{what}: trailers"), &got.trailers, &said.trailers)?;
        ensure!(request.body == call.body, "{what}: another body was sent");
        Ok((request, got))
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.chain.stop().await
    }
}

fn same(what: &str, got: &Headers, said: &Headers) -> Result<()> {
    let mut got = end_to_end(got);
    got.retain(|(name, _)| name != REQUEST_ID);
    let said = end_to_end(said);
    ensure!(
        got == said,
        "{what}:\n{got:#?}\nbut the API server said\n{said:#?}"
    );
    Ok(())
}

fn end_to_end(headers: &Headers) -> Vec<(String, String)> {
    let lines = headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.escape_ascii().to_string()));
    lines
        .filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str()))
        .collect()
}

/// Fails unless the answer has the header; gives its first value.
pub(crate) fn header<'a>(response: &'a Response, name: &'a str) -> Result<&'a str> {
    let value = http1::values(&response.headers, name).next();
    let value = value.ok_or_else(|| anyhow::anyhow!("no {name} in {:?}", response.headers))?;
    Ok(std::str::from_utf8(value)?)
}
