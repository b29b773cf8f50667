//! What is put into an image.

use std::collections::BTreeSet;

/// A program with an image of its own.
#[derive(Debug)]
pub(crate) struct Program {
    /// The package, the binary and the image.
    pub(crate) name: &'static str,
    /// It dials servers that the public authorities know.
    pub(crate) dials_public_servers: bool,
    /// The most bytes that its archive may have.
    pub(crate) limit: u64,
    ports: &'static [u16],
}

/// Pulled within a second over 100 Mbit/s.
const SMALL: u64 = 12_000_000;

/// All of them.
pub(crate) const PROGRAMS: [Program; 3] = [
    Program {
        name: "proxy-sidecar",
        // Beside each service account's token lies the API server's own CA.
        dials_public_servers: false,
        // HTTP/2, proxies and credential plugins have their price.
        limit: 14_000_000,
        // The port of the API is on loopback.
        ports: &[8002],
    },
    Program {
        name: "tunnel-client",
        dials_public_servers: true,
        limit: SMALL,
        ports: &[8003],
    },
    Program {
        name: "tunnel-server",
        // It dials nobody.
        dials_public_servers: false,
        limit: 2 * SMALL,
        ports: &[8443, 9090],
    },
];

impl Program {
    /// Where it is in its image; the `PATH` of container runtimes leads there.
    pub(crate) fn path(&self) -> String {
        format!("/usr/bin/{}", self.name)
    }

    /// Its ports as an image names them.
    pub(crate) fn exposed_ports(&self) -> BTreeSet<String> {
        self.ports
            .iter()
            .map(|port| format!("{port}/tcp"))
            .collect()
    }
}
