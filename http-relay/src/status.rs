//! Errors as the Kubernetes API tells them: a `Status` object, which kubectl
//! and the client libraries print well.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tunnel_protocol::Failure;
use tunnel_protocol::header::ERROR;

use crate::body::{RelayBody, full};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: serde_json::Map<String, serde_json::Value>,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

/// The machine-readable reason that Kubernetes gives with a status code.
fn reason(code: StatusCode) -> &'static str {
    match code {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "Timeout",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY => "InternalError",
        _ => "",
    }
}

/// An answer of the tunnel's own. `message` tells a person what is wrong and
/// what to do; `retry_after` (seconds) only where waiting helps, as client-go
/// waits and retries on it.
#[must_use]
pub fn response(
    code: StatusCode,
    failure: Failure,
    message: &str,
    retry_after: Option<u32>,
) -> Response<RelayBody> {
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: serde_json::Map::new(),
        status: "Failure",
        message,
        reason: reason(code),
        code: code.as_u16(),
    };
    // Strings and numbers: this cannot fail.
    let body = serde_json::to_vec(&status).unwrap_or_default();
    let mut response = Response::new(full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ERROR, HeaderValue::from_static(failure.code()));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn it_is_what_client_libraries_read() {
        let response = response(
            StatusCode::SERVICE_UNAVAILABLE,
            Failure::NoLink,
            "no \"link\"",
            Some(1),
        );
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[ERROR], "no-link");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "no \"link\"", "reason": "ServiceUnavailable", "code": 503
            })
        );
    }
}
