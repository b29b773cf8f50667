//! How callers write bodies.

/// A chunked body of these chunks, each with this extension, and trailers.
pub(crate) fn chunked(chunks: &[&[u8]], extension: &str, trailers: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        body.extend(*chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
    body
}
