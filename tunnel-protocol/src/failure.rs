//! What the tunnel itself can answer in the cluster's place, as codes that
//! cross a link and reach callers in the [`crate::header::ERROR`] header.

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why the tunnel answered instead of the cluster. A closed set: a code that
        /// is not here is dropped, so that no cluster can invent one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Failure {
            $($(#[$doc])* $name,)*
        }

        impl Failure {
            /// Every failure, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in the header.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Whether tunnel-client or the sidecar may say so. What only the server
            /// knows, such as whether a caller is proved, no cluster can tell callers.
            #[must_use]
            pub const fn is_of_the_clusters_side(self) -> bool {
                matches!(
                    self,
                    Self::BadRequest
                        | Self::BadAnswer
                        | Self::SidecarUnreachable
                        | Self::SidecarBroken
                        | Self::SidecarSecret
                        | Self::Filtered
                        | Self::ApiServerUnreachable
                        | Self::ApiServerBroken
                        | Self::CredentialUnavailable
                        | Self::Overloaded
                )
            }

            /// Reads a code.
            #[must_use]
            pub fn from_code(code: &[u8]) -> Option<Self> {
                match code { $(code if code == $code.as_bytes() => Some(Self::$name),)* _ => None }
            }
        }
    };
}

failures! {
    /// The request is malformed or ambiguous.
    BadRequest = "bad-request",
    /// A web page of another origin made a browser send the request.
    CrossOrigin = "cross-origin",
    /// No credential, or one that is not known.
    Unauthenticated = "unauthenticated",
    /// The caller may not call this cluster.
    Forbidden = "forbidden",
    /// A limit on what one address, caller or cluster may take is reached.
    TooManyRequests = "too-many-requests",
    /// There is no such cluster.
    UnknownCluster = "unknown-cluster",
    /// There is nothing at this path of the server's own.
    UnknownPath = "unknown-path",
    /// The host is not one of the server's.
    UnknownHost = "unknown-host",
    /// The cluster has no link at this moment.
    NoLink = "no-link",
    /// The link has as many open streams as it may.
    LinkFull = "link-full",
    /// Streams that stand still hold as much memory as they may.
    Overloaded = "overloaded",
    /// The link broke before the answer came.
    LinkBroken = "link-broken",
    /// The cluster's answer broke the rules of HTTP.
    BadAnswer = "bad-answer",
    /// No response headers in time.
    Timeout = "timeout",
    /// The server is ending.
    Draining = "draining",
    /// tunnel-client could not reach the sidecar.
    SidecarUnreachable = "sidecar-unreachable",
    /// The sidecar ended the connection before it answered.
    SidecarBroken = "sidecar-broken",
    /// tunnel-client has no secret for the sidecar, or the sidecar another one.
    SidecarSecret = "sidecar-secret",
    /// The sidecar's filter refused the request.
    Filtered = "filtered",
    /// The sidecar could not reach the API server.
    ApiServerUnreachable = "api-server-unreachable",
    /// The API server ended the connection before it answered.
    ApiServerBroken = "api-server-broken",
    /// The sidecar could not get the credential it sends to the API server.
    CredentialUnavailable = "credential-unavailable",
    /// The server cannot write down who called, and so serves nobody.
    AuditUnavailable = "audit-unavailable",
    /// A fault of the tunnel's own.
    Internal = "internal",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_strangers_are_dropped() {
        for failure in Failure::ALL {
            assert_eq!(
                Failure::from_code(failure.code().as_bytes()),
                Some(*failure)
            );
        }
        assert_eq!(Failure::from_code(b"made-up"), None);
    }
}
