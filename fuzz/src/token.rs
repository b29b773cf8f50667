//! A credential as it is shown to us, in files and headers. 33 bytes or more also
//! make a good token with one character changed.

use tunnel_protocol::token::{Token, TokenHash, TokenKind};

const KINDS: [TokenKind; 3] = [TokenKind::Connector, TokenKind::Access, TokenKind::Sidecar];

/// What is accepted reads the same again and is of one kind; what is refused is
/// not repeated; no single changed character is overlooked.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let accepted = KINDS.into_iter().filter(|kind| parse(*kind, &text)).count();
    assert!(accepted <= 1);
    match TokenHash::parse(&text) {
        Ok(hash) => assert_eq!(hash.to_string(), text),
        Err(error) => not_repeated(&text, &error.to_string()),
    }
    if let Some((random, [at, by, ..])) = bytes.split_first_chunk::<32>() {
        changed(random, usize::from(*at), *by);
    }
}

fn parse(kind: TokenKind, text: &str) -> bool {
    match Token::parse(kind, text) {
        Ok(token) => {
            assert_eq!(token.expose(), text.trim());
            assert!(TokenHash::parse(&token.hash().to_string()).is_ok_and(|it| it == token.hash()));
            assert!(!format!("{token:?}").contains(token.expose()));
            true
        }
        Err(error) => {
            not_repeated(text, &format!("{error} {error:?}"));
            false
        }
    }
}

fn changed(random: &[u8; 32], at: usize, by: u8) {
    for kind in KINDS {
        let token = Token::from_random(kind, random);
        assert!(parse(kind, token.expose()));
        let mut bytes = token.expose().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = by;
        if bytes != token.expose().as_bytes() {
            let text = String::from_utf8_lossy(&bytes);
            // White space around a token is not its own.
            assert!(!parse(kind, &text), "one changed character is overlooked");
        }
    }
}

/// No run of sixteen characters, which our own words do not have in common.
fn not_repeated(text: &str, error: &str) {
    let prefixes = KINDS.map(TokenKind::prefix);
    for run in text.as_bytes().windows(16) {
        let Ok(run) = std::str::from_utf8(run) else {
            continue;
        };
        let ours = prefixes.iter().any(|prefix| prefix.contains(run));
        assert!(ours || !error.contains(run) || !run.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
