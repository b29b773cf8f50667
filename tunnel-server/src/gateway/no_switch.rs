//! Requests to switch protocols that are not granted. Bytes of the other protocol
//! may stand behind them already: they must not be read as requests, which
//! `StrictHttp1` relies on.

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_relay::headers::has_token;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use service_kit::tasks::Spawner;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tunnel_protocol::limits::SWITCH_TIMEOUT;

/// What is to be done where a request's answer is no switch.
pub(super) struct NoSwitch {
    closes: bool,
    callers_side: Option<OnUpgrade>,
}

impl NoSwitch {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let asks = request.method() == Method::CONNECT
            || has_token(request.headers(), &CONNECTION, "upgrade");
        let closes = request.version() < Version::HTTP_2 && asks;
        let callers_side = request.extensions().get().cloned();
        Self {
            closes,
            callers_side,
        }
    }

    /// Ends the connection behind an answer that is no switch.
    pub(super) fn close<B>(self, response: &mut Response<B>, spawner: &Spawner) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        if self.closes {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if let Some(callers_side) = self.callers_side {
            spawner.spawn(end(callers_side));
        }
    }
}

/// hyper hands a connection over that has asked to switch, instead of ending it;
/// dropped it would look to its caller as if it had been cut.
async fn end(callers_side: OnUpgrade) {
    if let Ok(io) = callers_side.await {
        // A caller that is gone needs no end.
        drop(timeout(SWITCH_TIMEOUT, TokioIo::new(io).shutdown()).await);
    }
}
