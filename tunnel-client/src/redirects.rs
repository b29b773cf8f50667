//! A server that says that the handshake is to be asked for elsewhere: on itself it is
//! followed, as where a slash is missing; the token goes to nobody else.

use http::Uri;
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::token::Token;
use url::{Position, Url};

use crate::dial::{Connection, Dial};
use crate::handshake::{self, Carried, HandshakeError};
use crate::server_url::ServerUrl;
use crate::steps::Steps;

/// As many are followed: two are one for a slash and one for a name.
const MOST: usize = 3;

/// As much of a stranger's host is shown, characters.
const LONGEST: usize = 120;

/// Does the handshake on a fresh connection to the server, and on others where it leads.
pub(crate) async fn shake_hands(
    dialer: &dyn Dial,
    mut connection: Connection,
    token: &Token,
    hello: &Hello,
    carrier: Carrier,
    steps: &Steps,
) -> Result<Carried, HandshakeError> {
    let server = dialer.server();
    let authority = server.authority();
    let mut path = server.handshake_path();
    for followed in 0.. {
        let shaken =
            handshake::shake_hands(connection, &authority, &path, token, hello, carrier, steps)
                .await;
        let Err(HandshakeError::Redirected { location }) = shaken else {
            return shaken;
        };
        if followed == MOST {
            break;
        }
        path = path_of(server, &path, &location)?;
        tracing::debug!(%server, "follows a redirect on the server itself");
        connection = dialer.dial(steps).await?;
    }
    Err(HandshakeError::Redirects(MOST))
}

