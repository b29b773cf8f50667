//! The configuration file: the server's own settings, its clusters and its
//! callers. People keep it in Git: it holds hashes, never tokens.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tunnel_protocol::ClusterName;
use tunnel_protocol::token::TokenHash;

use super::limits::limits;
use super::reader::{Reader, Section, without_tokens};
use crate::access::file_store::{AccessData, Allowed, CallerToken, ConnectorToken};
use crate::access::{Caller, Cluster};
use crate::forwarded::ForwardedHeader;
use crate::limits::LimitSettings;
use crate::proxy_protocol::ProxyProtocol;
use crate::trusted_proxies::{TrustedProxies, network};

/// At most this many, so that a rotation drops nothing and old ones go.
const CONNECTOR_TOKENS: usize = 2;

/// A file without faults.
#[derive(Clone, Debug)]
pub struct File {
    /// What does not change while the server runs.
    pub(crate) settings: Settings,
    /// PEM files; read again when they change.
    pub(crate) certificate: Option<CertificateFiles>,
    /// What takes effect at once.
    pub(crate) access: AccessData,
    /// So do these.
    pub(crate) limits: LimitSettings,
}

impl File {
    /// Whether a server that started with one file need not start anew for the
    /// other.
    pub(crate) fn starts_as(&self, other: &Self) -> bool {
        self.settings == other.settings && self.certificate == other.certificate
    }
}

/// What does not change while the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) base_domain: String,
    pub(crate) extra_hosts: Vec<String>,
    pub(crate) public_port: Option<u16>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) proxy_protocol: ProxyProtocol,
    pub(crate) trusted_proxies: TrustedProxies,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Everything that is wrong with a file, a line each.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}  - {fault}")?;
        }
        Ok(())
    }
}

/// Reads and checks a file.
///
/// # Errors
/// All its [`Faults`]; none repeats a value where a hash is expected, as it may
/// be a token that was put in the wrong place.
pub fn read(text: &str) -> Result<File, Faults> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Faults(vec![without_tokens(&format!("not YAML: {error}"))]))?;
    let mut reader = Reader::default();
    let mut root = reader.section("", &document);
    let settings = settings(&mut reader, &mut root);
    let certificate = certificate(&mut reader, &mut root);
    let access = access(&mut reader, &mut root);
    let limits = limits(&mut reader, &mut root);
    reader.close(&root);
    let faults = reader.into_faults();
    match settings {
        Some(settings) if faults.is_empty() => Ok(File {
            settings,
            certificate,
            access,
            limits,
        }),
        _ => Err(Faults(faults)),
    }
}

fn settings(reader: &mut Reader, root: &mut Section<'_>) -> Option<Settings> {
    let base_domain = root.required(
        reader,
        "baseDomain",
        "a DNS name, like clusters.example.com",
        dns_name,
    );
    let extra_hosts = root
        .items(reader, "extraHosts")
        .into_iter()
        .filter_map(|(at, item)| named(reader, &at, item, dns_name))
        .collect();
    let listen = root.required(
        reader,
        "listen",
        "an address and port, like 0.0.0.0:8443",
        str::parse,
    );
    let admin_listen = root.parsed(reader, "adminListen", str::parse);
    let proxy_protocol = root.parsed(reader, "proxyProtocol", ProxyProtocol::parse);
    let trusted_proxies = trusted_proxies(reader, root);
    let public_port = match root.get("publicPort").map(Value::as_u64) {
        None => None,
        Some(Some(port @ 1..=65535)) => u16::try_from(port).ok(),
        Some(_) => {
            reader.fault(&root.path("publicPort"), "is not a port, 1 to 65535");
            None
        }
    };
    Some(Settings {
        base_domain: base_domain?,
        extra_hosts,
        public_port,
        listen: listen?,
        admin_listen: admin_listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 9090))),
        proxy_protocol: proxy_protocol.unwrap_or_default(),
        trusted_proxies,
    })
}

fn trusted_proxies(reader: &mut Reader, root: &mut Section<'_>) -> TrustedProxies {
    let items = root.items(reader, "trustedProxies");
    let says_nothing = items.is_empty();
    let networks = items
        .into_iter()
        .filter_map(|(at, item)| named(reader, &at, item, network))
        .collect();
    let header = root.parsed(reader, "forwardedHeader", ForwardedHeader::parse);
    if header.is_some() && says_nothing {
        let path = root.path("forwardedHeader");
        reader.fault(
            &path,
            "is believed of nobody: name the load balancers in trustedProxies",
        );
    }
    TrustedProxies {
        networks,
        header: header.unwrap_or_default(),
    }
}

