use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";
const CBOR: &str = "application/cbor-seq";

// --- Bodies of these tests -----------------------------------------------

/// Its frames come at once; then it is open, and quiet.
struct Frames {
    frames: VecDeque<Bytes>,
    /// So many have come.
    given: Arc<AtomicUsize>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => {
                self.given.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            None => Poll::Pending,
        }
    }
}

fn headers(content_type: &'static str) -> HeaderMap {
    [(CONTENT_TYPE, content_type.parse().unwrap())]
        .into_iter()
        .collect()
}

/// What comes of the frames when the end is due after so many of them; and whether it
/// ended.
fn sent(content_type: &'static str, frames: Vec<Bytes>, due_after: usize) -> (Vec<u8>, bool) {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let due = poll_fn(move |_| match count.load(Ordering::Relaxed) {
        given if given >= due_after => Poll::Ready(()),
        _ => Poll::Pending,
    });
    let mut body = pin!(WatchEnd {
        body: Frames {
            frames: frames.into(),
            given,
        },
        due,
        is_due: false,
        borders: Borders::of(&headers(content_type)).unwrap(),
    });
    let mut cx = Context::from_waker(Waker::noop());
    let mut sent = Vec::new();
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => sent.extend(frame.into_data().unwrap()),
            Poll::Ready(None) => return (sent, true),
            Poll::Pending => return (sent, false),
        }
    }
}

// --- Where it ends -------------------------------------------------------

#[test]
fn in_a_frame_with_the_end_of_one_event_and_the_begin_of_the_next() {
    let frames = || vec![Bytes::from("{\"a\":1}\n{\"b\""), Bytes::from(":2}\n{\"c\"")];
    assert_eq!(sent(JSON, frames(), 0), (vec![], true));
    let whole = b"{\"a\":1}\n{\"b\":2}\n".to_vec();
    assert_eq!(sent(JSON, frames(), 1), (whole, true));
    let all = b"{\"a\":1}\n{\"b\":2}\n{\"c\"".to_vec();
    assert_eq!(sent(JSON, frames(), 2), (all, false));
}

#[test]
fn nowhere_in_what_is_not_what_it_says() {
    for (content_type, bytes) in [
        (JSON, "{\n  \"a\": {}\n}\n"),
        (JSON, "{\"a\": [\n{}\n]}\n"),
        (JSON, "[{}]\n"),
        (JSON, "\n{}\n"),
        (JSON, "{}\r\n"),
        (JSON, "no JSON\n"),
        // Lists of indefinite length, and what is reserved.
        (CBOR, "\u{9f}"),
        (CBOR, "\u{7f}"),
        (CBOR, "\u{1c}"),
    ] {
        let bytes: Vec<u8> = bytes.chars().map(|c| c as u8).collect();
        let frames = vec![Bytes::from(bytes.clone()), Bytes::from_static(b"{}\n\x00")];
        let all = [&bytes[..], b"{}\n\x00"].concat();
        assert_eq!(sent(content_type, frames, 1), (all, false), "{bytes:?}");
    }
}

#[test]
fn a_list_that_is_too_long_for_numbers_has_no_end() {
    let mut list = vec![0x9b];
    list.extend([0xff; 8]);
    let map = [&[0xbb][..], &[0xff; 8]].concat();
    // A list in a list.
    let lists = [&[0x82][..], &list].concat();
    for bytes in [list, map, lists] {
        let frames = vec![Bytes::from(bytes.clone()), Bytes::from_static(b"\x00")];
        let all = [&bytes[..], b"\x00"].concat();
        assert_eq!(sent(CBOR, frames, 1), (all, false));
    }
}

