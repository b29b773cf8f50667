//! The end of a log file, for errors.

use std::fs;
use std::path::Path;

/// Enough to hold a Go panic's first goroutine or a list of flag errors.
const LINES: usize = 40;

/// The last lines of the file at `path`, or why it cannot be read.
pub(crate) fn log_tail(path: &Path) -> String {
    match fs::read(path) {
        Err(error) => format!("({}: {error})", path.display()),
        Ok(content) => {
            let text = String::from_utf8_lossy(&content);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        }
    }
}
