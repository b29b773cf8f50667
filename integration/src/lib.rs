//! Runs the real binaries against a real Kubernetes API.
//!
//! A test file's `main` is [`suite::run`]; each of its tests gets an
//! [`Environment`](environment::Environment), and from it as many
//! [`Chain`](chain::Chain)s as it wants: tunnel-server, tunnel-client and
//! proxy-sidecar as processes, in front of the suite's control plane.

#![expect(
    missing_docs,
    reason = "test tooling: names and the modules' own lines say it"
)]

pub mod admin_kubectl;
pub mod answering;
pub mod binaries;
pub mod certificate_trust;
pub mod chain;
pub mod chromium;
pub mod connect_proxy;
pub mod daemon;
pub mod devtools;
pub mod endure;
pub mod environment;
pub mod gateway_crds;
pub mod go_clients;
pub mod haproxy;
pub mod http1;
pub mod http2_connection;
pub mod http2_frames;
pub mod http_version;
pub mod kubeconfig;
pub mod load_balancer;
pub mod microsocks;
pub mod mounted;
pub mod neighbour;
pub mod network;
pub mod network_policy;
pub mod nginx;
pub mod played_cluster;
pub mod python;
pub mod raw_http;
pub mod recorder;
pub mod rendered;
pub mod replica;
pub mod secrets;
pub mod server_config;
pub mod service;
pub mod sidecar;
pub mod slow_path;
pub mod squid;
pub mod steady_calls;
pub mod suite;
pub mod switch;
pub mod tinyproxy;
pub mod wait;
