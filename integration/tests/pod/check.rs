//! `tunnel-client check` in the pod, as its page says it.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::stage::Stage;

pub(crate) async fn a_check_in_the_pod_says_that_all_works(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = set.connector().await?;
    let (pod, namespace) = (
        connector.pod(set).await?,
        format!("--namespace={}", connector.namespace),
    );
    let exec = ["exec", &namespace, &pod, "--container=tunnel-client", "--"];
    let said = set
        .admin(&[exec.as_slice(), &["tunnel-client", "check"]].concat())
        .await?;
    println!("{said}");
    ensure!(said.trim_end().ends_with("all would work"), "{said}");
    let account = format!("system:serviceaccount:{}:", connector.namespace);
    ensure!(said.contains(&account), "{said}");
    Ok(())
}
