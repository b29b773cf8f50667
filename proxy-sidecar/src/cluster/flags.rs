//! The flags' own cluster and user, above those that were read, as kubectl merges them.

use http::Uri;
use kube::Config as KubeConfig;
use kube::config::AuthInfo;
use thiserror::Error;

use crate::args::ClusterArgs;

/// Flags, or flags and a kubeconfig, that say nothing together. Some in kubectl's words.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FlagsError {
    /// `--server`, without a user and a password that stand in it.
    #[error("--server: {0:?} is no URL of a server; give one as https://10.0.0.1:6443")]
    Server(String),
    /// `--insecure-skip-tls-verify`, or the kubeconfig's own.
    #[error("specifying a root certificates file with the insecure flag is not allowed")]
    TrustsAllAndSome,
    /// A token and a name with a password.
    #[error(
        "more than one authentication method found: a token, and --username or the kubeconfig's; \
         only one is allowed"
    )]
    TwoCredentials,
    /// `--password`.
    #[error("--password: there is no --username beside it")]
    NoUsername,
    /// `--as-uid`, `--as-group` or `--as-user-extra`.
    #[error(
        "requesting uid, groups or user-extra without impersonating a user; give one with --as"
    )]
    NobodyToBe,
}

/// Puts them there.
///
/// # Errors
/// [`FlagsError`].
pub(super) fn apply(config: &mut KubeConfig, args: &ClusterArgs) -> Result<(), FlagsError> {
    server(config, args)?;
    let user = &mut config.auth_info;
    certificate(user, args);
    credential(user, args)?;
    impersonation(user, args)
}

fn server(config: &mut KubeConfig, args: &ClusterArgs) -> Result<(), FlagsError> {
    if let Some(server) = &args.server {
        config.cluster_url = server_url(server)?;
    }
    if args.server.is_some() || args.tls_server_name.is_some() {
        // What the kubeconfig says is another server's.
        config.tls_server_name.clone_from(&args.tls_server_name);
    }
    if args.insecure_skip_tls_verify || args.certificate_authority.is_some() {
        config.accept_invalid_certs = args.insecure_skip_tls_verify;
        config
            .root_cert_file
            .clone_from(&args.certificate_authority);
        config.root_cert = None;
    }
    let trusts_some = config.root_cert_file.is_some() || config.root_cert.is_some();
    let tls = config.cluster_url.scheme_str() != Some("http");
    if tls && config.accept_invalid_certs && trusts_some {
        return Err(FlagsError::TrustsAllAndSome);
    }
    config.cluster_url = without_user(std::mem::take(&mut config.cluster_url));
    Ok(())
}

fn certificate(user: &mut AuthInfo, args: &ClusterArgs) {
    if let Some(path) = &args.client_certificate {
        user.client_certificate = Some(path.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(path) = &args.client_key {
        user.client_key = Some(path.display().to_string());
        user.client_key_data = None;
    }
}

/// A flag's takes the place of whatever the kubeconfig has.
fn credential(user: &mut AuthInfo, args: &ClusterArgs) -> Result<(), FlagsError> {
    let seen = |flag| tracing::warn!("{flag} is seen by whoever lists this machine's processes");
    if let Some(token) = &args.token {
        seen("--token");
        no_other(user);
        (user.username, user.password) = (None, None);
        user.token = Some(token.clone().into());
    }
    if args.username.is_some() || args.password.is_some() {
        if args.token.is_none() {
            no_other(user);
        }
        if args.username.is_some() {
            user.username.clone_from(&args.username);
        }
        if let Some(password) = &args.password {
            seen("--password");
            user.password = Some(password.clone().into());
        }
    }
    if user.username.as_ref().is_none_or(String::is_empty) {
        (user.username, user.password) = (None, None);
        return match args.password {
            Some(_) => Err(FlagsError::NoUsername),
            None => Ok(()),
        };
    }
    // kube-client takes a name with a password only.
    user.password.get_or_insert_default();
    match user.token.is_some() || user.token_file.is_some() {
        true => Err(FlagsError::TwoCredentials),
        false => Ok(()),
    }
}

fn no_other(user: &mut AuthInfo) {
    user.token = None;
    user.token_file = None;
    user.exec = None;
    user.auth_provider = None;
}

fn impersonation(user: &mut AuthInfo, args: &ClusterArgs) -> Result<(), FlagsError> {
    if args.impersonate.is_some() {
        user.impersonate.clone_from(&args.impersonate);
    }
    if !args.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(args.impersonate_groups.clone());
    }
    if args.impersonate_uid.is_some() {
        user.impersonate_uid.clone_from(&args.impersonate_uid);
    }
    if !args.impersonate_extra.is_empty() {
        let extra = user.impersonate_user_extra.get_or_insert_default();
        // Whatever the kubeconfig says of the same.
        for (key, _) in &args.impersonate_extra {
            extra.remove(key);
        }
        for (key, value) in &args.impersonate_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
    }
    user.impersonate.take_if(|name| name.is_empty());
    let says_more = user
        .impersonate_uid
        .as_ref()
        .is_some_and(|uid| !uid.is_empty())
        || user
            .impersonate_groups
            .as_ref()
            .is_some_and(|groups| !groups.is_empty())
        || user
            .impersonate_user_extra
            .as_ref()
            .is_some_and(|extra| !extra.is_empty());
    match user.impersonate.is_none() && says_more {
        true => Err(FlagsError::NobodyToBe),
        false => Ok(()),
    }
}

/// As client-go: without a scheme it is HTTP.
fn server_url(server: &str) -> Result<Uri, FlagsError> {
    let url = match server.contains("://") {
        true => server.to_owned(),
        false => format!("http://{server}"),
    };
    let parsed: Option<Uri> = url.parse().ok();
    let usable =
        |url: &Uri| url.authority().is_some() && matches!(url.scheme_str(), Some("http" | "https"));
    parsed.filter(usable).ok_or_else(|| {
        let told = server.rsplit_once('@').map_or(server, |(_, told)| told);
        FlagsError::Server(told.to_owned())
    })
}

/// As kubectl proxy: nobody is asked as that user, and nobody is told of it.
fn without_user(url: Uri) -> Uri {
    let mut parts = url.clone().into_parts();
    let host = parts.authority.as_ref().and_then(|authority| {
        let (_, host) = authority.as_str().rsplit_once('@')?;
        host.parse().ok()
    });
    if host.is_none() {
        return url;
    }
    tracing::warn!("the user in the server's URL is not used; give it as --username");
    parts.authority = host;
    // Nothing but the user is gone.
    Uri::from_parts(parts).unwrap_or(url)
}

#[cfg(test)]
mod tests;
