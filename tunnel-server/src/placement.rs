//! Which thread serves a connection: that of the link to the cluster which its first bytes
//! name. To wake a task on another thread costs as much as half of what a small request
//! does (measured, see `bench/NOTES.md`).

use std::io;
use std::mem::replace;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use service_kit::tasks::Spawner;
use service_kit::workers::Workers;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::time::timeout;
use tunnel_protocol::ClusterName;

use crate::first_host::{self, Named};
use crate::hosts::{HostOwner, Hosts};

/// How long a connection's first bytes are waited for. Most send them at once; a load
/// balancer's that is made ahead of need goes wherever its turn is.
const FIRST_BYTES: Duration = Duration::from_millis(100);
/// As much of them as is looked at: more than a hello of TLS or an ordinary head has.
const LOOKED_AT: usize = 4096;

/// The threads, and what is known of the links on them.
pub(crate) struct Placement {
    threads: Vec<Thread>,
    /// Apart, so that no rhythm of others puts all links on one thread.
    turns_of_links: AtomicUsize,
    turns_of_others: AtomicUsize,
    hosts: Hosts,
    thread_of: ThreadOf,
}

/// Gives the thread of a link to a cluster, if there is one.
type ThreadOf = Box<dyn Fn(&ClusterName) -> Option<Id> + Send + Sync>;

/// One of them.
struct Thread {
    id: Id,
    /// Starts callers' tasks on it.
    spawner: Spawner,
}

impl Placement {
    /// `spawner` has the owner of the tasks that serve connections.
    pub(crate) fn new(
        workers: &Workers,
        spawner: &Spawner,
        hosts: Hosts,
        thread_of: ThreadOf,
    ) -> Self {
        let ids = workers.runtimes().iter().map(Handle::id);
        let threads = ids
            .zip(workers.spawners(spawner))
            .map(|(id, spawner)| Thread { id, spawner });
        Self {
            threads: threads.collect(),
            turns_of_links: AtomicUsize::new(0),
            turns_of_others: AtomicUsize::new(0),
            hosts,
            thread_of,
        }
    }

    /// The thread for a connection that has not been read from; nothing where it is this
    /// one.
    pub(crate) async fn of(&self, stream: &TcpStream) -> Option<&Spawner> {
        if self.threads.len() < 2 {
            return None;
        }
        let thread = match self.owner(stream).await {
            Some(HostOwner::Cluster(cluster)) => self.of_links_to(&cluster),
            // What most come for there is to be a link.
            Some(HostOwner::Server) => Some(self.turn(&self.turns_of_links)),
            None => None,
        };
        let thread = thread.unwrap_or_else(|| self.turn(&self.turns_of_others));
        (thread.id != Handle::current().id()).then_some(&thread.spawner)
    }

    fn of_links_to(&self, cluster: &ClusterName) -> Option<&Thread> {
        let id = (self.thread_of)(cluster)?;
        self.threads.iter().find(|thread| thread.id == id)
    }

    fn turn(&self, turns: &AtomicUsize) -> &Thread {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        &self.threads[turn % self.threads.len()]
    }

    /// Whose host it is that the connection names.
    async fn owner(&self, stream: &TcpStream) -> Option<HostOwner> {
        let mut seen = 0;
        let named = stream.async_io(Interest::READABLE, || look(stream, &mut seen));
        match timeout(FIRST_BYTES, named).await {
            Ok(Ok(Named::Host(host))) => self.hosts.owner(&host),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Looks at what has come, and leaves it where it is. A hello may come in two pieces: it is
/// waited for as long as there is more each time. Who closes has a connection that can
/// always be read, which would be looked at for ever.
fn look(stream: &TcpStream, seen: &mut usize) -> io::Result<Named> {
    let mut bytes = [0; LOOKED_AT];
    let (length, _) = recv(stream, &mut bytes, RecvFlags::PEEK)?;
    let is_more = length > replace(seen, length);
    match first_host::named(&bytes[..length]) {
        Named::NotYet if is_more && length < LOOKED_AT => Err(io::ErrorKind::WouldBlock.into()),
        named => Ok(named),
    }
}

/// A connection, and where it is to be served.
pub(crate) enum Placed<S> {
    Here(S),
    /// On that thread, where it is attached first.
    There(Spawner, Box<dyn FnOnce() -> io::Result<S> + Send>),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use service_kit::tasks::Tasks;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    struct Bench {
        workers: Workers,
        placement: Placement,
        _tasks: Tasks,
    }

    /// The cluster `one` has its link on the last of the threads.
    fn bench(threads: usize) -> Bench {
        let (workers, tasks) = (Workers::start(threads).unwrap(), Tasks::new());
        let hosts = Hosts {
            base: "culvert.example".to_owned(),
            extra: Vec::new(),
        };
        let last = workers.runtimes()[threads - 1].id();
        let thread_of = move |cluster: &ClusterName| (cluster.as_str() == "one").then_some(last);
        let placement = Placement::new(&workers, &tasks.spawner(), hosts, Box::new(thread_of));
        Bench {
            workers,
            placement,
            _tasks: tasks,
        }
    }

    impl Bench {
        /// Where a connection goes that begins like this.
        async fn thread_for(&self, first: &str) -> Id {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut caller = TcpStream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (one, other) = first.split_at(first.len() / 2);
            caller.write_all(one.as_bytes()).await.unwrap();
            let mut of = pin!(self.placement.of(&stream));
            // Once it has seen that.
            let seen = poll_fn(|cx| Poll::Ready(of.as_mut().poll(cx)));
            let spawner = match seen.await {
                Poll::Ready(spawner) => spawner,
                Poll::Pending => {
                    caller.write_all(other.as_bytes()).await.unwrap();
                    of.await
                }
            };
            let Some(spawner) = spawner else {
                return Handle::current().id();
            };
            let (told, id) = oneshot::channel();
            spawner.spawn(async move { told.send(Handle::current().id()).unwrap() });
            id.await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_caller_goes_to_its_clusters_link() {
        let bench = bench(3);
        let last = bench.workers.runtimes()[2].id();
        for _ in 0..4 {
            let head = "GET / HTTP/1.1\r\nHost: one.culvert.example\r\n\r\n";
            assert_eq!(bench.thread_for(head).await, last);
        }
    }

    #[tokio::test]
    async fn others_take_turns() {
        let bench = bench(3);
        for hosts in [
            ["two.culvert.example", "one.example", "192.0.2.1"],
            ["culvert.example"; 3],
        ] {
            let mut seen = HashSet::new();
            for host in hosts {
                let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
                seen.insert(bench.thread_for(&head).await);
            }
            assert_eq!(seen.len(), 3);
        }
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_not_waited_for() {
        let bench = bench(2);
        let seen = [bench.thread_for("").await, bench.thread_for("").await];
        assert_ne!(seen[0], seen[1]);
    }

    /// On a thread of its own, whose timers would else not be asked either.
    #[test]
    fn one_that_closes_halfway_is_looked_at_no_more() {
        let (placed, told) = mpsc::channel();
        std::thread::spawn(move || {
            let looking = async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut caller = TcpStream::connect(address).await.unwrap();
                caller.write_all(b"G").await.unwrap();
                caller.shutdown().await.unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                bench(2).placement.of(&stream).await;
            };
            service_kit::runtime::run(1, looking).unwrap();
            placed.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[tokio::test]
    async fn with_one_thread_all_stays() {
        let bench = bench(1);
        assert_eq!(bench.thread_for("").await, Handle::current().id());
    }
}
