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

/// Settings.
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Frame flags.
pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// One frame, whatever it is.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = frame_head(length, kind, flags, stream);
    bytes.extend(payload);
    bytes
}

/// A frame's head alone, which can announce what it likes.
pub fn frame_head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = length.to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
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

/// The peer's SETTINGS are taken over.
pub fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

/// A PING frame.
pub fn ping(flags: u8, payload: u64) -> Vec<u8> {
    frame(kind::PING, flags, 0, &payload.to_be_bytes())
}

/// A GOAWAY frame.
pub fn go_away(last_stream: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    let payload = [&last_stream.to_be_bytes(), &code.to_be_bytes(), debug].concat();
    frame(kind::GOAWAY, flag::NONE, 0, &payload)
}

/// A DATA frame.
pub fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, payload)
}

/// A header block in as many frames as it takes, none longer than `longest`.
pub fn headers_in_pieces(stream: u32, flags: u8, block: &[u8], longest: usize) -> Vec<u8> {
    let pieces: Vec<_> = block.chunks(longest).collect();
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() {
            flag::END_HEADERS
        } else {
            flag::NONE
        };
        bytes.extend(match at {
            0 => frame(kind::HEADERS, flags | last, stream, piece),
            _ => frame(kind::CONTINUATION, last, stream, piece),
        });
    }
    bytes
}

/// A header field that the peer's table is to remember, as its newest.
pub fn remembered_field(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    string(&mut block, name.as_bytes());
    string(&mut block, value.as_bytes());
    block
}

/// The newest field of the peer's table, once more: one byte.
pub const NEWEST_FIELD: u8 = 0x80 | 62;

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
