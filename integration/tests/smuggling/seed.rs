//! What is put together at random: once from a seed that is always the same, and
//! once from a new one, which is printed.

use std::fmt;

use anyhow::{Context, Result};
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The variable that gives the new one's number, to repeat a failure.
const VARIABLE: &str = "CULVERT_SEED";

/// Where a random sequence begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    /// The same in every run.
    Fixed,
    Of(u64),
}

impl Seed {
    /// A new one, or that of [`VARIABLE`].
    pub(crate) fn fresh() -> Result<Self> {
        let number = match std::env::var(VARIABLE) {
            Ok(given) => given
                .parse()
                .with_context(|| format!("{VARIABLE}={given}"))?,
            Err(_) => rand::random(),
        };
        Ok(Self::Of(number))
    }

    pub(crate) fn rng(self) -> TestRng {
        match self {
            Self::Fixed => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
            Self::Of(number) => {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&number.to_le_bytes());
                TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
            }
        }
    }
}

/// How to have it again.
impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("the fixed seed"),
            Self::Of(number) => write!(f, "{VARIABLE}={number}"),
        }
    }
}
