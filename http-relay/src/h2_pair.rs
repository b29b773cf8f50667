//! A stream of HTTP/2 between two ends, for tests.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::io::duplex;

/// The caller's end.
pub(crate) struct Caller {
    pub(crate) upload: SendStream<Bytes>,
    pub(crate) answer: client::ResponseFuture,
    /// Without it the connection would end.
    _sender: client::SendRequest<Bytes>,
}

/// The other one.
pub(crate) struct Called {
    pub(crate) upload: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
}

/// Opens a stream whose request has a body; both connections are driven until the test
/// ends.
pub(crate) async fn stream() -> (Caller, Called) {
    let (near, far) = duplex(1 << 20);
    let (near, far) = tokio::join!(client::handshake(near), server::handshake(far));
    let ((sender, connection), mut far) = (near.unwrap(), far.unwrap());
    tokio::task::spawn_local(async { drop(connection.await) });
    let mut sender = sender.ready().await.unwrap();
    let request = Request::builder().uri("http://localhost/").body(());
    let (answer, upload) = sender.send_request(request.unwrap(), false).unwrap();
    let (request, respond) = far.accept().await.unwrap().unwrap();
    tokio::task::spawn_local(async move { while far.accept().await.is_some() {} });
    let caller = Caller {
        upload,
        answer,
        _sender: sender,
    };
    let upload = request.into_body();
    (caller, Called { upload, respond })
}

/// The head of an answer.
pub(crate) fn head(headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    response
}