fn certificate(reader: &mut Reader, root: &mut Section<'_>) -> Option<CertificateFiles> {
    let mut section = reader.section("certificate", root.get("certificate")?);
    let path = |text: &str| Ok::<_, String>(PathBuf::from(text));
    let certificate = section.required(reader, "certificateFile", "a PEM file", path);
    let key = section.required(reader, "keyFile", "a PEM file", path);
    reader.close(&section);
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn access(reader: &mut Reader, root: &mut Section<'_>) -> AccessData {
    let mut data = AccessData::default();
    let mut hashes = HashSet::new();
    for (at, item) in root.items(reader, "clusters") {
        cluster(reader, &at, item, &mut data, &mut hashes);
    }
    for (at, item) in root.items(reader, "callers") {
        caller(reader, &at, item, &mut data, &mut hashes);
    }
    data
}

fn cluster(
    reader: &mut Reader,
    at: &str,
    item: &Value,
    data: &mut AccessData,
    hashes: &mut HashSet<TokenHash>,
) {
    let mut section = reader.section(at, item);
    let name = section.required(reader, "name", "a DNS label", ClusterName::parse);
    let owner = section.text(reader, "owner").unwrap_or_default().to_owned();
    let labels = section.texts(reader, "labels");
    let tokens = tokens(reader, &mut section, "connectorTokens", hashes);
    reader.close(&section);
    if tokens.len() > CONNECTOR_TOKENS {
        let path = section.path("connectorTokens");
        reader.fault(
            &path,
            format!("at most {CONNECTOR_TOKENS}: one in use, one to rotate to"),
        );
    }
    let Some(name) = name else { return };
    let cluster = Arc::new(Cluster {
        name: name.clone(),
        owner,
        labels,
    });
    for token in tokens {
        data.connectors.insert(
            token.hash,
            ConnectorToken {
                cluster: cluster.clone(),
                expires: token.expires,
            },
        );
    }
    if data.clusters.insert(name.clone(), cluster).is_some() {
        reader.fault(&section.path("name"), format!("{name} is there twice"));
    }
}

fn caller(
    reader: &mut Reader,
    at: &str,
    item: &Value,
    data: &mut AccessData,
    hashes: &mut HashSet<TokenHash>,
) {
    let mut section = reader.section(at, item);
    let name = section.required(reader, "name", "a name for logs", |text| {
        if text.trim().is_empty() {
            Err("is empty")
        } else {
            Ok(text.to_owned())
        }
    });
    let mut allowed = Allowed::default();
    for (at, item) in section.items(reader, "clusters") {
        if item.as_str() == Some("*") {
            allowed.all = true;
        } else if let Some(cluster) = named(reader, &at, item, ClusterName::parse) {
            if !data.clusters.contains_key(&cluster) {
                reader.fault(&at, format!("there is no cluster {cluster}"));
            }
            allowed.clusters.insert(cluster);
        }
    }
    let tokens = tokens(reader, &mut section, "accessTokens", hashes);
    reader.close(&section);
    let Some(name) = name else { return };
    if data.allowed.contains_key(name.as_str()) {
        reader.fault(&section.path("name"), format!("{name:?} is there twice"));
    }
    let name: Arc<str> = name.into();
    data.allowed.insert(name.clone(), allowed);
    for token in tokens {
        let caller = Caller {
            name: name.clone(),
            token_name: token.name.into(),
            token: token.hash,
        };
        data.callers.insert(
            token.hash,
            CallerToken {
                caller: Arc::new(caller),
                expires: token.expires,
            },
        );
    }
}

/// A token's entry in the file.
struct TokenEntry {
    name: String,
    hash: TokenHash,
    expires: Option<OffsetDateTime>,
}

fn tokens(
    reader: &mut Reader,
    section: &mut Section<'_>,
    key: &'static str,
    hashes: &mut HashSet<TokenHash>,
) -> Vec<TokenEntry> {
    let mut tokens = Vec::new();
    for (at, item) in section.items(reader, key) {
        let mut entry = reader.section(&at, item);
        let name = entry.text(reader, "name").unwrap_or("unnamed").to_owned();
        let hash = entry.required(
            reader,
            "hash",
            "what `tunnel-server token new` prints",
            TokenHash::parse,
        );
        let expires = entry.parsed(reader, "expires", |text| {
            OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| "is not a time, like 2030-01-31T00:00:00Z")
        });
        reader.close(&entry);
        if let Some(hash) = hash {
            if !hashes.insert(hash) {
                reader.fault(
                    &entry.path("hash"),
                    "is there twice; each token has one use",
                );
            }
            tokens.push(TokenEntry {
                name,
                hash,
                expires,
            });
        }
    }
    tokens
}

