//! The command line.

use clap::{Parser, Subcommand};

use crate::args::Args;

/// Makes a cluster's local port reachable through a tunnel-server, over one
/// outbound TLS connection.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// Something else than to run
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run
    #[command(flatten)]
    pub run: Args,
}

/// What needs no link that stays.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Takes every step of a start with the same flags, says what it saw and what is
    /// wrong, and ends: 0 if all would work. Callers' requests do not come to it
    Check {
        /// One JSON document instead of lines
        #[arg(long)]
        json: bool,
        /// As for a start
        #[command(flatten)]
        run: Box<Args>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_check_takes_the_flags_of_a_start() {
        Cli::command().debug_assert();
        let started = Cli::parse_from(["tunnel-client", "--server", "a.example"]);
        assert!(started.command.is_none());
        assert_eq!(started.run.server, ["a.example"]);
        let check = ["tunnel-client", "check", "--json", "--server", "a.example"];
        let Some(Command::Check { json, run }) = Cli::parse_from(check).command else {
            panic!("no check");
        };
        assert!(json);
        assert_eq!(run.server, ["a.example"]);
        assert!(Cli::try_parse_from(["tunnel-client", "check"]).is_err());
        assert!(Cli::try_parse_from(["tunnel-client"]).is_err());
    }
}
