//! kubectl's global flags: which cluster, and as whom.

use std::path::PathBuf;

use clap::Args;

use super::go_values;

/// Which API server, with what trust and credential.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// The kubeconfig to use; without it `$KUBECONFIG`, `~/.kube/config`, then
    /// the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig's cluster to use
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The kubeconfig's user to use
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The API server's URL, instead of the kubeconfig's
    #[arg(short, long, value_name = "URL")]
    pub server: Option<String>,
    /// The CA that signed the API server's certificate, instead of the kubeconfig's
    #[arg(long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// The name that the API server's certificate is checked for, instead of its host
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not check the API server's certificate; whoever is in between can then read
    /// and change everything
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = go_values::bool)]
    pub insecure_skip_tls_verify: bool,
    /// A certificate to prove oneself to the API server with
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// A token for the API server; whoever lists the machine's processes sees it, so
    /// rather name it in a kubeconfig
    #[arg(long)]
    pub token: Option<String>,
    /// A name for the API server, where it takes passwords
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Its password; seen as --token is
    #[arg(long)]
    pub password: Option<String>,
    /// Whom to impersonate
    #[arg(long = "as", value_name = "NAME")]
    pub impersonate: Option<String>,
    /// A group to impersonate; may be repeated
    #[arg(long = "as-group", value_name = "NAME")]
    pub impersonate_groups: Vec<String>,
    /// The uid to impersonate
    #[arg(long = "as-uid", value_name = "UID")]
    pub impersonate_uid: Option<String>,
    /// What else is to be said of whom to impersonate; may be repeated
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", value_parser = go_values::key_value)]
    pub impersonate_extra: Vec<(String, String)>,
}

impl ClusterArgs {
    /// Without flags that are empty: to kubectl they say nothing.
    pub(crate) fn without_empty(mut self) -> Self {
        let texts = [
            &mut self.context,
            &mut self.cluster,
            &mut self.user,
            &mut self.server,
            &mut self.tls_server_name,
            &mut self.token,
            &mut self.username,
            &mut self.password,
            &mut self.impersonate,
            &mut self.impersonate_uid,
        ];
        for text in texts {
            text.take_if(|text| text.is_empty());
        }
        let paths = [
            &mut self.kubeconfig,
            &mut self.certificate_authority,
            &mut self.client_certificate,
            &mut self.client_key,
        ];
        for path in paths {
            path.take_if(|path| path.as_os_str().is_empty());
        }
        self
    }
}
