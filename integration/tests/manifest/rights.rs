//! What each role lets the connector's service account do, asked of a real API
//! server.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;

use crate::choice::Choice;

/// What no role but cluster-admin gives.
const NEVER: [&str; 5] = [
    "create rbac.authorization.k8s.io:clusterrolebindings",
    "create rbac.authorization.k8s.io:rolebindings default",
    "impersonate users - system:admin",
    "impersonate groups - system:masters",
    "delete nodes",
];

pub(crate) async fn view_reads_no_secrets(environment: Arc<Environment>) -> Result<()> {
    let view = Choice::applied(environment, None, "list pods default").await?;
    view.allows(&[
        "list pods",
        "watch apps:deployments team-a",
        "get pods/log default",
    ])
    .await?;
    view.denies(&NEVER).await?;
    view.denies(&[
        "list secrets",
        "get secrets default",
        "create pods default",
        "create pods/exec default",
        "create pods/portforward default",
        "create serviceaccounts/token default",
        "impersonate serviceaccounts default default",
    ])
    .await
}

pub(crate) async fn edit_may_exec_but_not_bind(environment: Arc<Environment>) -> Result<()> {
    let granted = "create pods/exec default";
    let edit = Choice::applied(environment, Some("role-edit"), granted).await?;
    edit.allows(&[
        "delete apps:deployments team-a",
        "get secrets default",
        "create pods/attach default",
        // Why proxy-sidecar refuses token requests by itself.
        "create serviceaccounts/token default",
    ])
    .await?;
    edit.denies(&NEVER).await
}

pub(crate) async fn cluster_admin_may_all(environment: Arc<Environment>) -> Result<()> {
    let granted = "create rbac.authorization.k8s.io:clusterrolebindings";
    let admin = Choice::applied(environment, Some("role-cluster-admin"), granted).await?;
    admin.allows(&NEVER).await
}

pub(crate) async fn impersonate_is_bounded_by_names(environment: Arc<Environment>) -> Result<()> {
    let granted = "impersonate users - culvert:deployer";
    let choice = Choice::applied(environment, Some("role-impersonate"), granted).await?;
    choice
        .allows(&["impersonate groups - culvert:deployers"])
        .await?;
    choice.denies(&NEVER).await?;
    choice
        .denies(&[
            "impersonate users",
            "impersonate groups",
            "impersonate users - culvert:deployers",
            "impersonate groups - culvert:deployer",
            "impersonate serviceaccounts default default",
            "impersonate authentication.k8s.io:uids - 1",
            "impersonate authentication.k8s.io:userextras/a - b",
            "list pods",
            "list namespaces",
            "get secrets default",
        ])
        .await?;

    let said = choice
        .called_as(
            "culvert:deployer",
            Some("culvert:deployers"),
            &["auth", "whoami"],
        )
        .await?;
    ensure!(
        said.contains("\"username\": \"culvert:deployer\""),
        "{said}"
    );
    for (user, group) in [
        ("system:admin", None),
        ("culvert:deployer", Some("system:masters")),
        ("system:serviceaccount:kube-system:default", None),
    ] {
        let said = choice.called_as(user, group, &["get", "pods"]).await?;
        ensure!(
            said.contains("cannot impersonate resource"),
            "{user}: {said}"
        );
    }
    Ok(())
}

pub(crate) async fn namespaced_ends_at_the_namespaces(environment: Arc<Environment>) -> Result<()> {
    let granted = "list pods team-b";
    let choice = Choice::applied(environment, Some("namespaced"), granted).await?;
    choice.allows(&["list pods team-a"]).await?;
    choice.denies(&NEVER).await?;
    choice
        .denies(&[
            "list pods team-c",
            "list pods default",
            "list pods",
            "list namespaces",
            "get secrets team-a",
            "create pods team-a",
        ])
        .await
}
