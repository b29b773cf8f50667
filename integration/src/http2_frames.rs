//! HTTP/2 frames and header blocks byte by byte (RFC 9113, RFC 7541), for what
//! no HTTP library would send.

/// What a client's connection starts with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Frame flags.
pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
}

/// One frame, whatever it is.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A SETTINGS frame of identifiers and values.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, flag::NONE, 0, &payload)
}

/// A RST_STREAM frame.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, flag::NONE, stream, &code.to_be_bytes())
}

/// A WINDOW_UPDATE frame.
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    let increment = increment.to_be_bytes();
    frame(kind::WINDOW_UPDATE, flag::NONE, stream, &increment)
}

/// A header block of literal fields, which no table remembers.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value.as_bytes());
    }
    block
}

/// A string literal without Huffman coding.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 0x7f;
    match u8::try_from(text.len()) {
        Ok(short) if text.len() < PREFIX => block.push(short),
        _ => {
            block.push(0x7f);
            let mut rest = text.len() - PREFIX;
            while rest >= 0x80 {
                block.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
                rest >>= 7;
            }
            block.push(u8::try_from(rest).unwrap_or_default());
        }
    }
    block.extend(text);
}

/// A HEADERS frame with its whole block.
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(
        kind::HEADERS,
        flags | flag::END_HEADERS,
        stream,
        &block(fields),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_in_the_rfc() {
        assert_eq!(reset(5, 8), [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
        assert_eq!(settings(&[(4, 65535)])[9..], [0, 4, 0, 0, 255, 255]);
    }

    #[test]
    fn long_strings_have_long_lengths() {
        let block = block(&[("a", &"x".repeat(1337))]);
        // 1337 - 127 = 1210 = 9 * 128 + 58
        assert_eq!(block[..7], [0, 1, b'a', 0x7f, 0x80 | 58, 9, b'x']);
    }
}
