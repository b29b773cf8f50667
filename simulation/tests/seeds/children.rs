//! A process for each seed: what one has drawn of its randomness would have an influence
//! on the next.

use std::process::{Command, Stdio};

/// The variable that names the one seed that a process runs.
pub(crate) const SEED: &str = "CULVERT_SEED";
/// What the line with a course's digest begins with.
pub(crate) const DIGEST: &str = "digest of the course: ";
const TEST: &str = "no_seed_breaks_a_promise";

/// A seed that runs.
pub(crate) struct Child(std::process::Child);

/// How it went.
pub(crate) struct Ended {
    pub(crate) is_well: bool,
    pub(crate) digest: Option<String>,
    pub(crate) told: String,
}

impl Child {
    pub(crate) fn start(seed: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([TEST, "--exact", "--nocapture"]);
        command.env(SEED, seed.to_string());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn end(self) -> Ended {
        let output = self.0.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = text(&output.stdout) + &text(&output.stderr);
        let digest = told.lines().find_map(|line| line.strip_prefix(DIGEST));
        Ended {
            is_well: output.status.success(),
            digest: digest.map(str::to_owned),
            told,
        }
    }
}

/// The command that runs a seed alone.
pub(crate) fn again(seed: u64) -> String {
    format!("{SEED}={seed} cargo test -p simulation --test seeds -- --exact {TEST} --nocapture")
}
