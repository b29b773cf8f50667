//! When to end: SIGTERM (Kubernetes, systemd) or SIGINT (a terminal).

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: of Kubernetes or systemd.
    Terminate,
    /// SIGINT: of a person, by Ctrl-C.
    Interrupt,
}

/// SIGTERM and SIGINT, as often as they come.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// Takes both, which from now on end the process no more by themselves.
    ///
    /// # Errors
    /// When the process may not install a signal handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Loses none when it is dropped.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

/// Resolves at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the process may not install a signal handler.
pub fn requested() -> io::Result<impl Future<Output = ()> + Send> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        signals.next().await;
    })
}
