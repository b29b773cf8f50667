//! Against TLS servers with certificates of all kinds, and peers that speak none.

mod played;

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa};
use service_kit::proxy::Proxy;
use service_kit::tls::Pin;

use super::*;
use crate::trust::{IdentityFiles, TrustSources};
use played::{Authority, Played, Serves};

/// Trust in this authority alone, from a file.
fn trusting(folder: &Path, authority: &Authority) -> TrustSources {
    let ca_file = folder.join("ca.crt");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    TrustSources {
        ca_file: Some(ca_file),
        ..TrustSources::default()
    }
}

fn dialer(server: &Played, sources: &TrustSources) -> Dialer {
    let server = format!("https://{}", server.address).parse().unwrap();
    Dialer::new(server, None, Arc::new(Trust::new(sources).unwrap()))
}

async fn fault(dialer: &Dialer) -> String {
    match dialer.dial(&Steps::default()).await {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// All of them are in the text.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

type Edit = fn(&mut CertificateParams);

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named_with_whose_it_is() {
    let ours = Authority::new("Our CA");
    let cases: [(Edit, &[&str]); 5] = [
        (|_| {}, &["none"]),
        (
            |own| own.not_after = rcgen::date_time_ymd(2020, 12, 31),
            &["has expired on 2020-12-31", "here it is 20", "'CN=Our CA'"],
        ),
        (
            |own| own.not_before = rcgen::date_time_ymd(2090, 1, 2),
            &["not valid before 2090-01-02", "set the clock"],
        ),
        (
            |own| own.subject_alt_names = played::names(&["a.example", "*.b.example"]),
            &[
                "is for a.example, *.b.example, not for 127.0.0.1",
                "--tls-server-name",
            ],
        ),
        (
            |own| own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            &["cannot be trusted", "issued by 'CN=Our CA'"],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &ours);
    for (edit, words) in cases {
        let server = Played::start(Serves::tls(&ours.issues(edit))).await;
        says(&fault(&dialer(&server, &sources)).await, words);
    }
}

#[tokio::test]
async fn who_intercepts_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &Authority::new("Our CA"));
    let corporate = Authority::new("Corp Proxy CA");
    let server = Played::start(Serves::tls(&corporate.issues(|_| {}))).await;
    let words = [
        "TLS with https://127.0.0.1:",
        "issued by 'CN=Corp Proxy CA'",
        "intercepts TLS",
        "--ca-file",
        "excepted",
    ];
    says(&fault(&dialer(&server, &sources)).await, &words);
    let alone = played::self_signed(|own| {
        let name = &mut own.distinguished_name;
        name.push(DnType::CommonName, "Appliance");
    });
    let server = Played::start(Serves::tls(&alone)).await;
    let words = ["nobody but itself, 'CN=Appliance'", "--ca-file"];
    says(&fault(&dialer(&server, &sources)).await, &words);
}

/// As `openssl req -x509` makes it.
#[tokio::test]
async fn an_authority_that_serves_itself_is_named() {
    let own = played::self_signed(|own| own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, own.chain_pem()).unwrap();
    let sources = TrustSources {
        ca_file: Some(ca_file),
        ..TrustSources::default()
    };
    let server = Played::start(Serves::tls(&own)).await;
    let words = ["an authority's (CA:TRUE)", "sign another one"];
    says(&fault(&dialer(&server, &sources)).await, &words);
}

#[tokio::test]
async fn a_pinned_key_is_asked_for_beside_all_else() {
    let ours = Authority::new("Our CA");
    let own = ours.issues(|_| {});
    let server = Played::start(Serves::tls(&own)).await;
    let folder = tempfile::tempdir().unwrap();
    let with = |pins: &[Pin]| TrustSources {
        pins: pins.to_vec(),
        ..trusting(folder.path(), &ours)
    };
    let another = Authority::new("another").pin();
    for pins in [&[own.pin()][..], &[another, own.pin()], &[ours.pin()]] {
        let fault = fault(&dialer(&server, &with(pins))).await;
        assert_eq!(fault, "none", "{pins:?}");
    }
    let came = own.pin().to_string();
    let fault = fault(&dialer(&server, &with(&[another]))).await;
    says(&fault, &["--pin-sha256", &came]);
}

#[tokio::test]
async fn what_is_no_tls_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &Authority::new("Our CA"));
    let cases: [(&'static [u8], &str); 5] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "no TLS: the port speaks HTTP",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no TLS: the port speaks SSH"),
        (
            b"220 mail.example ESMTP\r\n",
            "no TLS: the port speaks another",
        ),
        (b"", "ended within the handshake"),
        // A handshake's record that ends too soon.
        (b"\x16\x03\x03\x00\x40\x02", "ended within the handshake"),
    ];
    for (answer, words) in cases {
        let server = Played::start(Serves::Bytes(answer)).await;
        says(&fault(&dialer(&server, &sources)).await, &[words]);
    }
}

