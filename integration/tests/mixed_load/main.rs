//! Callers of four kinds (small requests, watches, bulk, upgraded streams) all the time,
//! while processes are killed, and for long.

mod cluster;
mod kills;
mod leftovers;
mod load;
mod record;
mod soak;
mod stage;

use std::process::ExitCode;

use integration::{suite, tests};

use kills::only_what_was_open_on_the_killed_one_fails;
use soak::all_is_flat_in_the_end;

fn main() -> ExitCode {
    suite::run(tests![
        only_what_was_open_on_the_killed_one_fails,
        all_is_flat_in_the_end,
    ])
}
