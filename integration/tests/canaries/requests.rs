//! Requests good and bad with a canary in each place, and what the tunnel itself
//! answered to them.

use anyhow::Result;
use integration::chain::{BASE_DOMAIN, CLUSTER};
use integration::raw_http::{Caller, RawUpstream};

use crate::planted::Canaries;

/// Where requests go, and who sends them.
pub(crate) struct Target<'a> {
    pub(crate) token: &'a str,
    /// A connector token that nobody knows.
    pub(crate) connector: &'a str,
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

/// One request, and whether the cluster gets it.
struct Case {
    request: String,
    reaches: bool,
}

fn cases(target: &Target<'_>, canaries: &mut Canaries) -> Vec<Case> {
    let host = format!("{CLUSTER}.{BASE_DOMAIN}");
    let bearer = format!("Authorization: Bearer {}\r\n", target.token);
    let line = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let reaches = |request: String| Case {
        request,
        reaches: true,
    };
    let refused = |request: String| Case {
        request,
        reaches: false,
    };
    let jwt = canaries.known("a JWT in a path", "eyJhbGciOi");
    let of_gitlab = canaries.known("GitLab's token in a path", "glpat-");
    let in_query = canaries.plain("a token in a query");
    let known_query = canaries.known("a token in a label selector", "ghp_");
    let headers = [
        ("Cookie", format!("session={}", canaries.plain("a cookie"))),
        ("Impersonate-User", canaries.plain("an impersonated user")),
        (
            "Impersonate-Extra-Scopes",
            canaries.plain("an impersonated scope"),
        ),
        ("X-Remote-User", canaries.plain("a user of a front proxy")),
        ("X-Api-Key", canaries.plain("a header of somebody's own")),
        (
            "Proxy-Authorization",
            format!("Basic {}", canaries.basic("a proxy's password")),
        ),
        (
            "Culvert-Sidecar-Secret",
            canaries.plain("a forged sidecar secret"),
        ),
        ("Culvert-Request-Id", canaries.plain("a forged request id")),
        ("X-Forwarded-For", canaries.plain("a forged address")),
    ];
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let agent = format!(
        "User-Agent: tool {}\r\n",
        canaries.known("a token in the user agent", "glpat-")
    );
    let body = canaries.plain("a request's body");
    let mut cases = vec![
        reaches(format!("{}{bearer}{lines}{agent}\r\n", line("/api"))),
        reaches(format!(
            "{}{bearer}\r\n",
            line(&format!("/api/v1/namespaces/{jwt}/pods/{of_gitlab}"))
        )),
        reaches(format!(
            "{}{bearer}\r\n",
            line(&format!(
                "/a?access_token={in_query}&labelSelector=a%3D{known_query}"
            ))
        )),
        reaches(format!(
            "POST /api HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{bearer}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )),
        // With the token among the subprotocols.
        reaches(format!(
            "GET /api/v1/pods?watch=1&token={in_query} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{}, v5.channel.k8s.io\r\n\r\n",
            canaries.subprotocol("the subprotocol", target.token)
        )),
    ];
    let authorizations = [
        format!("Basic {}", canaries.basic("a password")),
        format!("Bearer {}", canaries.plain("somebody's bearer token")),
        format!(
            "Bearer {}",
            canaries.known("a damaged token", "culvert_access_")
        ),
        format!("Bearer {}", target.connector),
        format!("Negotiate {}", canaries.plain("a Kerberos ticket")),
        format!("Digest response=\"{}\"", canaries.plain("a digest")),
        canaries.plain("no scheme"),
        format!("Bearer pat:1:{}", canaries.plain("GitLab's form")),
    ];
    for authorization in &authorizations {
        cases.push(refused(format!(
            "{}Authorization: {authorization}\r\n{lines}\r\n",
            line("/x")
        )));
    }
    // Several, a wrong host, a wrong path, an ambiguous one, a malformed request.
    let second = canaries.plain("a second credential");
    cases.push(refused(format!(
        "{}{bearer}Authorization: Bearer {second}\r\n\r\n",
        line("/x")
    )));
    for (host, path) in [
        ("other.example", format!("/{jwt}?{in_query}")),
        (BASE_DOMAIN, format!("/no/{of_gitlab}?key={in_query}")),
        (BASE_DOMAIN, format!("/clusters/a/{of_gitlab}")),
        (host.as_str(), format!("/a/../{jwt}?{in_query}")),
        (host.as_str(), format!("//{jwt}?{in_query}")),
    ] {
        cases.push(refused(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{bearer}\r\n"
        )));
    }
    cases.push(refused(format!(
        "{}{bearer}Content-Length: 3\r\nTransfer-Encoding: chunked\r\nCookie: {}\r\n\r\n",
        line("/x"),
        canaries.plain("a smuggler's cookie")
    )));
    cases.push(refused(format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nBad Header {}: x\r\n\r\n",
        canaries.plain("a header that is none")
    )));
    // A handshake that is refused.
    cases.push(refused(format!(
        "GET /tunnel/v1 HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: culvert\r\n\
         Authorization: Bearer {}\r\nCulvert-Protocol: 1\r\nCulvert-Instance: x\r\n\
         Culvert-Generation: 1\r\nCulvert-Client-Version: 1\r\n\r\n",
        target.connector
    )));
    cases
}

/// Sends them all; gives what the tunnel answered by itself.
pub(crate) async fn send_all<F>(
    connect: impl Fn() -> F,
    cluster: &RawUpstream,
    target: &Target<'_>,
    canaries: &mut Canaries,
) -> Result<String>
where
    F: Future<Output = Result<Caller>>,
{
    let of_the_cluster = format!(
        "Set-Cookie: a={}\r\nWWW-Authenticate: Basic realm=\"{}\"\r\nWarning: 299 - \"{}\"\r\n\r\n",
        canaries.plain("the cluster's cookie"),
        canaries.plain("the cluster's realm"),
        canaries.plain("the cluster's warning"),
    );
    let mut said = String::new();
    for case in cases(target, canaries) {
        let mut caller = connect().await?;
        caller.send(&case.request).await?;
        if case.reaches {
            let (mut connection, head) = cluster.request().await?;
            let answer = if head.contains("websocket") {
                SWITCHED
            } else {
                ANSWER
            };
            connection.send(format!("{answer}{of_the_cluster}")).await?;
            drop(connection);
            caller.rest().await?;
        } else {
            let (answer, _) = caller.rest().await?;
            said.push_str(&answer);
        }
    }
    // And one that the cluster never answers in HTTP.
    let mut caller = connect().await?;
    caller
        .send(format!(
            "GET /broken HTTP/1.1\r\nHost: {CLUSTER}.{BASE_DOMAIN}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            target.token
        ))
        .await?;
    let (mut connection, _) = cluster.request().await?;
    let noise = canaries.plain("an answer that is no HTTP");
    connection.send(format!("{noise}\r\n\r\n")).await?;
    drop(connection);
    said.push_str(&caller.rest().await?.0);
    Ok(said)
}
