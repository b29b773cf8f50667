//! How much a test does: a short form in every run, the long one where
//! `cargo xtask endure` asks for it.

/// The variable that asks for the long form.
pub const VARIABLE: &str = "CULVERT_ENDURE";

/// `short`, or `long` where endurance is asked for.
pub fn amount(short: u32, long: u32) -> u32 {
    if std::env::var_os(VARIABLE).is_some() {
        long
    } else {
        short
    }
}
