//! What is asked of every tunnel, a file a load. Each fills tables of a [`Report`]; their
//! first row is the direct connection, without any tunnel.

mod api_server;
mod bulk;
mod case;
mod chains;
mod far;
mod fresh;
mod latency;
mod measure;
mod memory;
mod mixed;
mod requests;
mod stage;
mod watches;
mod websocket;

use anyhow::Result;
use clap::ValueEnum;

use crate::results::Report;

pub use case::{Case, DIRECT, Spent};
pub use measure::{Better, Measure};
pub use stage::{Effort, Ready, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Small requests, as many as are carried
    Requests,
    /// Small requests at a constant rate: how long they take
    Latency,
    /// Downloads and uploads
    Bulk,
    /// 500 watches with 10 events a second each
    Watches,
    /// A new connection for each request
    Fresh,
    /// Messages there and back on WebSockets
    Websocket,
    /// Small requests beside downloads
    Mixed,
    /// Over a long way with a bounded rate
    Far,
    /// Resident memory, of many idle links, too
    Memory,
    /// With the proxy before a TLS upstream: proxy-sidecar, and kubectl proxy behind the others
    Chains,
    /// The same before a real API server, ours only
    ApiServer,
}

impl Load {
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub async fn run(self, stage: &Stage<'_>, report: &mut Report) -> Result<()> {
        report.begin(self);
        match self {
            Self::Requests => requests::run(stage, report).await,
            Self::Latency => latency::run(stage, report).await,
            Self::Bulk => bulk::run(stage, report).await,
            Self::Watches => watches::run(stage, report).await,
            Self::Fresh => fresh::run(stage, report).await,
            Self::Websocket => websocket::run(stage, report).await,
            Self::Mixed => mixed::run(stage, report).await,
            Self::Far => far::run(stage, report).await,
            Self::Memory => memory::run(stage, report).await,
            Self::Chains => chains::run(stage, report).await,
            Self::ApiServer => api_server::run(stage, report).await,
        }
    }
}

/// `1 connection`, `32 connections`.
fn connections(count: usize) -> String {
    match count {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    }
}
