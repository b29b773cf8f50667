//! What h2 knows of a failure that it reports, or hyper does.

use std::error::Error;

use h2::Reason;

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a h2::Error> {
    error
        .downcast_ref()
        .or_else(|| error.source()?.downcast_ref())
}

/// Whether the peer broke HTTP/2's rules on the stream, which h2 has reset: it sent past
/// the window, or not what it announced. The connection lives on (RFC 9113, section
/// 5.4.2).
#[must_use]
pub fn is_peers_fault(error: &(dyn Error + 'static)) -> bool {
    cause(error).is_some_and(|error| error.is_reset() && error.is_library())
}

/// Whether the peer said goodbye before it looked at the request, which it tells with
/// the last stream that it did look at (RFC 9113, section 6.8).
#[must_use]
pub fn is_goodbye(error: &(dyn Error + 'static)) -> bool {
    cause(error).is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
    })
}

/// Whether the peer refused the stream and has not looked at the request (RFC 9113,
/// section 8.7).
#[must_use]
pub fn is_refused(error: &(dyn Error + 'static)) -> bool {
    cause(error).is_some_and(|error| {
        error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM)
    })
}
