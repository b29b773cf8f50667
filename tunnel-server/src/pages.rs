//! The server's own pages on the base domain.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};
use http_relay::RelayBody;
use http_relay::body::full;

const FRONT: &str = "<!doctype html>\n<html lang=\"en\"><title>Culvert</title>\n<h1>Culvert</h1>\n\
    <p>This is a tunnel-server. It serves the Kubernetes APIs of clusters that have connected to it, \
    each at a host name of its own.</p>\n</html>\n";

/// What anybody may see: middleboxes probe it, people look whether it is up.
pub(crate) fn front() -> Response<RelayBody> {
    let mut response = Response::new(full(FRONT));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