#[tokio::test]
async fn a_refusal_is_named() {
    let ours = Authority::new("Our CA");
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &ours);
    let h2_alone = Serves::tls_with(&ours.issues(|_| {}), |config| {
        config.alpn_protocols = vec![b"h2".to_vec()];
    });
    let server = Played::start(h2_alone).await;
    says(
        &fault(&dialer(&server, &sources)).await,
        &["NoApplicationProtocol", "HTTP/1.1"],
    );
}

/// In TLS 1.3 the server says it after the handshake, as far as we know.
#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    let (ours, theirs) = (Authority::new("Our CA"), Authority::new("Their CA"));
    let folder = tempfile::tempdir().unwrap();
    let mut sources = trusting(folder.path(), &ours);
    let server = Played::start(Serves::tls_for(&ours.issues(|_| {}), &theirs)).await;
    let refused = played::first_word(&dialer(&server, &sources)).await;
    says(&refused.unwrap_err(), &["--client-certificate"]);

    let [certificate, key] = ["client.crt", "client.key"].map(|name| folder.path().join(name));
    let write = |own: &played::Own| {
        std::fs::write(&certificate, own.chain_pem()).unwrap();
        std::fs::write(&key, own.key_pem()).unwrap();
    };
    write(&ours.issues(|_| {}));
    sources.identity = Some(IdentityFiles {
        certificate: certificate.clone(),
        key: key.clone(),
    });
    let dialer = dialer(&server, &sources);
    let refused = played::first_word(&dialer).await;
    says(&refused.unwrap_err(), &["--client-certificate"]);
    // Read again at each attempt.
    write(&theirs.issues(|_| {}));
    assert_eq!(
        played::first_word(&dialer).await.unwrap(),
        played::FIRST_WORD
    );
}

#[tokio::test]
async fn a_changed_ca_file_counts_at_the_next_attempt() {
    let (ours, next) = (Authority::new("Our CA"), Authority::new("Next CA"));
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &ours);
    let write = |text: &str| std::fs::write(sources.ca_file.as_ref().unwrap(), text).unwrap();
    let server = Played::start(Serves::tls(&next.issues(|_| {}))).await;
    let dialer = dialer(&server, &sources);
    says(&fault(&dialer).await, &["'CN=Next CA'"]);
    write(&next.pem());
    assert_eq!(fault(&dialer).await, "none");
    // The last good one stays.
    for faulty in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        write(faulty);
        assert_eq!(fault(&dialer).await, "none");
    }
    write(&ours.pem());
    says(&fault(&dialer).await, &["'CN=Next CA'"]);
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("Our CA");
    let sources = trusting(folder.path(), &ours);
    let path = folder.path().join("file");
    std::fs::write(&path, ours.pem()).unwrap();
    let missing = folder.path().join("missing");
    let file = |path: &Path| Some(path.to_owned());
    let identity = |certificate: &Path, key: &Path| {
        Some(IdentityFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    };
    for (sources, words) in [
        (
            TrustSources {
                ca_file: file(&missing),
                ..sources.clone()
            },
            ["--ca-file: cannot read", "missing"],
        ),
        (
            TrustSources {
                proxy_ca_file: file(&missing),
                ..sources.clone()
            },
            ["--proxy-ca-file: cannot read", "missing"],
        ),
        (
            TrustSources {
                identity: identity(&path, &missing),
                ..sources.clone()
            },
            ["--client-key: cannot read", "missing"],
        ),
        (
            TrustSources {
                identity: identity(&path, &path),
                ..sources.clone()
            },
            ["--client-key: ", "no private key"],
        ),
    ] {
        let error = Trust::new(&sources).unwrap_err().to_string();
        says(&error, &words);
    }
}

