//! Replays what the fuzzers have kept, and what they are to start from.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

/// Bounds of what is committed: the fuzzers' own finds are minimised first.
const FILES: usize = 200;
const BYTES: usize = 4096;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_every_corpus_holds() {
    for (name, target) in TARGETS {
        let files = files(&folder().join("corpus").join(name));
        assert!(
            (1..=FILES).contains(&files.len()),
            "{name}: {} files",
            files.len()
        );
        for file in files {
            // Shown when the target fails.
            println!("{}", file.display());
            let bytes = fs::read(&file).unwrap();
            assert!(bytes.len() < BYTES, "{} is too long", file.display());
            target(&bytes);
        }
    }
}

#[test]
fn every_target_has_its_binary() {
    let binaries = files(&folder().join("fuzz_targets"));
    let binaries: Vec<_> = binaries
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap())
        .collect();
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(binaries, targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
}
