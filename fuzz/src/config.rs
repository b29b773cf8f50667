//! The configuration file, as a person or a program may leave it.

use tunnel_protocol::token::TokenKind;
use tunnel_server::config::file;

/// It is read or refused with its faults; those repeat no token that was put in
/// the wrong place.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match file::read(&text) {
        Ok(_) => assert!(file::read(&text).is_ok(), "a second reading differs"),
        Err(faults) => {
            let faults = faults.to_string();
            assert!(!faults.is_empty());
            no_token_in(&faults);
        }
    }
}

fn no_token_in(faults: &str) {
    for kind in [TokenKind::Connector, TokenKind::Access, TokenKind::Sidecar] {
        for (at, prefix) in faults.match_indices(kind.prefix()) {
            let next = faults[at + prefix.len()..].chars().next();
            assert!(
                !next.is_some_and(|next| next.is_ascii_alphanumeric()),
                "a token is repeated in:\n{faults}"
            );
        }
    }
}
