//! The cluster's API, which counts what it is asked for.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::tasks::Tasks;
use tokio::time::sleep;
use turmoil::net::TcpListener;

use crate::ledger::{Ask, pattern};
use crate::stage::{Stage, UPSTREAM_PORT};

/// A body in pieces.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) async fn run(stage: Stage) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", UPSTREAM_PORT)).await?;
    let tasks = Tasks::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let stage = stage.clone();
        tasks.spawner().spawn(async move {
            let service = service_fn(move |request| answer(stage.clone(), request));
            let mut builder = http1::Builder::new();
            // The one that it would add is of another clock.
            builder.auto_date_header(false);
            let serving = builder
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // A client that is gone is no fault of its.
            drop(serving.await);
        });
    }
}

async fn answer(stage: Stage, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let Some(ask) = Ask::of(request.uri()) else {
        let mut response = Response::new(body(0, 0, 1, Duration::ZERO));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    stage.ledger.executes(ask.id);
    stage.trace.tell(format_args!("  #{} is executed", ask.id));
    if let Ok(sent) = request.into_body().collect().await {
        let sent = sent.to_bytes();
        if sent != pattern(ask.id, ask.upload) {
            stage.ledger.fault(format!(
                "#{}: of its body {} of {} bytes came, as if they were all",
                ask.id,
                sent.len(),
                ask.upload
            ));
        }
    }
    sleep(ask.wait).await;
    let mut response = Response::new(body(ask.id, ask.size, ask.pieces, ask.pause));
    if ask.length_is_said {
        let length = HeaderValue::from(ask.size);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    Ok(response)
}

/// A body in pieces with pauses between them.
pub(crate) fn body(id: u64, size: usize, pieces: usize, pause: Duration) -> Body {
    let whole = pattern(id, size);
    let piece = size.div_ceil(pieces.max(1)).max(1);
    let parts = stream::unfold((whole, true), move |(mut rest, is_first)| async move {
        if rest.is_empty() {
            return None;
        }
        if !is_first {
            sleep(pause).await;
        }
        let part = rest.split_to(piece.min(rest.len()));
        Some((Ok(Frame::data(part)), (rest, false)))
    });
    StreamBody::new(parts).boxed_unsync()
}
