//! The names that the server answers to.

use tunnel_protocol::ClusterName;

/// The names that this server answers to.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// `<cluster>.<base>` is a cluster's.
    pub base: String,
    /// As the base domain, but without subdomains.
    pub extra: Vec<String>,
}

/// Whose host it is.
#[derive(Debug)]
pub enum HostOwner {
    /// The server's own: its pages, links, and clusters by path.
    Server,
    /// That cluster's.
    Cluster(ClusterName),
}

impl Hosts {
    /// Whose a host is; nothing for one that is not served here.
    #[must_use]
    pub fn owner(&self, host: &str) -> Option<HostOwner> {
        if host == self.base || self.extra.iter().any(|extra| extra == host) {
            return Some(HostOwner::Server);
        }
        let label = host.strip_suffix(&self.base)?.strip_suffix('.')?;
        ClusterName::parse(label).ok().map(HostOwner::Cluster)
    }
}
