use super::*;
use kube::config::ExecInteractiveMode;
use std::path::Path;

/// A script as a plugin.
fn plugin(script: &str) -> ExecConfig {
    ExecConfig {
        api_version: Some("client.authentication.k8s.io/v1".into()),
        command: Some("sh".into()),
        args: Some(vec!["-c".into(), script.into()]),
        env: None,
        drop_env: None,
        interactive_mode: Some(ExecInteractiveMode::Never),
        install_hint: None,
        provide_cluster_info: false,
        cluster: None,
        other: Default::default(),
    }
}

/// One that counts its runs in a file, and prints another.
fn counting(folder: &Path) -> ExecConfig {
    let folder = folder.display();
    plugin(&format!(
        "echo run >> '{folder}/runs' && cat '{folder}/answer'"
    ))
}

fn give(folder: &Path, token: &str, ends: SystemTime) {
    let ends = k8s_openapi::jiff::Timestamp::try_from(ends).unwrap();
    let answer = format!("{{status: {{token: {token}, expirationTimestamp: \"{ends}\"}}}}");
    std::fs::write(folder.join("answer"), answer).unwrap();
}

fn runs(folder: &Path) -> usize {
    let runs = std::fs::read_to_string(folder.join("runs")).unwrap();
    runs.lines().count()
}

fn token(answer: &Arc<Answer>) -> &str {
    answer.header.as_ref().unwrap().to_str().unwrap()
}

async fn asked(plugin: &Plugin) {
    let mut state = plugin.shared.state.subscribe();
    state.wait_for(|state| !state.asking).await.unwrap();
}

/// As if the last question were long ago.
fn forget(plugin: &Plugin) {
    let forget = |state: &mut State| state.asked = None;
    plugin.shared.state.send_modify(forget);
}

#[tokio::test]
async fn what_it_prints_is_not_repeated() {
    for script in [
        "echo the-secret; echo the-secret >&2; exit 3",
        "echo the-secret",
        "echo '{status: {token: \"the-secret\\u0001\"}}'",
        "echo '{status: {expirationTimestamp: the-secret}}'",
        "echo '{status: {clientCertificateData: the-secret, clientKeyData: the-secret}}'",
        "echo '{status: {clientCertificateData: the-secret, token: the-secret}}'",
    ] {
        let error = Plugin::start(plugin(script)).await.err().unwrap();
        let message = format!("{error} {error:?}");
        assert!(!message.contains("the-secret"), "{message}");
    }
}

#[tokio::test]
async fn it_is_told_what_the_kubeconfig_says() {
    let told = r#"$(echo "$KUBERNETES_EXEC_INFO" | tr -d '"{}')"#;
    let mut exec = plugin(&format!("echo \"{{status: {{token: '$A-{told}'}}}}\""));
    exec.env = Some(vec![
        [("name", "A"), ("value", "b")]
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    ]);
    let plugin = Plugin::start(exec).await.unwrap();
    let told =
        "apiVersion:client.authentication.k8s.io/v1,kind:ExecCredential,spec:interactive:false";
    assert_eq!(token(&plugin.answer()), format!("Bearer b-{told}"));
}

#[tokio::test]
async fn what_it_gave_stays_when_it_fails_and_it_is_asked_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let later = SystemTime::now() + Duration::from_secs(3600);
    give(folder, "first", later);
    let plugin = Plugin::start(counting(folder)).await.unwrap();
    std::fs::remove_file(folder.join("answer")).unwrap();
    for _ in 0..3 {
        plugin.ask_again();
        asked(&plugin).await;
        assert_eq!(token(&plugin.fresh().await), "Bearer first");
        assert_eq!(runs(folder), 2);
    }
    give(folder, "second", later);
    forget(&plugin);
    for _ in 0..3 {
        plugin.ask_again();
    }
    asked(&plugin).await;
    assert_eq!(token(&plugin.answer()), "Bearer second");
    assert_eq!(runs(folder), 3);
}

#[tokio::test]
async fn it_is_asked_before_its_token_runs_out_and_waited_for_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let now = SystemTime::now();
    give(folder, "first", now + Duration::from_secs(30));
    let plugin = Plugin::start(counting(folder)).await.unwrap();
    give(folder, "second", now);
    assert_eq!(token(&plugin.fresh().await), "Bearer first");
    asked(&plugin).await;
    assert_eq!(token(&plugin.answer()), "Bearer second");
    forget(&plugin);
    give(folder, "third", now + Duration::from_secs(3600));
    assert_eq!(token(&plugin.fresh().await), "Bearer third");
    assert_eq!(token(&plugin.fresh().await), "Bearer third");
    assert_eq!(runs(folder), 3);
}

#[tokio::test]
async fn the_same_certificate_is_no_new_one() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let write = || {
        let own = rcgen::generate_simple_self_signed(["joe".to_owned()]).unwrap();
        let answer = serde_json::json!({ "status": {
            "clientCertificateData": own.cert.pem(), "clientKeyData": own.signing_key.serialize_pem(),
        } });
        std::fs::write(folder.path().join("answer"), answer.to_string()).unwrap();
    };
    write();
    let plugin = Plugin::start(counting(folder.path())).await.unwrap();
    let first = plugin.answer().identity.clone().unwrap();
    plugin.ask_again();
    asked(&plugin).await;
    assert_eq!(runs(folder.path()), 2);
    let again = plugin.answer().identity.clone().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    write();
    forget(&plugin);
    plugin.ask_again();
    asked(&plugin).await;
    let other = plugin.answer().identity.clone().unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
}

#[tokio::test]
async fn it_is_killed_with_what_it_has_started_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let path = child.display();
    let script = format!("sleep 300 & echo $! > '{path}.next'; mv '{path}.next' '{path}'; wait");
    let id = until(|| std::fs::read_to_string(&child).ok());
    let id = tokio::select! {
        _ = Plugin::start(plugin(&script)) => panic!("it hangs"),
        id = id => id,
    };
    let process = Path::new("/proc").join(id.trim()).join("cmdline");
    // What nobody has waited for yet has an id, but no command line any more.
    let runs = || std::fs::read(&process).is_ok_and(|line| !line.is_empty());
    until(|| (!runs()).then_some(())).await;
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            match look() {
                Some(seen) => return seen,
                None => tokio::task::yield_now().await,
            }
        }
    };
    timeout(Duration::from_secs(20), seen).await.unwrap()
}

#[test]
fn what_goes_before_it_is_used_instead() {
    let mut user = AuthInfo {
        exec: Some(plugin("")),
        ..AuthInfo::default()
    };
    assert!(take(&mut user.clone()).is_some());
    user.token = Some("fixed".to_owned().into());
    assert!(take(&mut user).is_none());
    assert!(user.exec.is_none());
}
