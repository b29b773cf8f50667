//! The header names that belong to the tunnel. Whoever is not trusted to set
//! one has it removed: callers on the way in, clusters on the way out.

use http::HeaderName;

/// What every header of the tunnel's own starts with.
pub const PREFIX: &str = "culvert-";

/// One request's id, the same in the logs of all three processes: 32 hex digits.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("culvert-request-id");

/// On an answer that the tunnel made, not the cluster: a [`crate::Failure`] code.
pub const ERROR: HeaderName = HeaderName::from_static("culvert-error");

/// From tunnel-client to its sidecar: the secret that the sidecar made.
pub const SIDECAR_SECRET: HeaderName = HeaderName::from_static("culvert-sidecar-secret");

/// On the link: which kind of stream this is; absent for a caller's request.
pub const STREAM: HeaderName = HeaderName::from_static("culvert-stream");

/// The value of [`STREAM`] that opens the control stream.
pub const STREAM_CONTROL: &str = "control";

/// Whether a header name is the tunnel's own.
#[must_use]
pub fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// A request id from 128 random bits: 32 lower-case hex digits.
#[must_use]
pub fn request_id(random: u128) -> http::HeaderValue {
    let text = format!("{random:032x}");
    http::HeaderValue::from_str(&text).unwrap_or(http::HeaderValue::from_static("0"))
}
