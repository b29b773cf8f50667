//! Many ways to write the paths of exec and attach, drawn from a fixed seed.

use std::collections::BTreeSet;

use integration::endure::amount;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

const SHORT: u32 = 700;
const LONG: u32 = 20_000;

const PATHS: &[&str] = &[
    "api/v1/namespaces/x/pods/p/exec",
    "api/v1/namespaces/x/pods/p/attach",
    "api/v1/pods/p/exec",
    "api/v1/watch/namespaces/x/pods/p/exec",
    "api/v1/proxy/namespaces/x/pods/p/attach",
];

/// Before the path; the last are targets of their own kind.
const STARTS: &[&str] = &[
    "/",
    "//",
    "///",
    "/%2F",
    "/%2f/",
    "/%2F%2F",
    "/./",
    "/%2e/",
    "/x/../",
    "/x%2F..%2F",
    "/%2e%2e/",
    "http://localhost/",
    "http://localhost//",
    "http://localhost/%2F",
];

/// What is done to one of its words.
type Change = fn(&mut Vec<String>, usize);

const CHANGES: &[Change] = &[
    |words, at| words[at] = escaped(&words[at], 0, 1),
    |words, at| words[at] = escaped(&words[at], 1, 3).to_lowercase(),
    |words, at| words[at] = escaped(&words[at], 0, usize::MAX),
    |words, at| words[at] = escaped(&words[at], 0, usize::MAX).replace('%', "%25"),
    |words, at| words.insert(at, String::new()),
    |words, at| words.insert(at, ".".into()),
    |words, at| words.insert(at, "%2e".into()),
    |words, at| drop(words.splice(at..at, ["y".into(), "..".into()])),
    |words, at| drop(words.splice(at..at, ["y".into(), "%2E%2e".into()])),
    |words, at| join(words, at, "%2F"),
    |words, at| join(words, at, "%2f%2F"),
    |words, at| join(words, at, "%252F"),
    |words, at| join(words, at, "\\"),
    |words, at| join(words, at, "%5c"),
    |words, _| words.push(String::new()),
    |words, _| words.push("%2F".into()),
    |words, at| words[at].push_str("%0a"),
    |words, at| words[at].insert_str(0, "%0A"),
    |words, at| words[at].push_str("%00"),
    |words, at| words[at].push_str("%20"),
    |words, at| words[at].push_str(";a=b"),
    |words, at| words[at].push_str("%3F"),
    |words, at| words[at].push_str("%23"),
    |words, at| words[at].push('#'),
    |words, at| words[at].push('<'),
    |words, at| words[at] = words[at].to_uppercase(),
    |words, at| words[at].push_str("%ff"),
    |words, at| words[at].clear(),
    |words, at| words[at] = "pods".into(),
    |words, at| words[at] = "%E2%80%A8".into(),
    |words, at| drop(words.remove(at)),
];

const QUERIES: &[&str] = &["", "", "?", "?command=sh", "?a=/api/v1/x"];

fn join(words: &mut Vec<String>, at: usize, with: &str) {
    if at + 1 < words.len() {
        let next = words.remove(at + 1);
        words[at] = format!("{}{with}{next}", words[at]);
    }
}

/// Some of its bytes as escapes.
fn escaped(text: &str, from: usize, to: usize) -> String {
    let letters = text.bytes().enumerate();
    let spelled = letters.map(|(at, byte)| match (from..to).contains(&at) {
        true => format!("%{byte:02X}"),
        false => char::from(byte).to_string(),
    });
    spelled.collect()
}

fn target() -> impl Strategy<Value = String> {
    let changes = vec((0..CHANGES.len(), any::<prop::sample::Index>()), 0..4);
    let parts = (select(STARTS), select(PATHS), changes, select(QUERIES));
    parts.prop_map(|(start, path, changes, query)| {
        let mut words: Vec<String> = path.split('/').map(str::to_owned).collect();
        for (change, at) in changes {
            if !words.is_empty() {
                let at = at.index(words.len());
                CHANGES[change](&mut words, at);
            }
        }
        format!("{start}{}{query}", words.join("/"))
    })
}

/// All spellings, each once.
pub(crate) fn all() -> BTreeSet<String> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let strategy = target();
    (0..amount(SHORT, LONG))
        .filter_map(|_| strategy.new_tree(&mut runner).ok())
        .map(|tree| tree.current())
        .collect()
}