/// RFC 8949, appendix A.
#[test]
fn cbors_own_examples_are_an_item_each() {
    for example in [
        "00",
        "17",
        "1818",
        "1bffffffffffffffff",
        "3903e7",
        "f97e00",
        "fb7ff0000000000000",
        "f5",
        "f8ff",
        "c074323031332d30332d32315432303a30343a30305a",
        "d818456449455446",
        "40",
        "4401020304",
        "60",
        "6449455446",
        "80",
        "8301820203820405",
        "a0",
        "a26161016162820203",
        "826161a161626163",
        "d9d9f7a16161d9d9f780",
    ] {
        let digits = example.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let mut borders = Borders::of(&headers(CBOR)).unwrap();
        let (last, before) = bytes.split_last().unwrap();
        assert_eq!(borders.next(before), None, "{example}");
        assert_eq!(borders.next(&[*last, 0]), Some(1), "{example}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        // What looks like an event's end.
        Just(json!("}\n{\"\\")),
        // Lengths of one, two and three bytes in CBOR.
        (20usize..300).prop_map(|length| "x".repeat(length).into()),
        (20usize..30).prop_map(|length| vec![0; length].into()),
    ];
    leaf.prop_recursive(3, 16, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z\n\"]{0,9}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn as_json(value: Value) -> Vec<u8> {
    let event = json!({ "type": "ADDED", "object": value });
    format!("{event}\n").into_bytes()
}

fn as_protobuf(value: Value) -> Vec<u8> {
    let event = if value.is_null() {
        String::new()
    } else {
        value.to_string()
    };
    let length = u32::try_from(event.len()).unwrap();
    [&length.to_be_bytes()[..], event.as_bytes()].concat()
}

/// Tagged as the API server does.
fn as_cbor(value: Value) -> Vec<u8> {
    let mut bytes = vec![0xd9, 0xd9, 0xf7];
    write_cbor(&mut bytes, &value);
    bytes
}

fn write_cbor(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(it) => bytes.push(if *it { 0xf5 } else { 0xf4 }),
        Value::Number(it) => match it.as_i64().unwrap() {
            it @ 0.. => cbor_head(bytes, 0, it.unsigned_abs()),
            it => cbor_head(bytes, 1, !it as u64),
        },
        Value::String(it) => {
            cbor_head(bytes, 3, it.len() as u64);
            bytes.extend(it.as_bytes());
        }
        Value::Array(it) => {
            cbor_head(bytes, 4, it.len() as u64);
            it.iter().for_each(|item| write_cbor(bytes, item));
        }
        Value::Object(it) => {
            cbor_head(bytes, 5, it.len() as u64);
            for (key, item) in it {
                write_cbor(bytes, &Value::from(key.as_str()));
                write_cbor(bytes, item);
            }
        }
    }
}

fn cbor_head(bytes: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        ..24 => bytes.push(major | argument as u8),
        24..0x100 => bytes.extend([major | 24, argument as u8]),
        0x100..0x1_0000 => {
            bytes.push(major | 25);
            bytes.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            bytes.push(major | 26);
            bytes.extend((argument as u32).to_be_bytes());
        }
        _ => {
            bytes.push(major | 27);
            bytes.extend(argument.to_be_bytes());
        }
    }
}

/// Pieces of these lengths, and the rest.
fn split(mut bytes: Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let mut frames: Vec<_> = lengths
        .iter()
        .map(|length| bytes.split_to((*length).min(bytes.len())))
        .collect();
    frames.push(bytes);
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// However the events are split into frames, and whenever the end is due: what has
    /// come before is sent, and all to the next border and nothing behind it.
    #[test]
    fn it_ends_at_the_first_border_and_loses_nothing_before(
        values in vec(prop_oneof![1 => Just(Value::Null), 4 => value()], 0..6),
        lengths in vec(prop_oneof![0usize..4, 0usize..400], 0..40),
        due_after in 0usize..42,
    ) {
        type Encode = fn(Value) -> Vec<u8>;
        let formats: [(&str, Encode); 3] =
            [(JSON, as_json), (PROTOBUF, as_protobuf), (CBOR, as_cbor)];
        for (content_type, encode) in formats {
            let events: Vec<_> = values.iter().cloned().map(encode).collect();
            let all = events.concat();
            let frames = split(all.clone().into(), &lengths);
            let come: usize = frames.iter().take(due_after).map(Bytes::len).sum();
            let borders = events.iter().scan(0, |end, event| {
                *end += event.len();
                Some(*end)
            });
            let border = [0].into_iter().chain(borders).find(|border| *border >= come);
            let is_due = due_after <= frames.len();
            let expected = border.filter(|_| is_due).unwrap_or(all.len());
            let (sent, ended) = sent(content_type, frames, due_after);
            prop_assert!(sent == all[..expected], "{content_type}: {} of {}, not {expected}", sent.len(), all.len());
            prop_assert_eq!(ended, is_due);
        }
    }

    /// Whatever comes: all of it goes on while the end is not due.
    #[test]
    fn strange_bytes_pass(bytes in vec(any::<u8>(), 0..300), lengths in vec(0usize..40, 0..20)) {
        for content_type in [JSON, PROTOBUF, CBOR] {
            let frames = split(bytes.clone().into(), &lengths);
            let (passed, ended) = sent(content_type, frames.clone(), usize::MAX);
            prop_assert!(passed == bytes && !ended);
            let (sent, _) = sent(content_type, frames, lengths.len() / 2);
            prop_assert!(bytes.starts_with(&sent));
        }
    }
}

