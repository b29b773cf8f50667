//! hyper behind the guard, as the public listener has it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::reader::Read;
use crate::headers::has_token;
use crate::strict_http1::{Fault, StrictHttp1};

/// What came of a connection.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Requests that hyper gave to the service, with whole bodies.
    pub(super) requests: Vec<Read>,
    /// Targets of requests whose bodies were cut.
    pub(super) cut: Vec<String>,
    /// All that was answered.
    pub(super) answered: String,
    pub(super) fault: Option<Fault>,
}

impl Served {
    /// The answers' status codes.
    pub(super) fn codes(&self) -> Vec<&str> {
        let answers = self.answered.split("HTTP/1.1 ").skip(1);
        answers.map(|answer| &answer[..3]).collect()
    }
}

/// Sends these bytes, in pieces that end at `cuts`, and the end.
pub(super) async fn serve(bytes: &[u8], cuts: &[usize]) -> Served {
    let seen = Arc::new(Mutex::new(Served::default()));
    let (mut peer, io) = duplex(1 << 20);
    let (telling, asking) = (seen.clone(), seen.clone());
    let io = StrictHttp1::new(io, move |fault| {
        telling.lock().unwrap().fault = Some(fault);
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = asking.clone();
        async move {
            let closes = has_token(request.headers(), &CONNECTION, "upgrade");
            let target = request.uri().to_string().to_ascii_lowercase();
            let body = request.into_body().collect().await;
            let mut seen = seen.lock().unwrap();
            match body {
                Ok(body) => seen.requests.push(Read {
                    target,
                    body: body.to_bytes().to_vec(),
                }),
                Err(_) => seen.cut.push(target),
            }
            let mut response = Response::new(Full::new(Bytes::new()));
            if closes {
                // As the gateway does with an upgrade that it refuses.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    let talking = async {
        let mut sent = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            if end > sent && end <= bytes.len() {
                // It may have closed by now.
                drop(peer.write_all(&bytes[sent..end]).await);
                sent = end;
                tokio::task::yield_now().await;
            }
        }
        drop(peer.shutdown().await);
        let mut answered = Vec::new();
        peer.read_to_end(&mut answered).await.unwrap();
        String::from_utf8(answered).unwrap()
    };
    let (_ended, answered) = tokio::join!(connection, talking);
    let mut served = std::mem::take(&mut *seen.lock().unwrap());
    served.answered = answered;
    served
}
