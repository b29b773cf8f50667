//! Each load carries its figures through our own tunnel. What they are is no matter here.

use std::time::Duration;

use bench::generator::closed_loop::Times;
use bench::lean::origin::Origin;
use bench::loads::{Effort, Load, Ready, Stage};
use bench::peers::{Workshop, all};
use bench::results::Report;
use local_kubernetes::process::Spawner;

/// Without those that take longer by themselves.
const LOADS: [Load; 6] = [
    Load::Requests,
    Load::Latency,
    Load::Watches,
    Load::Fresh,
    Load::Websocket,
    Load::Mixed,
];

#[tokio::test]
async fn our_own_tunnel_is_measured() {
    service_kit::tls::install_provider();
    let _ = service_kit::open_files::raise_limit();
    let times = Times {
        warm_up: Duration::from_millis(50),
        // 256 answers may come together, and those of unoptimised programs late.
        time: Duration::from_millis(600),
    };
    let effort = Effort {
        rounds: 1,
        times,
        quick: true,
    };
    let peer = all().into_iter().next().unwrap();
    let programs = peer.obtain(&Workshop { sources: None }).unwrap();
    let ready = [Ready { peer, programs }];
    let (spawner, origin) = (Spawner::new().unwrap(), Origin::start().await.unwrap());
    let stage = Stage {
        spawner: &spawner,
        ready: &ready,
        origin: &origin,
        effort,
    };
    let mut report = Report::new("a test".into(), effort, Vec::new(), Vec::new()).unwrap();
    for load in LOADS {
        load.run(&stage, &mut report).await.unwrap();
    }
    for table in &report.tables {
        for row in &table.rows {
            assert_eq!(row.failed, None, "{}: {}", table.title, row.case);
            let first = row.figures[0].spread().unwrap();
            assert!(first.median > 0.0, "{}: {}", table.title, row.case);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(page.contains("| culvert |"), "{page}");
    let charts = page.lines().filter(|line| line.starts_with("![")).count();
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        files,
        charts + 2,
        "a chart for each, README.md and results.json"
    );
}
