//! Reads a whole connection's requests in the plainest way, to compare with.

/// One request: its target, and its body without framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// The requests that are whole.
pub(super) fn requests(mut bytes: &[u8]) -> Vec<Read> {
    let mut read = Vec::new();
    while let Some((request, upgrade, rest)) = request(bytes) {
        read.push(request);
        bytes = rest;
        if upgrade {
            break;
        }
    }
    read
}

fn request(bytes: &[u8]) -> Option<(Read, bool, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head = head.trim_start_matches("\r\n");
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let value = |name: &str| {
        let mut named = head.split("\r\n").skip(1).filter_map(|line| {
            let (one, value) = line.split_once(':')?;
            (one == name).then(|| value.trim_matches([' ', '\t']))
        });
        named.next()
    };
    let upgrade = value("upgrade").is_some()
        && head.split("\r\n").any(|line| {
            line.strip_prefix("connection:")
                .is_some_and(|list| list.split(',').any(|one| one.trim() == "upgrade"))
        });
    let (body, rest) = if value("transfer-encoding").is_some() {
        chunked(rest)?
    } else {
        let length: usize = value("content-length").unwrap_or("0").parse().ok()?;
        (rest.get(..length)?.to_vec(), &rest[length..])
    };
    Some((Read { target, body }, upgrade, rest))
}

fn chunked(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Some((body, bytes));
        }
    }
}
