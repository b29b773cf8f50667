//! The admin port: `/livez`, `/readyz` and `/metrics`, and nothing else.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::pulse::Pulse;
use crate::tasks;

/// Tells whether the process can do its work, or what keeps it from it.
pub type Readiness =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin {
    ready: Readiness,
    ready_gauge: Gauge,
    tasks_gauge: Gauge,
    pulse: Pulse,
    metrics: Arc<Registry>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Shows `ready`, whether `pulse` beats, and `metrics`.
    #[must_use]
    pub fn new(ready: Readiness, pulse: Pulse, mut metrics: Registry) -> Self {
        let ready_gauge = Gauge::default();
        metrics.register(
            "culvert_ready",
            "Whether /readyz says ok, 1 or 0",
            ready_gauge.clone(),
        );
        let tasks_gauge = Gauge::default();
        metrics.register(
            "culvert_tasks",
            "Tasks that run in the process: of listeners, connections, links and streams",
            tasks_gauge.clone(),
        );
        Self {
            ready,
            ready_gauge,
            tasks_gauge,
            pulse,
            metrics: Arc::new(metrics),
        }
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).await
    }
}

async fn livez(State(admin): State<Admin>) -> impl IntoResponse {
    answer(admin.pulse.check())
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    answer((admin.ready)().await)
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.ready_gauge.set((admin.ready)().await.is_ok().into());
    let running = tasks::running();
    admin
        .tasks_gauge
        .set(i64::try_from(running).unwrap_or(i64::MAX));
    let mut text = String::new();
    let status = match encode(&mut text, &admin.metrics) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (
        status,
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}

/// Listens on a TCP address, with an error that names it.
///
/// # Errors
/// [`std::io::Error`] that says which address, and why not.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_says_alive_only_while_the_main_loop_turns() {
        let pulse = Pulse::default();
        let ready: Readiness = Arc::new(|| Box::pin(async { Ok(()) }));
        let admin = Admin::new(ready, pulse.clone(), Registry::default());
        let status =
            async |admin: &Admin| livez(State(admin.clone())).await.into_response().status();
        pulse.beside(sleep(Duration::from_secs(60))).await;
        assert_eq!(status(&admin).await, StatusCode::OK);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(status(&admin).await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
