//! What follows an answer's body. Readers may take trailers for headers, and the
//! cluster is a stranger: what its head may not say, they may not say either.

use http::HeaderName;
use http::header::{
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, HOST, LOCATION, TRAILER,
    X_CONTENT_TYPE_OPTIONS,
};
use http_relay::headers::{remove_hop_by_hop, remove_ours, retain};
use hyper::body::{Bytes, Frame};

use super::browser;

/// Where the answer goes on, and what we say of it ourselves: by then it is said.
const SAID_BY_THE_HEAD: [HeaderName; 7] = [
    CONTENT_LENGTH,
    TRAILER,
    HOST,
    LOCATION,
    CONTENT_LOCATION,
    CONTENT_SECURITY_POLICY,
    X_CONTENT_TYPE_OPTIONS,
];

/// Takes out of an answer's trailers what is taken out of heads or made anew there,
/// however the cluster was asked for.
pub(super) fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            remove_hop_by_hop(&mut trailers);
            remove_ours(&mut trailers, &[]);
            retain(&mut trailers, |name| {
                !SAID_BY_THE_HEAD.contains(name) && !browser::is_for_more_than_a_page(name)
            });
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn only_what_is_the_clusters_own_is_left() {
        let mut trailers = HeaderMap::new();
        for name in [
            "culvert-error",
            "culvert-request-id",
            "connection",
            "x-named",
            "keep-alive",
            "content-length",
            "trailer",
            "set-cookie",
            "strict-transport-security",
            "alt-svc",
            "clear-site-data",
            "access-control-allow-origin",
            "location",
            "refresh",
            "content-security-policy",
            "x-checksum",
            "grpc-status",
        ] {
            trailers.append(name, HeaderValue::from_static("x-named"));
        }
        let cleaned = clean(Frame::trailers(trailers)).into_trailers().unwrap();
        let left: Vec<_> = cleaned.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-checksum", "grpc-status"]);
    }

    #[test]
    fn data_stays_as_it_is() {
        let data = Frame::data(Bytes::from_static(b"culvert-error: x"));
        assert_eq!(clean(data).into_data().unwrap(), "culvert-error: x");
    }
}
