//! Crowds of handshakes, and who has a turn meanwhile.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup, aws_lc_rs,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Error, NamedGroup, RootCertStore, SupportedProtocolVersion,
};
use service_kit::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const CROWD: usize = 60;
const TURNS: usize = 3;

/// What the server speaks. Counts key exchanges that are computed.
#[derive(Debug, Default)]
struct Counting(Arc<AtomicUsize>);

struct CountingOne {
    exchange: Box<dyn ActiveKeyExchange>,
    computed: Arc<AtomicUsize>,
}

impl SupportedKxGroup for Counting {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(CountingOne {
            exchange: aws_lc_rs::kx_group::X25519.start()?,
            computed: self.0.clone(),
        }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for CountingOne {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.computed.fetch_add(1, Ordering::Relaxed);
        self.exchange.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        self.exchange.pub_key()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// A server and whom it takes for.
struct Stage {
    handshakes: Arc<TlsHandshakes>,
    certificate: CertificateDer<'static>,
    computed: Arc<AtomicUsize>,
}

impl Stage {
    fn set() -> Self {
        let computed = Arc::new(AtomicUsize::new(0));
        // As long as the process lives, as rustls has groups.
        let group: &'static Counting = Box::leak(Box::new(Counting(computed.clone())));
        let provider = CryptoProvider {
            kx_groups: vec![group],
            ..aws_lc_rs::default_provider()
        };
        let pair = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&pair).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        Self {
            handshakes: Arc::new(TlsHandshakes::with_turns(
                config,
                &[Handle::current()],
                TURNS,
            )),
            certificate,
            computed,
        }
    }

    /// A client that sends a key share of the first group.
    fn client(
        &self,
        groups: &[&'static dyn SupportedKxGroup],
        version: &'static SupportedProtocolVersion,
    ) -> ClientConnection {
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..aws_lc_rs::default_provider()
        };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("a.example").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// Clients that have said hello, and wait for nothing.
    async fn crowd(
        &self,
        tasks: &Tasks,
        client: impl Fn(&Self) -> ClientConnection,
    ) -> Vec<(ClientConnection, DuplexStream)> {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let (mut near, far) = duplex(1 << 16);
            let mut client = client(self);
            near.write_all(&flight(&mut client)).await.unwrap();
            crowd.push((client, near));
            let handshakes = self.handshakes.clone();
            tasks.spawner().spawn(async move {
                // Some end as their client goes.
                drop(handshakes.secure(far, false).await);
            });
        }
        crowd
    }

    /// How many are computed at most before another task has its turn.
    async fn most_at_once(&self) -> usize {
        let (mut last, mut most) = (0, 0);
        while last < CROWD {
            yield_now().await;
            let now = self.computed.load(Ordering::Relaxed);
            most = most.max(now - last);
            last = now;
        }
        most
    }
}

/// What a client has to say.
fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Reads until the client has to say something.
async fn next_flight(client: &mut ClientConnection, near: &mut DuplexStream) -> Vec<u8> {
    while !client.wants_write() {
        let mut bytes = vec![0; 1 << 14];
        let count = near.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "the server has ended it");
        client.read_tls(&mut &bytes[..count]).unwrap();
        client.process_new_packets().unwrap();
    }
    flight(client)
}

/// All of them have an answer, and go on at once.
async fn all_go_on(crowd: &mut [(ClientConnection, DuplexStream)]) {
    let mut flights = Vec::new();
    for (client, near) in crowd.iter_mut() {
        flights.push(next_flight(client, near).await);
    }
    // In one go: what a task may do before others is bounded.
    yield_now().await;
    for ((_, near), flight) in crowd.iter_mut().zip(flights) {
        near.write_all(&flight).await.unwrap();
    }
}

#[tokio::test]
async fn a_crowd_does_not_stand_before_others() {
    let (stage, tasks) = (Stage::set(), Tasks::new());
    let client = |stage: &Stage| stage.client(&[aws_lc_rs::kx_group::X25519], &TLS13);
    let _crowd = stage.crowd(&tasks, client).await;
    let most = stage.most_at_once().await;
    assert!((1..=TURNS).contains(&most), "{most} before another's turn");
}

#[tokio::test]
async fn nor_does_one_that_has_to_say_hello_again() {
    let (stage, tasks) = (Stage::set(), Tasks::new());
    let groups: [&'static dyn SupportedKxGroup; 2] =
        [aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519];
    let mut crowd = stage
        .crowd(&tasks, |stage| stage.client(&groups, &TLS13))
        .await;
    all_go_on(&mut crowd).await;
    assert_eq!(stage.computed.load(Ordering::Relaxed), 0);
    let most = stage.most_at_once().await;
    assert!((1..=TURNS).contains(&most), "{most} before another's turn");
}

#[tokio::test]
async fn nor_does_one_of_tls_1_2() {
    let (stage, tasks) = (Stage::set(), Tasks::new());
    let client = |stage: &Stage| stage.client(&[aws_lc_rs::kx_group::X25519], &TLS12);
    let mut crowd = stage.crowd(&tasks, client).await;
    all_go_on(&mut crowd).await;
    assert_eq!(stage.computed.load(Ordering::Relaxed), 0);
    let most = stage.most_at_once().await;
    assert!((1..=TURNS).contains(&most), "{most} before another's turn");
}

/// Whole or in pieces, and with what is said at once behind it.
#[tokio::test]
async fn a_handshake_in_turns_loses_nothing() {
    let stage = Stage::set();
    let groups: [&'static dyn SupportedKxGroup; 2] =
        [aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519];
    for (groups, version, piece) in [
        (&groups[..], &TLS13, 1),
        (&groups[..], &TLS13, 1 << 14),
        (&groups[1..], &TLS12, 1),
        (&groups[1..], &TLS12, 1 << 14),
    ] {
        let (mut near, far) = duplex(1 << 16);
        let mut client = stage.client(groups, version);
        // Kept until it can be said.
        client.writer().write_all(b"hello").unwrap();
        let secured = stage.handshakes.secure(far, false);
        let server = async {
            let mut said = [0; 5];
            let mut stream = secured.await.unwrap().stream;
            stream.read_exact(&mut said).await.unwrap();
            said
        };
        let talk = async {
            near.write_all(&flight(&mut client)).await.unwrap();
            while client.is_handshaking() {
                for piece in next_flight(&mut client, &mut near).await.chunks(piece) {
                    near.write_all(piece).await.unwrap();
                    yield_now().await;
                }
            }
        };
        let (said, ()) = tokio::join!(server, talk);
        assert_eq!(&said, b"hello");
    }
}
