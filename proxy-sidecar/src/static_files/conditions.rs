//! What a request asks of a file beside its name, made plain for tower-http, which
//! knows neither `If-Range` nor `If-None-Match`.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, Method};

/// Removes what does not count: as Go's file server, which gives no `ETag`, reads it.
/// Several ranges at once are one whole file here.
pub(super) fn simplify(headers: &mut HeaderMap, method: &Method, found: &Metadata) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads || headers.contains_key(IF_NONE_MATCH) {
        headers.remove(IF_MODIFIED_SINCE);
    }
    let several = headers
        .get(RANGE)
        .is_some_and(|range| range.as_bytes().contains(&b','));
    if found.len() == 0 || several || reads && is_of_another(headers, found.modified().ok()) {
        headers.remove(RANGE);
    }
}

/// Whether `If-Range` names another state of the file than that of `changed`.
fn is_of_another(headers: &HeaderMap, changed: Option<SystemTime>) -> bool {
    let Some(wanted) = headers.get(IF_RANGE).filter(|value| !value.is_empty()) else {
        return false;
    };
    let wanted = wanted.to_str().ok();
    // An ETag is no date.
    let wanted = wanted.and_then(|text| httpdate::parse_http_date(text).ok());
    match (wanted, changed) {
        (Some(wanted), Some(changed)) => seconds(wanted) != seconds(changed),
        _ => true,
    }
}

/// Dates in headers have no fractions.
fn seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH);
    since.ok().as_ref().map(Duration::as_secs)
}
