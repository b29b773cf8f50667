use super::*;
use secrecy::ExposeSecret;

/// What becomes of this kubeconfig's part by these flags.
fn applied(config: KubeConfig, args: ClusterArgs) -> Result<KubeConfig, FlagsError> {
    let mut config = config;
    apply(&mut config, &args.without_empty()).map(|()| config)
}

fn of(url: &str) -> KubeConfig {
    KubeConfig::new(url.parse().unwrap())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn servers() {
    let url = |text: &str| server_url(text).map(|url| url.to_string()).ok();
    assert_eq!(url("https://a:6443/x").as_deref(), Some("https://a:6443/x"));
    assert_eq!(url("a:8080").as_deref(), Some("http://a:8080/"));
    assert_eq!(url("ftp://a"), None);
    let error = server_url("https://").unwrap_err().to_string();
    assert!(error.starts_with("--server: "), "{error}");
    let error = server_url("ftp://me:the-secret@a").unwrap_err().to_string();
    assert!(!error.contains("the-secret"), "{error}");
}

#[test]
fn a_user_in_the_url_is_not_used() {
    let read = applied(of("https://me:pass@a:6443/x"), ClusterArgs::default()).unwrap();
    assert_eq!(read.cluster_url, "https://a:6443/x");
    let args = ClusterArgs {
        server: text("me@b"),
        ..Default::default()
    };
    assert_eq!(
        applied(of("https://a"), args).unwrap().cluster_url,
        "http://b/"
    );
}

#[test]
fn another_server_has_another_name() {
    let mut config = of("https://a");
    config.tls_server_name = text("of-a");
    for (server, name, becomes) in [
        (None, None, text("of-a")),
        (text(""), text(""), text("of-a")),
        (text("https://b"), None, None),
        (text("https://b"), text("of-b"), text("of-b")),
        (None, text("of-b"), text("of-b")),
    ] {
        let args = ClusterArgs {
            server,
            tls_server_name: name,
            ..Default::default()
        };
        let config = applied(config.clone(), args).unwrap();
        assert_eq!(config.tls_server_name, becomes);
    }
}

#[test]
fn whom_it_trusts() {
    let ca = || Some("ca".into());
    // Of the kubeconfig: trusts all, trusts some. Of the flags the same. The outcome.
    for (all, some, flag_all, flag_some, becomes) in [
        (true, false, false, None, Ok((true, false))),
        (true, true, false, None, Err(FlagsError::TrustsAllAndSome)),
        (false, true, true, None, Ok((true, false))),
        (true, false, false, ca(), Ok((false, true))),
        (false, true, true, ca(), Err(FlagsError::TrustsAllAndSome)),
    ] {
        let mut config = of("https://a");
        config.accept_invalid_certs = all;
        config.root_cert = some.then(Vec::new);
        let args = ClusterArgs {
            insecure_skip_tls_verify: flag_all,
            certificate_authority: flag_some,
            ..Default::default()
        };
        let trusts = |config: KubeConfig| {
            let some = config.root_cert.is_some() || config.root_cert_file.is_some();
            (config.accept_invalid_certs, some)
        };
        assert_eq!(applied(config.clone(), args.clone()).map(trusts), becomes);
        // Without TLS nobody is trusted anyway.
        config.cluster_url = "http://a".parse().unwrap();
        assert!(applied(config, args).is_ok());
    }
}

/// Token, username and password.
type Credential<'a> = (&'a str, &'a str, &'a str);

#[test]
fn a_flags_credential_replaces_the_kubeconfigs() {
    let some = |value: &str| text(value).filter(|value| !value.is_empty());
    let cases: &[(
        Credential<'_>,
        Credential<'_>,
        Result<Credential<'_>, FlagsError>,
    )] = &[
        (("t", "", ""), ("", "", ""), Ok(("t", "", ""))),
        (("", "u", "p"), ("t", "", ""), Ok(("t", "", ""))),
        (("t", "", ""), ("", "u", "p"), Ok(("", "u", "p"))),
        (("", "u", "p"), ("", "v", ""), Ok(("", "v", "p"))),
        (("t", "", ""), ("", "v", ""), Ok(("", "v", ""))),
        (
            ("t", "u", "p"),
            ("", "", ""),
            Err(FlagsError::TwoCredentials),
        ),
        (
            ("", "", ""),
            ("t", "u", "p"),
            Err(FlagsError::TwoCredentials),
        ),
        (("t", "", ""), ("", "", "p"), Err(FlagsError::NoUsername)),
    ];
    for (kubeconfigs, flags, becomes) in cases {
        let mut config = of("https://a");
        let user = &mut config.auth_info;
        user.token = some(kubeconfigs.0).map(Into::into);
        user.username = text(kubeconfigs.1);
        user.password = some(kubeconfigs.2).map(Into::into);
        let args = ClusterArgs {
            token: text(flags.0),
            username: text(flags.1),
            password: text(flags.2),
            ..Default::default()
        };
        let found = applied(config, args).map(|config| config.auth_info);
        let found = found.map(|user| {
            assert_eq!(user.username.is_some(), user.password.is_some());
            let [token, password] = [user.token, user.password]
                .map(|secret| secret.map(|secret| secret.expose_secret().to_owned()));
            [token, user.username, password].map(Option::unwrap_or_default)
        });
        let becomes = becomes
            .as_ref()
            .map(|(token, name, password)| [token, name, password].map(|&text| text.to_owned()));
        assert_eq!(
            found.as_ref(),
            becomes.as_ref().map_err(|error| *error),
            "{kubeconfigs:?} {flags:?}"
        );
    }
}

#[test]
fn whom_to_be() {
    let mut config = of("https://a");
    let extra = [("a", "1"), ("b", "2")].map(|(key, value)| (key.into(), vec![value.into()]));
    config.auth_info.impersonate_user_extra = Some(extra.into());
    let alone = applied(config.clone(), ClusterArgs::default());
    assert_eq!(alone.map(drop), Err(FlagsError::NobodyToBe));
    let flags = [("b", "3"), ("b", "4"), ("c", "5")];
    let args = ClusterArgs {
        impersonate: text("me"),
        impersonate_extra: flags.map(|(key, value)| (key.into(), value.into())).into(),
        ..Default::default()
    };
    let user = applied(config, args).unwrap().auth_info;
    let extra = user.impersonate_user_extra.unwrap();
    assert_eq!(
        (&extra["a"], &extra["b"], &extra["c"]),
        (
            &vec!["1".to_owned()],
            &vec!["3".to_owned(), "4".to_owned()],
            &vec!["5".to_owned()],
        )
    );
}
