//! What happened, a line each, with the simulated time.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::registrations::Registrations;

/// Shows all that the two log.
const DEBUG: &str = "CULVERT_DEBUG";

/// The course of one simulation.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<DefaultHasher>>);

impl Trace {
    /// Takes what is logged from now on, too.
    pub(crate) fn start(registrations: Registrations) -> Self {
        let trace = Self::default();
        let is_debug = std::env::var_os(DEBUG).is_some();
        let level = if is_debug { Level::DEBUG } else { Level::INFO };
        let names = [
            "tunnel_server",
            "tunnel_client",
            "service_kit",
            "http_relay",
        ];
        let mut targets = Targets::new().with_targets(names.map(|name| (name, level)));
        if is_debug {
            // The span that names the host: one for each of its turns.
            targets = targets.with_target("turmoil", Level::INFO);
        }
        let lines = tracing_subscriber::fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_writer({
                let trace = trace.clone();
                move || trace.clone()
            });
        tracing_subscriber::registry()
            .with(targets)
            .with(lines)
            .with(registrations)
            .init();
        trace
    }

    /// Adds a line.
    pub(crate) fn tell(&self, what: impl Display) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.line(&format!("{:>8.3}  {what}", at.as_secs_f64()));
    }

    /// As [`Self::tell`], by who is outside of the simulation.
    pub(crate) fn tell_at(&self, at: std::time::Duration, what: impl Display) {
        self.line(&format!("{:>8.3}  {what}", at.as_secs_f64()));
    }

    fn line(&self, line: &str) {
        println!("{line}");
        line.hash(&mut *self.0.lock().unwrap());
    }

    /// The same for the same course.
    pub(crate) fn digest(&self) -> String {
        format!("{:016x}", self.0.lock().unwrap().finish())
    }
}

impl io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tell(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
