//! A kubeconfig's exec plugin: a program that prints the credential. It is asked at the
//! start, when what it gave has run out, and when the API server refuses that; by one
//! task at a time, and seldom. Until it gives another one the last good one stays.
//!
//! kube-client could run it, too, but takes one that fails for one that gives no
//! certificate, and waits for one that hangs on a thread that nobody can end.

mod answer;
mod run;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::config::{AuthInfo, ExecConfig};
use service_kit::tasks::Tasks;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use answer::Age;
pub(crate) use answer::Answer;

/// Many callers may be refused at once, and a plugin may ask a person.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);
/// How long a request waits for another credential where the last one has run out.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the plugin, and keeps what it gave.
pub(crate) struct Plugin {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    exec: ExecConfig,
    state: watch::Sender<State>,
}

struct State {
    /// The last good one.
    answer: Arc<Answer>,
    asking: bool,
    /// When it was asked anew and came to an end.
    asked: Option<Instant>,
}

/// The plugin gives no credential. Never holds what it printed, nor what it is given.
#[derive(Debug, Error)]
pub enum PluginError {
    /// The kubeconfig names no program.
    #[error("the kubeconfig's exec plugin has no command")]
    NoCommand,
    /// `provideClusterInfo` without a cluster.
    #[error("the exec plugin cannot be told of the cluster")]
    NoCluster,
    /// There is no such program, or it may not be run.
    #[error("the exec plugin cannot be started: {0}")]
    Start(#[source] std::io::Error),
    /// It was started, but not heard.
    #[error("the exec plugin cannot be read from: {0}")]
    Read(#[source] std::io::Error),
    /// It said itself that it has none.
    #[error("the exec plugin ended with {0}")]
    Failed(std::process::ExitStatus),
    /// It hangs, and was killed.
    #[error("the exec plugin did not end within {} s", .0.as_secs())]
    Late(Duration),
    /// It printed more than any credential is long.
    #[error("the exec plugin printed more than {0} bytes")]
    TooLong(u64),
    /// It printed something else.
    #[error("the exec plugin printed no ExecCredential")]
    NoExecCredential,
    /// It printed one without content.
    #[error("the exec plugin gave neither a token nor a certificate with its key")]
    Empty,
    /// No header can hold it.
    #[error("the exec plugin gave a token that cannot be sent")]
    Token,
    /// The certificate or its key.
    #[error("the exec plugin gave a certificate that cannot be used: {0}")]
    Certificate(String),
}

/// Takes the plugin out of a kubeconfig's user, so that nobody else runs it. Nothing if
/// there is none, or what else is there goes before it.
pub(crate) fn take(user: &mut AuthInfo) -> Option<ExecConfig> {
    let exec = user.exec.take();
    let password = user.username.is_some() && user.password.is_some();
    let token = user.token.is_some() || user.token_file.is_some();
    exec.filter(|_| !password && !token && user.auth_provider.is_none())
}

impl Plugin {
    /// Asks it for the first time.
    pub(crate) async fn start(exec: ExecConfig) -> Result<Self, PluginError> {
        let answer = Arc::new(ask(&exec).await?);
        let state = State {
            answer,
            asking: false,
            asked: None,
        };
        let shared = Arc::new(Shared {
            exec,
            state: watch::Sender::new(state),
        });
        Ok(Self {
            shared,
            tasks: Tasks::new(),
        })
    }

    /// The last good one.
    pub(crate) fn answer(&self) -> Arc<Answer> {
        self.shared.state.borrow().answer.clone()
    }

    /// One that has not run out, as far as the plugin gives it in time; else the last
    /// good one.
    pub(crate) async fn fresh(&self) -> Arc<Answer> {
        let answer = self.answer();
        match answer.age(SystemTime::now()) {
            Age::Good => answer,
            Age::RunsOut => {
                self.ask_again();
                answer
            }
            Age::RanOut => {
                self.ask_again();
                let mut state = self.shared.state.subscribe();
                let asked = state.wait_for(|state| !state.asking);
                // Late, it still comes to those who are sent later.
                let _ = timeout(PATIENCE, asked).await;
                self.answer()
            }
        }
    }

    /// What it gave was refused, or runs out: asks it anew, unless somebody does or did
    /// just now. Waits for nothing.
    pub(crate) fn ask_again(&self) {
        let begins = self.shared.state.send_if_modified(|state| {
            let just_now = |asked: Instant| asked.elapsed() < BETWEEN_QUESTIONS;
            let begins = !state.asking && !state.asked.is_some_and(just_now);
            state.asking |= begins;
            begins
        });
        if begins {
            let shared = self.shared.clone();
            self.tasks.spawner().spawn(async move {
                let asked = ask(&shared.exec).await;
                shared.take(asked);
            });
        }
    }
}

impl Shared {
    fn take(&self, asked: Result<Answer, PluginError>) {
        match &asked {
            Ok(_) => tracing::info!("the exec plugin was asked for another credential"),
            Err(error) => {
                tracing::warn!(%error, "the exec plugin gives no other credential: the last one stays");
            }
        }
        self.state.send_modify(|state| {
            state.asking = false;
            state.asked = Some(Instant::now());
            if let Ok(answer) = asked {
                state.answer = Arc::new(answer.after(&state.answer));
            }
        });
    }
}

async fn ask(exec: &ExecConfig) -> Result<Answer, PluginError> {
    Answer::read(&run::run(exec).await?)
}

#[cfg(test)]
mod tests;
