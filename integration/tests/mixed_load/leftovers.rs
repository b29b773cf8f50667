//! What a load may not leave behind.

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use integration::service::Service;
use integration::wait::until;

/// Files that a process may have open when nobody calls: its ports, its log, its
/// watches, a link, kept connections to the sidecar.
const FILES: usize = 40;
/// Tasks that a process may have then: listeners, watches, a link, kept connections.
const TASKS: f64 = 25.0;
/// Resident memory of any of the three then, bytes; debug builds are the largest.
const MEMORY: u64 = 96 << 20;

pub(crate) struct Leftovers;

impl Leftovers {
    /// # Errors
    /// What is left.
    pub(crate) async fn none(chain: &Chain) -> Result<()> {
        let gauges = [
            (&chain.server, "tunnel_server_open_requests"),
            (&chain.client, "tunnel_client_open_requests"),
        ];
        let sidecar = chain.sidecar.as_ref();
        let sidecar = sidecar.map(|sidecar| (sidecar, "proxy_sidecar_open_requests"));
        for (service, gauge) in gauges.into_iter().chain(sidecar) {
            until(&format!("{gauge} 0"), SOON, || async {
                Ok((service.metric(gauge).await? == Some(0.0)).then_some(()))
            })
            .await?;
        }
        for service in chain.services() {
            until("closed files", SOON * 5, || async {
                Ok((files(service)? <= FILES).then_some(()))
            })
            .await?;
            until("ended tasks", SOON * 5, || async {
                Ok((tasks(service).await? <= TASKS).then_some(()))
            })
            .await?;
            let memory = service.resident_memory()?;
            println!(
                "{}: {} files, {} tasks, {} KiB",
                service.id(),
                files(service)?,
                tasks(service).await?,
                memory >> 10
            );
            ensure!(memory < MEMORY, "{memory} bytes are left");
        }
        Ok(())
    }
}

/// How many files a process has open.
pub(crate) fn files(service: &Service) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", service.id()))?.count())
}

/// How many tasks run in a process.
pub(crate) async fn tasks(service: &Service) -> Result<f64> {
    let tasks = service.metric("culvert_tasks").await?;
    tasks.context("no culvert_tasks")
}
