//! A real HTTP proxy as companies run one: squid.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::daemon::{Daemon, own_address};
use crate::secrets::Secrets;

const USER: &str = "culvert";
/// Not 3128, which a squid that Debian starts has at all addresses.
const PORT: u16 = 3129;
/// Who signs the certificate of one with TLS.
pub const AUTHORITY: &str = "Proxy CA";

/// What it wants to know of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    Nothing,
    Password,
    /// Negotiate or NTLM, which nobody here can do.
    Kerberos,
}

/// Runs until it is dropped.
pub struct Squid {
    pub address: SocketAddr,
    scheme: &'static str,
    password: String,
    daemon: Daemon,
}

impl Squid {
    /// Starts one with further lines of configuration, which come first.
    pub async fn start(secrets: &Secrets, asks: Asks, lines: &str) -> Result<Self> {
        Self::start_at("http_port", "", secrets, asks, lines).await
    }

    /// Starts one that is reached over TLS, by its address; [`Self::ca_file`] is its CA.
    pub async fn start_with_tls(secrets: &Secrets, asks: Asks) -> Result<Self> {
        let options = "tls-cert=FOLDER/tls.crt tls-key=FOLDER/tls.key";
        Self::start_at("https_port", options, secrets, asks, "").await
    }

    async fn start_at(
        port: &'static str,
        port_options: &str,
        secrets: &Secrets,
        asks: Asks,
        lines: &str,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // As root it gives its rights up, and writes its logs as somebody else.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
        let address = own_address(PORT);
        let password = format!("{:032x}", rand::random::<u128>());
        secrets.add("squid's password", &password);
        secrets.add(
            "squid's password in base64",
            data_encoding::BASE64.encode(format!("{USER}:{password}").as_bytes()),
        );
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("password"), format!("{USER} {password}\n"))?;
        std::fs::write(at("check-password"), CHECK_PASSWORD)?;
        write_certificate(&folder, address)?;
        let listens = format!("{port} {address} {port_options}");
        let configuration = [listens.as_str(), lines, ALWAYS, asks.lines()];
        let configuration = configuration.join("\n");
        let path = folder.path().display().to_string();
        std::fs::write(at("squid.conf"), configuration.replace("FOLDER", &path))?;
        let arguments = ["-N", "-d", "1", "-f", "squid.conf"];
        let daemon = Daemon::start("squid", &arguments, folder, address).await?;
        Ok(Self {
            address,
            scheme: port.trim_end_matches("_port"),
            password,
            daemon,
        })
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.url_with(&self.password)
    }

    /// Its URL, with another password.
    pub fn url_with(&self, password: &str) -> String {
        let scheme = self.scheme;
        format!("{scheme}://{USER}:{password}@{}", self.address)
    }

    /// Its URL as it is shown.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The CA of one with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.daemon.folder().join("ca.crt")
    }

    /// How many connections that it has led on have ended: they are logged then.
    pub fn ended(&self) -> Result<usize> {
        let log = std::fs::read_to_string(self.daemon.folder().join("access.log"))?;
        let ended = log.lines();
        let ended = ended.filter(|line| line.contains("/200 ") && line.contains(" CONNECT "));
        Ok(ended.count())
    }
}

/// Little memory, no files of the system's but its error pages.
const ALWAYS: &str = "\
visible_hostname localhost
pid_filename none
cache_log FOLDER/cache.log
access_log stdio:FOLDER/access.log
coredump_dir FOLDER
netdb_filename none
pinger_enable off
cache deny all
cache_mem 4 MB
memory_pools off
max_filedescriptors 1024
shutdown_lifetime 0 seconds
";

/// What squid asks of a helper: a line with user and password, and a word back.
const CHECK_PASSWORD: &str = "\
while read -r given; do
  if [ \"$given\" = \"$(cat \"${0%/*}/password\")\" ]; then echo OK; else echo ERR; fi
done
";

impl Asks {
    fn lines(self) -> &'static str {
        match self {
            Self::Nothing => "http_access allow all\n",
            Self::Password => {
                "auth_param basic program /bin/sh FOLDER/check-password\n\
                 auth_param basic children 1 startup=1 idle=1\n\
                 acl known proxy_auth REQUIRED\n\
                 http_access allow known\n\
                 http_access deny all\n"
            }
            // Nobody gets as far as to be checked.
            Self::Kerberos => {
                "auth_param negotiate program /bin/cat\n\
                 auth_param negotiate children 1 startup=0 idle=1\n\
                 auth_param ntlm program /bin/cat\n\
                 auth_param ntlm children 1 startup=0 idle=1\n\
                 acl known proxy_auth REQUIRED\n\
                 http_access allow known\n\
                 http_access deny all\n"
            }
        }
    }
}

fn write_certificate(folder: &TempDir, address: SocketAddr) -> Result<()> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut authority.distinguished_name;
    name.push(DnType::CommonName, AUTHORITY);
    let pair = KeyPair::generate()?;
    let ca = authority.self_signed(&pair)?;
    let issuer = Issuer::new(authority, pair);
    let own = KeyPair::generate()?;
    let certificate = CertificateParams::new([address.ip().to_string()])?;
    let certificate = certificate.signed_by(&own, &issuer)?;
    for (name, pem) in [
        ("ca.crt", ca.pem()),
        ("tls.crt", certificate.pem()),
        ("tls.key", own.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), pem)?;
    }
    Ok(())
}