/// Where on the server a redirect leads; an error if it leads elsewhere.
fn path_of(server: &ServerUrl, path: &str, location: &str) -> Result<String, HandshakeError> {
    let away = |to: &str| HandshakeError::LedAway {
        to: to.chars().take(LONGEST).collect(),
    };
    let base = format!("https://{}{path}", server.authority());
    let unreadable = |_| away("an address that cannot be read");
    let base = Url::parse(&base).map_err(unreadable)?;
    let target = base.join(location).map_err(unreadable)?;
    let is_same = target.scheme() == base.scheme()
        && target.host_str() == base.host_str()
        && target.port_or_known_default() == base.port_or_known_default();
    let path = &target[Position::BeforePath..Position::AfterQuery];
    if is_same && path.parse::<Uri>().is_ok() {
        return Ok(path.to_owned());
    }
    // Without a user, a path or a query, which may hold what is nobody's business.
    Err(match target.host_str() {
        Some(_) => away(&target.origin().ascii_serialization()),
        None => away(&format!("{}:", target.scheme())),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use service_kit::tasks::Tasks;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tunnel_protocol::token::TokenKind;

    use super::*;
    use crate::carriers::Carriers;
    use crate::dial::Dialling;

    /// Answers one request a connection.
    struct Scripted {
        server: ServerUrl,
        carriers: Carriers,
        answers: Vec<&'static str>,
        dialled: AtomicUsize,
        tasks: Tasks,
    }

    impl Dial for Scripted {
        fn server(&self) -> &ServerUrl {
            &self.server
        }

        fn proxy(&self) -> Option<String> {
            None
        }

        fn carriers(&self) -> &Carriers {
            &self.carriers
        }

        fn dial<'a>(&'a self, _: &'a Steps) -> Dialling<'a> {
            let (near, mut far) = duplex(8 << 10);
            let answer = self.answers[self.dialled.fetch_add(1, Ordering::Relaxed)];
            self.tasks.spawner().spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(far.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap();
                let answer = answer.replace("{path}", path);
                far.write_all(answer.as_bytes()).await.unwrap();
                far.write_all(b"\r\n\r\n").await.unwrap();
            });
            Box::pin(async move { Ok(Box::new(near) as Connection) })
        }
    }

    /// What becomes of it, and after how many connections.
    async fn shaken(answers: &[&'static str]) -> (String, usize) {
        let scripted = Scripted {
            server: "https://a.example/culvert".parse().unwrap(),
            carriers: Carriers::default(),
            answers: answers.to_vec(),
            dialled: AtomicUsize::new(0),
            tasks: Tasks::new(),
        };
        let token = Token::from_random(TokenKind::Connector, &[1; 32]);
        let hello = Hello {
            instance: "scripted".to_owned(),
            lane: 0,
            generation: 1,
            linked: Vec::new(),
            client_version: "0".to_owned(),
            subdomain: None,
            check: false,
        };
        let steps = Steps::default();
        let connection = scripted.dial(&steps).await.unwrap();
        let upgrade = Carrier::Upgrade;
        let shaken = shake_hands(&scripted, connection, &token, &hello, upgrade, &steps).await;
        let error = shaken.err().unwrap().to_string();
        (error, scripted.dialled.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn three_are_followed_and_no_more() {
        let slash = "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: {path}/";
        let end = "HTTP/1.1 404 Nowhere\r\nContent-Length: 0";
        let (error, count) = shaken(&[slash, slash, slash, end]).await;
        assert!(error.contains("answered 404"), "{error}");
        assert_eq!(count, 4);
        let (error, count) = shaken(&[slash; 5]).await;
        assert!(error.contains("more than 3 redirects"), "{error}");
        assert_eq!(count, 4);
        let without = "HTTP/1.1 302 Found\r\nContent-Length: 0";
        let (error, count) = shaken(&[without]).await;
        assert!(error.contains("answered 302"), "{error}");
        assert_eq!(count, 1);
    }

    #[tokio::test]
    async fn nobody_else_is_asked() {
        for status in ["301", "302", "303", "307", "308"] {
            let away = format!("HTTP/1.1 {status} Away\r\nLocation: https://sso.example/login");
            let (error, count) = shaken(&[away.leak()]).await;
            assert!(error.contains("https://sso.example,"), "{error}");
            assert!(error.contains("single sign-on"), "{error}");
            assert_eq!(count, 1);
        }
        let clear = "HTTP/1.1 301 Moved\r\nLocation: http://a.example/culvert";
        let (error, count) = shaken(&[clear]).await;
        assert!(error.contains("http://a.example,"), "{error}");
        assert_eq!(count, 1);
    }

    fn followed(location: &str) -> Result<String, String> {
        let server: ServerUrl = "https://a.example:8443/culvert".parse().unwrap();
        path_of(&server, "/culvert/tunnel/v1", location).map_err(|error| error.to_string())
    }

    #[test]
    fn on_the_server_itself_it_is_followed() {
        for (location, path) in [
            ("/culvert/tunnel/v1/", "/culvert/tunnel/v1/"),
            ("v1/", "/culvert/tunnel/v1/"),
            ("../other/v1?a=b", "/culvert/other/v1?a=b"),
            ("https://a.example:8443/x", "/x"),
            ("//a.example:8443/x#part", "/x"),
            ("https://A.EXAMPLE:8443", "/"),
            ("?again", "/culvert/tunnel/v1?again"),
        ] {
            assert_eq!(followed(location).unwrap(), path, "{location}");
        }
    }

    #[test]
    fn elsewhere_it_is_named_and_not_followed() {
        for (location, host) in [
            (
                "https://login.example/?next=secret",
                "https://login.example,",
            ),
            ("https://a.example/culvert/tunnel/v1", "https://a.example,"),
            ("http://a.example:8443/culvert", "http://a.example:8443,"),
            ("//b.example:8443/", "https://b.example:8443,"),
            (
                "https://user:secret@a.example.evil/",
                "https://a.example.evil,",
            ),
            ("https://a.example:8443@b.example/", "https://b.example,"),
            ("mailto:secret@a.example", "mailto:,"),
            ("https://", "cannot be read"),
        ] {
            let error = followed(location).unwrap_err();
            assert!(error.contains(host), "{location}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let long = format!("https://{}/", "x.".repeat(10_000));
        assert!(followed(&long).unwrap_err().len() < 500);
    }
}
