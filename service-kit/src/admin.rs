//! The admin port: `/livez`, `/readyz` and `/metrics`, and nothing else.

use std::net::SocketAddr;
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

/// Tells whether the process can do its work, or what keeps it from it.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin {
    ready: Readiness,
    ready_gauge: Gauge,
    metrics: Arc<Registry>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Shows `ready` and `metrics`.
    #[must_use]
    pub fn new(ready: Readiness, mut metrics: Registry) -> Self {
        let ready_gauge = Gauge::default();
        metrics.register(
            "culvert_ready",
            "Whether /readyz says ok, 1 or 0",
            ready_gauge.clone(),
        );
        Self {
            ready,
            ready_gauge,
            metrics: Arc::new(metrics),
        }
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).await
    }
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    match (admin.ready)() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.ready_gauge.set((admin.ready)().is_ok().into());
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
