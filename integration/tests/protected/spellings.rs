//! Many ways to write the path of one Secret: each change alone, then several at
//! once, drawn by a generator that always draws the same.

use std::collections::BTreeSet;

use super::sidecars::OWN;

/// Drawn beside the single changes.
const DRAWN: usize = 3000;

/// What a change does to the segments of a path.
type Change = fn(&mut Vec<String>, usize);

const CHANGES: &[Change] = &[
    // One letter of it as an escape, in both cases.
    |path, at| replace(path, at, |text| escaped_at(text, 0, false)),
    |path, at| replace(path, at, |text| escaped_at(text, text.len() / 2, true)),
    |path, at| {
        replace(path, at, |text| {
            escaped_at(text, text.len().saturating_sub(1), false)
        })
    },
    // All of it, and all of it twice.
    |path, at| replace(path, at, escaped),
    |path, at| replace(path, at, |text| escaped(text).replace('%', "%25")),
    // Slashes, doubled and escaped.
    |path, at| path.insert(at, String::new()),
    |path, at| join_with_next(path, at, "%2F"),
    |path, at| join_with_next(path, at, "%2f"),
    |path, at| join_with_next(path, at, "%252F"),
    |path, at| join_with_next(path, at, "\\"),
    |path, _| path.push(String::new()),
    |path, _| path.push("%2F".into()),
    // Dot segments.
    |path, at| path.insert(at, ".".into()),
    |path, at| path.insert(at, "%2e".into()),
    |path, at| insert_all(path, at, &["x", ".."]),
    |path, at| insert_all(path, at, &["x", "%2E%2e"]),
    |path, at| insert_all(path, at, &["..", ".."]),
    // Other ways to ask for the same.
    |path, _| path.insert(path.len().min(2), "watch".into()),
    |path, _| path.insert(path.len().min(2), "proxy".into()),
    |path, _| insert_all(path, 0, &["api", "v1", "nodes", "node", "proxy"]),
    |path, _| insert_all(path, 0, SERVICE),
    |path, _| insert_all(path, 0, &[SERVICE, &[".."; 7]].concat()),
    |path, _| insert_all(path, 0, &[SERVICE, &["%2e%2e"; 7]].concat()),
    |path, _| insert_all(path, 0, &[SERVICE, &["..%2F.."; 4]].concat()),
    // The API server behind its own service: it comes there as nobody.
    |path, _| insert_all(path, 0, ITSELF),
    |path, at| drop(remove(path, at)),
    |path, at| replace(path, at, |text| text.to_uppercase()),
    |path, at| replace(path, at, |text| format!("{text}%00")),
    |path, at| replace(path, at, |text| format!("{text};a=b")),
    |path, at| replace(path, at, |text| format!("{text}%20")),
    |path, at| replace(path, at, |text| format!("{text}%3F")),
    |path, at| replace(path, at, |text| format!("{text}%23")),
    |path, at| replace(path, at, |_| String::new()),
    |path, at| replace(path, at, |_| "*".into()),
    |path, at| replace(path, at, |_| "-".into()),
    |path, at| replace(path, at, |_| "%".into()),
    |path, at| path.swap(at, 0),
];

/// What is behind it may be read in any way.
const SERVICE: &[&str] = &[
    "api",
    "v1",
    "namespaces",
    "other",
    "services",
    "service",
    "proxy",
];
const ITSELF: &[&str] = &[
    "api",
    "v1",
    "namespaces",
    "default",
    "services",
    "https:kubernetes:https",
    "proxy",
];

/// All spellings, each once.
pub(crate) fn all() -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for base in bases() {
        for query in queries() {
            targets.insert(written(&base, query));
        }
        for change in CHANGES {
            for at in 0..base.len() {
                let mut path = base.clone();
                change(&mut path, at);
                targets.insert(written(&path, ""));
                // A list without a name is a watch with it.
                targets.insert(written(&path, "?watch=1"));
            }
        }
    }
    let (bases, queries) = (bases(), queries());
    let mut random = Random(1);
    for _ in 0..DRAWN {
        let mut path = bases[random.below(bases.len())].clone();
        for _ in 0..2 + random.below(3) {
            let at = random
                .below(path.len().max(1))
                .min(path.len().saturating_sub(1));
            if !path.is_empty() {
                CHANGES[random.below(CHANGES.len())](&mut path, at);
            }
        }
        // Watches take a second each.
        targets.insert(written(&path, queries[random.below(queries.len() - 2)]));
    }
    targets
}

fn bases() -> Vec<Vec<String>> {
    [
        format!("api/v1/namespaces/{OWN}/secrets/token"),
        format!("api/v1/namespaces/{OWN}/secrets"),
        "api/v1/secrets".to_owned(),
    ]
    .iter()
    .map(|path| path.split('/').map(str::to_owned).collect())
    .collect()
}

/// The last two are watches.
fn queries() -> [&'static str; 7] {
    [
        "",
        "?",
        "?limit=500",
        "?fieldSelector=metadata.name%3Dtoken",
        "?fieldSelector=metadata.namespace!%3Dgitlab-connector&fieldSelector=",
        "?watch=true",
        "?watch=1&watch=0",
    ]
}

fn written(path: &[String], query: &str) -> String {
    // Ends watches, of which some are asked for by the path.
    let end = match query {
        "" => "?timeoutSeconds=1",
        _ => "&timeoutSeconds=1",
    };
    format!("/{}{query}{end}", path.join("/"))
}

fn replace(path: &mut [String], at: usize, with: impl Fn(&str) -> String) {
    path[at] = with(&path[at]);
}

fn remove(path: &mut Vec<String>, at: usize) -> String {
    path.remove(at)
}

fn insert_all(path: &mut Vec<String>, at: usize, segments: &[&str]) {
    path.splice(at..at, segments.iter().map(|&segment| segment.to_owned()));
}

fn join_with_next(path: &mut Vec<String>, at: usize, with: &str) {
    if at + 1 < path.len() {
        let next = path.remove(at + 1);
        path[at] = format!("{}{with}{next}", path[at]);
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn escaped_at(text: &str, at: usize, upper: bool) -> String {
    let Some((before, rest)) = text
        .split_at_checked(at)
        .filter(|(_, rest)| !rest.is_empty())
    else {
        return text.to_owned();
    };
    let byte = rest.as_bytes()[0];
    let escape = if upper {
        format!("%{byte:02X}")
    } else {
        format!("%{byte:02x}")
    };
    format!("{before}{escape}{}", &rest[1..])
}

/// Knuth's linear congruential generator: the same spellings in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).unwrap_or(0);
        high % bound
    }
}