fn through(proxy: &Played, dialer: Dialer) -> Dialer {
    let url = format!("https://{}", proxy.address);
    let Ok(Proxy::Http(proxy)) = Proxy::from_url(&url) else {
        panic!("{url}");
    };
    Dialer {
        proxy: Some(proxy),
        ..dialer
    }
}

#[tokio::test]
async fn a_proxy_has_a_ca_of_its_own_and_sees_no_certificate_of_ours() {
    let (ours, theirs) = (Authority::new("Our CA"), Authority::new("Proxy CA"));
    let folder = tempfile::tempdir().unwrap();
    let mut sources = trusting(folder.path(), &ours);
    let own = ours.issues(|_| {});
    let [certificate, key] = ["client.crt", "client.key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, own.chain_pem()).unwrap();
    std::fs::write(&key, own.key_pem()).unwrap();
    sources.identity = Some(IdentityFiles { certificate, key });
    sources.pins = vec![ours.pin()];
    let server = Played::start(Serves::tls_for(&ours.issues(|_| {}), &ours)).await;
    let proxy = Played::start(Serves::proxy(&theirs.issues(|_| {}), &ours, server.address)).await;

    let dialer_with = |sources: &TrustSources| through(&proxy, dialer(&server, sources));
    let refused = fault(&dialer_with(&sources)).await;
    says(
        &refused,
        &[
            &format!("the proxy https://{} cannot be reached", proxy.address),
            "issued by 'CN=Proxy CA'",
            "--proxy-ca-file",
        ],
    );
    let proxy_ca = folder.path().join("proxy-ca.crt");
    std::fs::write(&proxy_ca, theirs.pem()).unwrap();
    sources.proxy_ca_file = Some(proxy_ca);
    let linked = played::first_word(&dialer_with(&sources)).await;
    assert_eq!(linked.unwrap(), played::FIRST_WORD);
    assert_eq!(proxy.client_certificates(), 0, "the proxy got to see ours");
    assert_eq!(server.client_certificates(), 1);
}

#[tokio::test]
async fn a_proxy_that_leads_to_no_tls_is_named() {
    let ours = Authority::new("Our CA");
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &ours);
    let server = Played::start(Serves::Bytes(b"HTTP/1.1 200 OK\r\n\r\n<html>")).await;
    let proxy = Played::start(Serves::proxy(&ours.issues(|_| {}), &ours, server.address)).await;
    let fault = fault(&through(&proxy, dialer(&server, &sources))).await;
    let through = format!("through the proxy https://{}", proxy.address);
    says(&fault, &[&through, "the port speaks HTTP"]);
}

/// What was reached tells more than what was not; and all are told where none was.
#[tokio::test]
async fn of_several_addresses_the_one_that_answers_tells_the_fault() {
    let folder = tempfile::tempdir().unwrap();
    let sources = trusting(folder.path(), &Authority::new("Our CA"));
    let other = Authority::new("Corp Proxy CA");
    let server = Played::start(Serves::tls(&other.issues(|_| {}))).await;
    // Nobody listens at its port at ::1, which localhost also means on most machines.
    let mut dialer = dialer(&server, &sources);
    dialer.server.host = "localhost".to_owned();
    says(&fault(&dialer).await, &["'CN=Corp Proxy CA'"]);
    // Nobody listens there at all.
    dialer.server.port = 1;
    says(&fault(&dialer).await, &["cannot connect to 127.0.0.1:1: "]);
}
