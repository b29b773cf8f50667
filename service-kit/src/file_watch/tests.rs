use super::*;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
/// Nothing is told before.
const NOT_YET: Duration = Duration::from_millis(700);

async fn changed(watch: &mut FileWatch) -> Vec<Vec<u8>> {
    match timeout(SOON, watch.next()).await.unwrap() {
        Event::Changed(contents) => contents.iter().map(|content| content.to_vec()).collect(),
        other => panic!("{other:?}"),
    }
}

async fn fault(watch: &mut FileWatch) -> Fault {
    match timeout(SOON, watch.next()).await.unwrap() {
        Event::Faulty(fault) => fault.fault,
        other => panic!("{other:?}"),
    }
}

async fn nothing(watch: &mut FileWatch) {
    assert!(timeout(NOT_YET, watch.next()).await.is_err());
}

#[tokio::test]
async fn faults_are_told_once_and_what_is_as_before_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "one").unwrap();
    let mut watch = FileWatch::with_contents(&[&path], [b"one".as_slice()]);
    nothing(&mut watch).await;
    std::fs::write(&path, "").unwrap();
    nothing(&mut watch).await;
    assert_eq!(fault(&mut watch).await, Fault::Empty);
    nothing(&mut watch).await;
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(fault(&mut watch).await, Fault::Unreadable(_)));
    std::fs::create_dir(&path).unwrap();
    assert_eq!(fault(&mut watch).await, Fault::NoFile);
    nothing(&mut watch).await;
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, "one").unwrap();
    let restored = timeout(SOON, watch.next()).await.unwrap();
    assert!(matches!(restored, Event::Restored));
    std::fs::write(&path, "two").unwrap();
    assert_eq!(changed(&mut watch).await, [b"two"]);
}

#[tokio::test]
async fn a_swapped_symbolic_link_is_one_change_as_kubernetes_swaps_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, content) in [("v1", "one"), ("v2", "two")] {
        std::fs::create_dir(at(version)).unwrap();
        for file in ["a", "b"] {
            std::fs::write(at(version).join(file), format!("{content} {file}")).unwrap();
        }
    }
    std::os::unix::fs::symlink("v1", at("..data")).unwrap();
    for file in ["a", "b"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), at(file)).unwrap();
    }
    let mut watch = FileWatch::new(&[&at("a"), &at("b")]);
    assert_eq!(changed(&mut watch).await, [b"one a", b"one b"]);
    std::os::unix::fs::symlink("v2", at("..data_tmp")).unwrap();
    std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_eq!(changed(&mut watch).await, [b"two a", b"two b"]);
    nothing(&mut watch).await;
}

/// The file system's clock may not have ticked between the two.
#[tokio::test]
async fn a_write_that_leaves_length_and_time_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let time = SystemTime::now();
    let write = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    write("one");
    let mut watch = FileWatch::new(&[&path]);
    changed(&mut watch).await;
    write("two");
    assert_eq!(changed(&mut watch).await, [b"two"]);
}

#[tokio::test]
async fn what_never_settles_is_told_and_then_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut watch = FileWatch::new(&[&path]);
    let mut count = 0_u32;
    let writing = async {
        loop {
            count += 1;
            std::fs::write(&path, count.to_string()).unwrap();
            sleep(SETTLE / 5).await;
        }
    };
    tokio::select! {
        () = writing => {}
        told = fault(&mut watch) => assert_eq!(told, Fault::Unsettled),
    }
    let last = std::fs::read(&path).unwrap();
    assert_eq!(changed(&mut watch).await, [last]);
}
