//! One attempt to get a link.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::dial::{Dial, DialError};
use crate::handshake::{Carried, HandshakeError};
use crate::redirects::shake_hands;
use crate::steps::{Step, Steps};
use crate::token_source::{TokenSource, TokenSourceError};

/// For an answer, where another carrier may be what passes: a box may keep silent on what
/// it does not know.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Why an attempt gave no link.
#[derive(Debug, Error)]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Token(#[from] TokenSourceError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// What came of each.
    #[error(
        "something between here and the server does not pass the handshake ({0}): check the \
         address, and that proxies and load balancers pass HTTP upgrades or WebSocket"
    )]
    NoCarrier(String),
    #[error("{}", too_late(*.0))]
    Timeout(Step),
}

/// What was waited for in vain, and the cure.
fn too_late(step: Step) -> String {
    let cure = match step {
        Step::Resolve => {
            "the name server does not answer: check this machine's DNS, and that a network policy \
             allows port 53"
        }
        Step::Connect => {
            "a firewall drops what goes to that address: allow it there and in network policies, \
             or name the proxy that leads out in HTTPS_PROXY"
        }
        Step::Proxy => "the proxy takes the connection and is silent: check HTTPS_PROXY",
        Step::Tls => {
            "what listens there takes the connection and does not speak TLS: check the port in \
             --server, and firewalls that inspect TLS"
        }
        _ => {
            "the request to link is not answered: check that proxies and load balancers on the \
             way pass HTTP upgrades or WebSocket"
        }
    };
    format!("no answer within {} s: {cure}", HANDSHAKE_TIMEOUT.as_secs())
}

/// Reads the token anew, dials and shakes hands, and tells the steps.
pub(crate) async fn attempt(
    dialer: &dyn Dial,
    token: &TokenSource,
    hello: &Hello,
    steps: &Steps,
) -> Result<Carried, AttemptError> {
    let linked = by_any_carrier(dialer, token, hello, steps);
    timeout(HANDSHAKE_TIMEOUT, linked)
        .await
        .unwrap_or_else(|_| Err(AttemptError::Timeout(steps.last())))
}

async fn by_any_carrier(
    dialer: &dyn Dial,
    token: &TokenSource,
    hello: &Hello,
    steps: &Steps,
) -> Result<Carried, AttemptError> {
    steps.begins(Step::Settings);
    let token = token.read()?;
    let carriers = dialer.carriers();
    let mut failures: Vec<(Carrier, Failure)> = Vec::new();
    for carrier in carriers.in_order() {
        let connection = dialer.dial(steps).await?;
        let shaking = shake_hands(dialer, connection, &token, hello, carrier, steps);
        let is_last = failures.len() + 1 == Carrier::ALL.len();
        let patience = match is_last || carriers.are_known() {
            true => HANDSHAKE_TIMEOUT,
            false => ANSWER_TIMEOUT,
        };
        let failure = match timeout(patience, shaking).await {
            Ok(Ok(carried)) => {
                if carriers.worked(carrier) {
                    tracing::info!(carrier = carrier.name(), "what carries links from now on");
                }
                return Ok(carried);
            }
            Ok(Err(error)) if error.may_be_another_ones() => Failure::Handshake(error),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => Failure::Silent(patience),
        };
        failures.push((carrier, failure));
    }
    Err(no_carrier(failures))
}

/// Why a carrier does not pass.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Handshake(HandshakeError),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// What all of them met: a stranger's own cure is the better one.
fn no_carrier(mut failures: Vec<(Carrier, Failure)>) -> AttemptError {
    let texts = failures.iter().map(|(_, failure)| failure.to_string());
    let texts: BTreeSet<_> = texts.collect();
    if texts.len() > 1 {
        let each = failures.iter();
        let each = each.map(|(carrier, failure)| format!("{}: {failure}", carrier.name()));
        return AttemptError::NoCarrier(each.collect::<Vec<_>>().join("; "));
    }
    match failures.pop() {
        Some((_, Failure::Handshake(stranger @ HandshakeError::Stranger(_)))) => stranger.into(),
        _ => AttemptError::NoCarrier(texts.into_iter().collect()),
    }
}
