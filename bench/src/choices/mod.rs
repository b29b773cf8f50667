//! The measurements behind three choices; `NOTES.md` holds what they gave.

pub mod carrier;
pub mod hop;
pub mod runtime;

use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Of one measurement.
    pub time: Duration,
}
