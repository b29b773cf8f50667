//! The container engine: one that runs already, else one of our own.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::own_engine::OwnEngine;
use crate::command;
use crate::environment::{docker_host, on_path};

/// The network that kind puts its nodes into.
pub const NETWORK: &str = "kind";

/// A container engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    /// As in the variable DOCKER_HOST; none is docker's default.
    host: Option<String>,
    own: Option<OwnEngine>,
}

impl Engine {
    /// The engine that `DOCKER_HOST` or docker's default socket leads to; else our
    /// own, which is started if it does not run yet. Takes a second.
    ///
    /// # Errors
    /// If there is none and none can be started: the message says why.
    pub fn obtain(progress: &dyn Fn(&str)) -> Result<Self> {
        if let Some(engine) = Self::find()? {
            return Ok(engine);
        }
        if let Some(host) = docker_host()
            && host != OwnEngine::new()?.host()
        {
            bail!("no container engine answers at {host}, which DOCKER_HOST names");
        }
        let own = OwnEngine::start(progress)?;
        Ok(Self::of(own))
    }

    /// The engine that runs, if one does.
    ///
    /// # Errors
    /// If docker's client is missing.
    pub fn find() -> Result<Option<Self>> {
        if on_path("docker").is_none() {
            bail!(
                "docker is needed for a cluster with pods: install docker (Debian: `apt-get install docker.io`)"
            );
        }
        let own = Self::of(OwnEngine::new()?);
        let host = docker_host();
        // As `cargo xtask cluster up` says it; it is ours to end all the same.
        if host.is_some() && host == own.host {
            return Ok(own.answers().then_some(own));
        }
        let given = Self { host, own: None };
        if given.answers() {
            return Ok(Some(given));
        }
        Ok((given.host.is_none() && own.answers()).then_some(own))
    }

    /// As [`Self::find`]; our own is started again if it was killed, as only it
    /// finds and ends what it has left running.
    pub(super) fn find_or_revive(progress: &dyn Fn(&str)) -> Result<Option<Self>> {
        let own = OwnEngine::new()?;
        let is_meant = docker_host().is_none_or(|host| host == own.host());
        match Self::find()? {
            None if is_meant && own.was_killed()? => Self::obtain(progress).map(Some),
            found => Ok(found),
        }
    }

    fn of(own: OwnEngine) -> Self {
        Self {
            host: Some(own.host()),
            own: Some(own),
        }
    }

    /// What DOCKER_HOST is to be for this engine's clients, if anything.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// docker's client for this engine.
    pub fn docker(&self) -> Command {
        self.client("docker")
    }

    /// A command that speaks to the engine.
    pub(super) fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        match &self.host {
            Some(host) => command.env("DOCKER_HOST", host),
            None => command.env_remove("DOCKER_HOST"),
        };
        // A context would be stronger than the default socket.
        command.env_remove("DOCKER_CONTEXT");
        command
    }

    fn answers(&self) -> bool {
        command::run(
            self.docker()
                .args(["version", "--format", "{{.Server.Version}}"]),
        )
        .is_ok()
    }

    pub(crate) fn has_image(&self, name: &str) -> Result<bool> {
        let inspected = self.docker().args(["image", "inspect", name]).output()?;
        Ok(inspected.status.success())
    }

    pub(super) fn has_container(&self, name: &str) -> Result<bool> {
        let inspected = self
            .docker()
            .args(["container", "inspect", name])
            .output()?;
        Ok(inspected.status.success())
    }

    /// Ends the engine if it was started here and runs no container.
    pub(super) fn stop_if_ours_and_idle(&self, progress: &dyn Fn(&str)) -> Result<()> {
        let Some(own) = &self.own else {
            return Ok(());
        };
        let containers = command::output(self.docker().args(["ps", "--all", "--quiet"]))?;
        if !containers.is_empty() {
            return Ok(());
        }
        // What containers leave behind; images are kept, as a cache.
        command::run(self.docker().args(["network", "prune", "--force"]))?;
        command::run(self.docker().args(["volume", "prune", "--force"]))?;
        own.stop().context("cannot stop the container engine")?;
        progress("the container engine that ran it has ended");
        Ok(())
    }
}