fn named<T, E: fmt::Display>(
    reader: &mut Reader,
    at: &str,
    item: &Value,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let Some(text) = item.as_str() else {
        reader.fault(at, "is not a text");
        return None;
    };
    parse(text).map_err(|error| reader.fault(at, error)).ok()
}

fn dns_name(text: &str) -> Result<String, &'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 190 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("is not a DNS name in lower case, without port")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
    const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";

    #[test]
    fn a_whole_file() {
        let file = read(&format!(
            "baseDomain: clusters.example.com\nlisten: 127.0.0.1:8443\npublicPort: 443\n\
             proxyProtocol: required\ntrustedProxies: [10.0.0.0/24, '::1']\nforwardedHeader: Forwarded\n\
             certificate: {{certificateFile: a.pem, keyFile: b.pem}}\n\
             clusters:\n- name: prod\n  owner: ops\n  labels: {{env: prod}}\n  connectorTokens: [{{name: one, hash: '{HASH}'}}]\n\
             callers:\n- name: ci\n  clusters: [prod]\n  accessTokens: [{{hash: '{OTHER}', expires: 2030-01-31T00:00:00Z}}]\n"
        ))
        .unwrap();
        assert_eq!((file.access.clusters(), file.access.callers()), (1, 1));
        let settings = file.settings;
        assert_eq!(settings.public_port, Some(443));
        assert_eq!(settings.proxy_protocol, ProxyProtocol::Required);
        assert_eq!(settings.trusted_proxies.networks.len(), 2);
        assert_eq!(settings.trusted_proxies.header, ForwardedHeader::Forwarded);
    }

    #[test]
    fn every_fault_is_named_at_its_key() {
        let faults = read(&format!(
            "baseDomian: x\nlisten: nowhere\npublicPort: 0\nproxyProtocol: maybe\nforwardedHeader: x\ntrustedProxies: [0.0.0.0/0, lb.example]\nclusters:\n- name: WWW\n  connectorTokens: [{{hash: abc}}]\n\
             - name: b\n  labels: {{n: 1}}\n- name: b\n\
             callers:\n- clusters: [nope]\n  accessTokens: [{{hash: '{HASH}'}}, {{hash: '{HASH}'}}]\n- 7\n"
        ))
        .unwrap_err()
        .to_string();
        for expected in [
            "baseDomain: missing",
            "baseDomian: unknown key",
            "listen: ",
            "publicPort: is not a port",
            "proxyProtocol: is neither",
            "forwardedHeader: is neither",
            "trustedProxies[0]: is everybody",
            "trustedProxies[1]: is neither an address",
            "clusters[0].name: ",
            "clusters[0].connectorTokens[0].hash: not a token hash",
            "clusters[1].labels.n: is not a text",
            "clusters[2].name: b is there twice",
            "callers[0].name: missing",
            "callers[0].clusters[0]: there is no cluster nope",
            "callers[0].accessTokens[1].hash: is there twice",
            "callers[1]: is not a mapping",
        ] {
            assert!(faults.contains(expected), "{expected} is not in:\n{faults}");
        }
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        let token = "culvert_access_secretsecretsecret";
        for text in [
            format!("clusters: [{{name: a, connectorTokens: [{{hash: {token}}}]}}]"),
            format!("clusters: [ {token}"),
            format!("clusters: {token}"),
            format!("{token}: x"),
            format!("a: {{{token}: 1, {token}: 2}}"),
            format!("a: *{token}"),
            format!("clusters: [{{name: {token}}}, {{name: a, {token}: 1}}]"),
            format!("callers: [{{name: {token}}}, {{name: {token}, clusters: [{token}]}}]"),
        ] {
            let faults = read(&text).unwrap_err().to_string();
            assert!(!faults.contains("secretsecret"), "{faults}");
        }
    }

    #[test]
    fn a_header_that_nobody_is_believed_is_a_fault() {
        let text = "baseDomain: a.example\nlisten: 127.0.0.1:1\nforwardedHeader: Forwarded\n";
        let faults = read(text).unwrap_err().to_string();
        assert!(
            faults.contains("forwardedHeader: is believed of nobody"),
            "{faults}"
        );
    }
}