// --- When it ends --------------------------------------------------------

async fn lived(begin: Duration, close: Option<Duration>) -> Duration {
    let quiet = Frames {
        frames: VecDeque::new(),
        given: Arc::default(),
    };
    let (mut answer, ()) = Response::new(()).into_parts();
    answer.headers = headers(JSON);
    let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
    let due = not_too_young(draining.cancelled(), closing.cancelled());
    let body = cleanly(&answer, quiet, due).ok().unwrap();
    let begun = Instant::now();
    let told = async {
        sleep(begin).await;
        draining.cancel();
        if let Some(close) = close {
            sleep(close).await;
            closing.cancel();
        }
        pending::<()>().await
    };
    tokio::select! {
        body = body.collect() => assert!(body.unwrap().to_bytes().is_empty()),
        () = told => {}
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn at_once_where_it_is_quiet_but_not_very_young() {
    let seconds = Duration::from_secs;
    for (begin, close, expected) in [
        (seconds(600), None, seconds(600)),
        (seconds(1), None, AT_LEAST),
        (seconds(0), None, AT_LEAST),
        (seconds(1), Some(seconds(0)), seconds(1)),
        (seconds(0), Some(seconds(1)), seconds(1)),
    ] {
        let lived = lived(begin, close).await;
        assert_eq!(lived, expected, "{begin:?} {close:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn never_without_a_drain() {
    let hours = Duration::from_secs(10 * 3600);
    let lived = lived(2 * hours, None);
    assert!(timeout(hours, lived).await.is_err());
}

// --- What ends -----------------------------------------------------------

#[test]
fn what_asks_for_a_watch() {
    for (target, expected) in [
        ("/api/v1/pods?watch=true", true),
        ("/api/v1/pods?watch=1&resourceVersion=5", true),
        ("/api/v1/pods?watch", true),
        ("/api/v1/watch/pods", true),
        ("/apis/apps/v1/watch/namespaces/a/deployments/b", true),
        ("/api/v1/pods", false),
        ("/api/v1/pods?watch=false", false),
        // Not read for one object.
        ("/api/v1/namespaces/a/pods/b?watch=true", false),
        ("/api/v1/namespaces/a/services/b/proxy/?watch=true", false),
        ("/healthz?watch=true", false),
    ] {
        let uri = target.parse().unwrap();
        assert_eq!(is_asked_for(&Method::GET, &uri), expected, "{target}");
    }
}

#[test]
fn what_has_borders() {
    let ends = |status: u16, content_type: &'static str, encoded: bool| {
        let mut answer = Response::builder().status(status);
        answer = answer.header(CONTENT_TYPE, content_type);
        if encoded {
            answer = answer.header(CONTENT_ENCODING, "gzip");
        }
        let (answer, ()) = answer.body(()).unwrap().into_parts();
        let frames = Frames {
            frames: VecDeque::new(),
            given: Arc::default(),
        };
        cleanly(&answer, frames, pending()).is_ok()
    };
    for content_type in [
        JSON,
        "application/json;stream=watch",
        "Application/JSON; as=Table;v=v1;g=meta.k8s.io",
        PROTOBUF,
        "application/vnd.kubernetes.protobuf; type=x; Stream=Watch",
        CBOR,
    ] {
        assert!(ends(200, content_type, false), "{content_type}");
        assert!(!ends(200, content_type, true), "{content_type}");
        assert!(!ends(410, content_type, false), "{content_type}");
    }
    for content_type in [
        "",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/yaml;stream=watch",
        "text/plain",
    ] {
        assert!(!ends(200, content_type, false), "{content_type}");
    }
    // Of a length that is known.
    let (mut answer, ()) = Response::new(()).into_parts();
    answer.headers = headers(JSON);
    let known = Full::new(Bytes::from_static(b"{}\n"));
    assert!(cleanly(&answer, known, pending()).is_err());
}
