//! A choice of role in a real API server, and questions to that server about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::wait;
use serde_json::{Value, json};

use crate::admission::renamed;
use crate::kubectl::{apply, kubectl, kubectl_json};
use crate::render::Tools;

/// The authorizer sees a new binding through a watch.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(30);

/// One choice, applied, and the service account that it gives rights to.
pub(crate) struct Choice {
    environment: Arc<Environment>,
    name: String,
    http: reqwest::Client,
}

impl Choice {
    /// Applies a component, or the base alone, and waits until `granted` holds.
    pub(crate) async fn applied(
        environment: Arc<Environment>,
        component: Option<&str>,
        granted: &str,
    ) -> Result<Self> {
        aggregate(&environment).await?;
        for namespace in ["team-a", "team-b", "team-c"] {
            environment
                .kubernetes()
                .await?
                .create_namespace(namespace)
                .await?;
        }
        let tools = Tools::new(&environment).await?;
        let objects = tools.base_with(component.as_slice())?;
        let name = format!("rights-{}", component.unwrap_or("view"));
        let all: Vec<Value> = renamed(&objects, &name)?.into_values().collect();
        let (namespace, rest) = all
            .into_iter()
            .partition::<Vec<_>, _>(|object| object["kind"] == "Namespace");
        apply(&environment, &namespace, &[]).await?;
        apply(&environment, &rest, &[]).await?;
        let name = format!("choice-{name}");
        let ca = environment.kubernetes().await?.ca_pem().to_owned();
        let ca = reqwest::Certificate::from_pem(ca.as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only([ca]).build()?;
        let choice = Self {
            environment,
            name,
            http,
        };
        wait::until(granted, EFFECTIVE_WITHIN, async || {
            Ok(choice.may(granted).await?.then_some(()))
        })
        .await?;
        Ok(choice)
    }

    /// Whether the account may do what `question` says: `verb resource[/sub]
    /// [namespace [name]]`, `-` for none; a resource as `group:resource`.
    async fn may(&self, question: &str) -> Result<bool> {
        let words: Vec<_> = question.split(' ').collect();
        let word = |index: usize| match words.get(index) {
            None | Some(&"-") => "",
            Some(word) => word,
        };
        let (group, resource) = word(1).split_once(':').unwrap_or(("", word(1)));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let account = &self.name;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{account}:{account}"),
                "groups": [
                    "system:serviceaccounts",
                    format!("system:serviceaccounts:{account}"),
                    "system:authenticated",
                ],
                "resourceAttributes": {
                    "verb": word(0), "group": group, "resource": resource,
                    "subresource": subresource, "namespace": word(2),
                    "name": words.get(3..).unwrap_or_default().join(" "),
                },
            },
        });
        let kubernetes = self.environment.kubernetes().await?;
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = self
            .http
            .post(format!("{}{path}", kubernetes.url()))
            .bearer_auth(kubernetes.admin_token())
            .json(&review)
            .send()
            .await?
            .error_for_status()?;
        let answer: Value = answer.json().await?;
        Ok(answer["status"]["allowed"] == true)
    }

    pub(crate) async fn allows(&self, questions: &[&str]) -> Result<()> {
        for question in questions {
            ensure!(
                self.may(question).await?,
                "{} may not {question}",
                self.name
            );
        }
        Ok(())
    }

    pub(crate) async fn denies(&self, questions: &[&str]) -> Result<()> {
        for question in questions {
            ensure!(!self.may(question).await?, "{} may {question}", self.name);
        }
        Ok(())
    }

    /// What kubectl says when the account itself calls as somebody else.
    pub(crate) async fn called_as(
        &self,
        user: &str,
        group: Option<&str>,
        command: &[&str],
    ) -> Result<String> {
        let kubernetes = self.environment.kubernetes().await?;
        let token = kubernetes
            .service_account_token(&self.name, &self.name)
            .await?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        kubernetes.kubeconfig_for(&token, &kubeconfig)?;
        let output = tokio::process::Command::new(kubernetes.kubectl())
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(command)
            .args(["--output", "json", "--as", user])
            .args(group.iter().flat_map(|group| ["--as-group", group]))
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

/// Fills the built-in roles as the controller manager does, which does not run
/// here: the union of the rules that are labelled for them.
async fn aggregate(environment: &Arc<Environment>) -> Result<()> {
    for role in ["view", "edit"] {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}=true");
        let parts =
            kubectl_json(environment, &["get", "clusterroles", "--selector", &label]).await?;
        let parts = parts["items"].as_array().into_iter().flatten();
        let rules: Vec<_> = parts
            .filter_map(|part| part["rules"].as_array())
            .flatten()
            .collect();
        ensure!(!rules.is_empty(), "nothing is aggregated to {role}");
        let patch = json!({ "rules": rules }).to_string();
        let arguments = [
            "patch",
            "clusterrole",
            role,
            "--type=merge",
            "--patch",
            &patch,
        ];
        kubectl(environment, &arguments).await?;
    }
    Ok(())
}
