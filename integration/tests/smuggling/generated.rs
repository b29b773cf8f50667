//! Connections of good requests, of which one may be spoilt, put together at
//! random, from a fixed seed and from a new one. Which is good is known from how it was made; no
//! parser judges another.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http1::{self, Response};
use integration::raw_http::{Caller, Ended};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::requests::{Parts, Piece};
use crate::seed::Seed;
use crate::stage::{Made, Stage, is_bare_400, is_status};

/// Of each seed.
const SHORT: u32 = 250;
const LONG: u32 = 20_000;

#[derive(Clone, Debug)]
struct Plan {
    requests: Vec<Parts>,
    spoilt: Option<(Index, Spoil)>,
    cuts: Vec<Index>,
}

/// What is wrong with one of the requests.
#[derive(Clone, Debug)]
enum Spoil {
    /// A head's line with another end.
    LineEnd(Index, &'static str),
    /// One more line in its head.
    Line(Index, &'static str),
    Version(&'static str),
    /// A chunk's size line in another form.
    Size(Index, fn(usize) -> String),
    /// A chunk's data with another end.
    ChunkEnd(Index, &'static str),
}

/// Bad beside any framing.
const LINES: &[&str] = &[
    "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    "Content-Length: 3\r\nContent-Length: 0\r\n",
    "Content-Length: +3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 3;\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Content-Length : 3\r\n",
    "Host: other.culvert.test\r\n",
    " folded: x\r\n",
    "\tfolded\r\n",
    "X\0: y\r\n",
    "X: y\0\r\n",
    "X: y\x7f\r\n",
    ": y\r\n",
    "X y: z\r\n",
    "no colon\r\n",
];

const SIZES: &[fn(usize) -> String] = &[
    |size| format!("+{size:x}\r\n"),
    |size| format!("0x{size:x}\r\n"),
    |size| format!(" {size:x}\r\n"),
    |size| format!("{size:x} \r\n"),
    |size| format!("{size:x}_\r\n"),
    |size| format!("{size:x}\n"),
    |size| format!("{size:x};x\n"),
    |size| format!("{size:x};\x01\r\n"),
    |size| format!("{size:017x}\r\n"),
    |size| format!("1{size:016x}\r\n"),
    |_| "\r\n".to_owned(),
    |_| "ffffffffffffffff\r\n".to_owned(),
];

fn spoil() -> impl Strategy<Value = Spoil> {
    let at = || any::<Index>();
    prop_oneof![
        (at(), select(&["\n", "\r", "\r\r\n", "\0\r\n"][..]))
            .prop_map(|(at, end)| Spoil::LineEnd(at, end)),
        (at(), select(LINES)).prop_map(|(at, line)| Spoil::Line(at, line)),
        select(&["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11"][..])
            .prop_map(Spoil::Version),
        (at(), select(SIZES)).prop_map(|(at, size)| Spoil::Size(at, size)),
        (at(), select(&["\n", "\r", "", "x\r\n"][..]))
            .prop_map(|(at, end)| Spoil::ChunkEnd(at, end)),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let spoilt = prop::option::weighted(0.7, (any::<Index>(), spoil()));
    let cuts = vec(any::<Index>(), 0..6);
    (vec(Parts::any(), 1..5), spoilt, cuts).prop_map(|(requests, spoilt, cuts)| Plan {
        requests,
        spoilt,
        cuts,
    })
}

impl Spoil {
    /// Whether the fault stands in the head; nothing where this request has no
    /// place for it.
    fn apply(&self, pieces: &mut Vec<Piece>) -> Option<bool> {
        let places = |of: fn(&Piece) -> bool| -> Vec<usize> {
            let numbered = pieces.iter().enumerate();
            numbered
                .filter(|(_, piece)| of(piece))
                .map(|(at, _)| at)
                .collect()
        };
        let lines = places(|piece| matches!(piece, Piece::Line(_)));
        let sizes = places(|piece| matches!(piece, Piece::Size(_)));
        let ends = places(|piece| matches!(piece, Piece::ChunkEnd));
        match self {
            Self::LineEnd(at, end) => {
                let at = *at.get(&lines);
                let Piece::Line(line) = &pieces[at] else {
                    return None;
                };
                pieces[at] = Piece::Other(format!("{}{end}", line.trim_end()));
                Some(true)
            }
            Self::Line(at, line) => {
                // Behind the first, which is the request line.
                pieces.insert(
                    *at.get(&lines[..lines.len() - 1]) + 1,
                    Piece::Other((*line).to_owned()),
                );
                Some(true)
            }
            Self::Version(version) => {
                let Piece::Line(line) = &pieces[0] else {
                    return None;
                };
                pieces[0] = Piece::Other(line.replace("HTTP/1.1", version));
                Some(true)
            }
            Self::Size(at, write) => {
                let at = *sizes.get(at.index(sizes.len().max(1)))?;
                let Piece::Size(size) = pieces[at] else {
                    return None;
                };
                pieces[at] = Piece::Other(write(size));
                Some(false)
            }
            Self::ChunkEnd(at, end) => {
                let at = *ends.get(at.index(ends.len().max(1)))?;
                pieces[at] = Piece::Other((*end).to_owned());
                Some(false)
            }
        }
    }
}

/// What is sent, and what is to become of it.
struct Script {
    bytes: Vec<u8>,
    made: Vec<Made>,
    fault_in_head: Option<bool>,
}

fn script(stage: &Stage, plan: &Plan) -> Script {
    let spoilt = plan.spoilt.as_ref();
    let spoilt = spoilt.map(|(at, spoil)| (at.index(plan.requests.len()), spoil));
    let mut script = Script {
        bytes: Vec::new(),
        made: Vec::new(),
        fault_in_head: None,
    };
    for (number, parts) in plan.requests.iter().enumerate() {
        let target = format!("/good/{number}");
        let last = number + 1 == plan.requests.len();
        let mut pieces = parts.pieces(stage, &target, last);
        if let Some((at, spoil)) = spoilt
            && at == number
        {
            script.fault_in_head = spoil.apply(&mut pieces);
        }
        if script.fault_in_head.is_none() {
            script.made.push((target, parts.body(stage)));
        }
        for piece in &pieces {
            piece.write(&mut script.bytes);
        }
    }
    script.bytes.extend(stage.smuggled().bytes());
    script
}

pub(crate) async fn requests_of_good_and_bad_parts(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::with_sidecar(&environment).await?;
    for seed in [Seed::Fixed, Seed::fresh()?] {
        println!("from {seed}");
        from(&stage, seed)
            .await
            .with_context(|| format!("from {seed}"))?;
    }
    stage.stop().await
}

async fn from(stage: &Stage, seed: Seed) -> Result<()> {
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), seed.rng());
    let strategy = plan();
    let (mut refused, mut unheard) = (0, 0);
    for number in 0..amount(SHORT, LONG) {
        let plan = strategy
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("{reason}"))?
            .current();
        let script = script(stage, &plan);
        let what = || {
            format!(
                "case {number}: {:?}",
                String::from_utf8_lossy(&script.bytes)
            )
        };
        let mut caller = stage.chain.raw_caller().await?;
        send(&mut caller, &script.bytes, &plan.cuts).await;
        let (text, ended) = caller.rest().await?;
        let heard = judge(&script, &text, ended).with_context(what)?;
        stage
            .nothing_else_came(&script.made)
            .await
            .with_context(what)?;
        refused += u32::from(script.fault_in_head.is_some());
        unheard += u32::from(!heard);
    }
    eprintln!("{refused} connections had a fault; of {unheard} a reset took the last answers");
    Ok(())
}

/// In pieces; the server may end the connection meanwhile.
async fn send(caller: &mut Caller, bytes: &[u8], cuts: &[Index]) {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    ends.sort_unstable();
    ends.push(bytes.len());
    let mut sent = 0;
    for end in ends {
        if caller.send(&bytes[sent..end]).await.is_err() {
            return;
        }
        sent = end;
    }
}

/// Fails where an answer is wrong; tells whether all were heard. A server that
/// closes while a caller still sends resets, and takes answers back with it.
fn judge(script: &Script, text: &str, ended: Ended) -> Result<bool> {
    let answers = whole_answers(text)?;
    let good = script.made.len();
    for (answer, (path, _)) in answers.iter().zip(&script.made) {
        ensure!(
            answer.status == 200 && answer.body == path.as_bytes(),
            "{answer:?} to {path}"
        );
    }
    let more = answers.get(good..).unwrap_or_default();
    ensure!(
        more.len() <= usize::from(script.fault_in_head.is_some()),
        "{more:?}"
    );
    match (script.fault_in_head, more) {
        (Some(true), [refusal]) => is_bare_400(refusal)?,
        (_, [refusal]) => is_status(refusal, 400)?,
        (Some(true), _) if ended == Ended::Closed => anyhow::bail!("no refusal: {text:?}"),
        _ => {}
    }
    let heard = answers.len() >= good;
    ensure!(heard || ended == Ended::Broken, "{} answers", answers.len());
    Ok(heard)
}

fn whole_answers(text: &str) -> Result<Vec<Response>> {
    let mut rest = text.as_bytes();
    let mut answers = Vec::new();
    while let Some((answer, length)) = http1::response(rest, "GET")? {
        answers.push(answer);
        rest = &rest[length..];
    }
    Ok(answers)
}
