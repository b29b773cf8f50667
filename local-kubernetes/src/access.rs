//! Service accounts and their rights.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::ControlPlane;

/// How long the authorizer may take to see a new binding: it watches them, so
/// it takes milliseconds.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(30);

/// The lifetime of the tokens, if none is asked for.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Who gets rights.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A user, by name.
    User(&'a str),
    /// A group, by name.
    Group(&'a str),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

impl Subject<'_> {
    fn in_binding(self) -> Value {
        const GROUP: &str = "rbac.authorization.k8s.io";
        match self {
            Self::User(name) => json!({ "kind": "User", "apiGroup": GROUP, "name": name }),
            Self::Group(name) => json!({ "kind": "Group", "apiGroup": GROUP, "name": name }),
            Self::ServiceAccount { namespace, name } => {
                json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
            }
        }
    }

    fn in_review(self) -> Value {
        match self {
            Self::User(name) => json!({ "user": name }),
            Self::Group(name) => json!({ "user": "somebody", "groups": [name] }),
            Self::ServiceAccount { namespace, name } => {
                json!({ "user": format!("system:serviceaccount:{namespace}:{name}") })
            }
        }
    }
}

impl ControlPlane {
    /// Creates a namespace, unless it is there.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
        });
        self.api.ensure("/api/v1/namespaces", &namespace).await
    }

    /// A token of the service account `name`, good for an hour. The account is
    /// created unless it is there; it has no rights by itself.
    ///
    /// # Errors
    /// If the API server refuses, for example as there is no such namespace.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        self.service_account_token_for(namespace, name, TOKEN_LIFETIME)
            .await
    }

    /// The same with a lifetime, at least 10 minutes.
    ///
    /// # Errors
    /// As for [`service_account_token`](Self::service_account_token).
    pub async fn service_account_token_for(
        &self,
        namespace: &str,
        name: &str,
        lifetime: Duration,
    ) -> Result<String> {
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
        });
        self.api.ensure(&accounts, &account).await?;
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": lifetime.as_secs() },
        });
        let answer = self
            .api
            .post(&format!("{accounts}/{name}/token"), &request)
            .await?;
        answer["status"]["token"]
            .as_str()
            .map(str::to_owned)
            .context("the API server's answer holds no token")
    }

    /// Binds `subject` to the cluster role `role` in the whole cluster, and
    /// returns when that is in effect.
    ///
    /// # Errors
    /// If there is no such role, if it has no rules, or if the API server
    /// refuses.
    pub async fn bind_cluster_role(&self, role: &str, subject: Subject<'_>) -> Result<()> {
        const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
        let path = format!("{RBAC}/clusterroles/{role}");
        let definition: Value = serde_json::from_str(&self.api.get_text(&path).await?)?;
        let mut review = granted_by(&definition["rules"][0])
            .with_context(|| format!("the cluster role {role} has no rules"))?;
        for (name, value) in subject.in_review().as_object().into_iter().flatten() {
            review[name] = value.clone();
        }
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "generateName": "local-kubernetes-" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": [subject.in_binding()],
        });
        self.api
            .post(&format!("{RBAC}/clusterrolebindings"), &binding)
            .await?;
        self.allowed(review).await
    }

    /// Waits until the authorizer, which follows the bindings by a watch,
    /// allows what `review` asks for.
    async fn allowed(&self, review: Value) -> Result<()> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": review,
        });
        let deadline = Instant::now() + EFFECTIVE_WITHIN;
        loop {
            let answer = self
                .api
                .post(
                    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                    &review,
                )
                .await?;
            if answer["status"]["allowed"] == true {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("a new binding has no effect: {answer}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The start of a SubjectAccessReview for something that `rule` grants.
fn granted_by(rule: &Value) -> Option<Value> {
    let verb = rule["verbs"][0].as_str()?;
    if let Some(path) = rule["nonResourceURLs"][0].as_str() {
        return Some(json!({ "nonResourceAttributes": { "verb": verb, "path": path } }));
    }
    let resource = rule["resources"][0].as_str()?;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Some(json!({ "resourceAttributes": {
        "verb": verb,
        "group": rule["apiGroups"][0],
        "resource": resource,
        "subresource": subresource,
        "name": rule["resourceNames"][0].as_str().unwrap_or_default(),
    }}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_asks_for_what_the_rule_grants() {
        let rule = json!({
            "verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"],
        });
        assert_eq!(
            granted_by(&rule).unwrap(),
            json!({ "resourceAttributes": {
                "verb": "get", "group": "", "resource": "pods", "subresource": "log", "name": "",
            }})
        );
        let rule = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz"] });
        assert_eq!(
            granted_by(&rule).unwrap(),
            json!({ "nonResourceAttributes": { "verb": "get", "path": "/healthz" } })
        );
        assert_eq!(granted_by(&Value::Null), None);
    }
}
