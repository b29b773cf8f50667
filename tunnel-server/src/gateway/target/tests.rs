use super::*;
use proptest::prelude::*;

fn of(host: &str, target: &str) -> Result<Target, TargetError> {
    let hosts = Hosts {
        base: "culvert.example".into(),
        extra: vec!["10.0.0.1".into()],
    };
    let request = Request::builder()
        .uri(target)
        .header(HOST, host)
        .body(())
        .unwrap();
    Target::of(&request, &hosts)
}

fn cluster(name: &str, path: &'static str, by_path: bool) -> Target {
    let name = ClusterName::parse(name).unwrap();
    Target::Cluster(ClusterTarget {
        name,
        path: PathAndQuery::from_static(path),
        by_path,
    })
}

#[test]
fn by_hostname() {
    for host in [
        "prod.culvert.example",
        "PROD.Culvert.Example:8443",
        "prod.culvert.example.",
    ] {
        assert_eq!(
            of(host, "/api?x=%2F..").unwrap(),
            cluster("prod", "/api?x=%2F..", false),
            "{host}"
        );
    }
    // The server's own paths exist on its own names only.
    assert_eq!(
        of("prod.culvert.example", "/tunnel/v1").unwrap(),
        cluster("prod", "/tunnel/v1", false)
    );
    assert_eq!(
        of("prod.culvert.example", "/clusters/x/").unwrap(),
        cluster("prod", "/clusters/x/", false)
    );
    for host in [
        "other.example",
        "a.b.culvert.example",
        "www.culvert.example",
        "evilculvert.example",
        ".culvert.example",
        "",
    ] {
        assert_eq!(
            of(host, "/").unwrap_err(),
            TargetError::UnknownHost,
            "{host}"
        );
    }
}

#[test]
fn by_path_with_and_without_slash() {
    for base in ["culvert.example", "10.0.0.1:8443"] {
        assert_eq!(
            of(base, "/clusters/prod").unwrap(),
            cluster("prod", "/", true)
        );
        assert_eq!(
            of(base, "/clusters/prod/").unwrap(),
            cluster("prod", "/", true)
        );
        assert_eq!(
            of(base, "/clusters/prod/api/v1?watch=1").unwrap(),
            cluster("prod", "/api/v1?watch=1", true)
        );
        assert_eq!(
            of(base, "/clusters/prod?x").unwrap(),
            cluster("prod", "/?x", true)
        );
        assert_eq!(of(base, "/tunnel/v1").unwrap(), Target::Handshake);
        assert_eq!(of(base, "/").unwrap(), Target::Front);
        assert_eq!(
            of(base, "/clusters/WWW/").unwrap_err(),
            TargetError::UnknownPath
        );
        assert_eq!(of(base, "/other").unwrap_err(), TargetError::UnknownPath);
    }
}

#[test]
fn by_path_the_name_is_written_in_one_way() {
    for target in [
        "/clusters/%70rod/",
        "/clusters/prod%2F",
        "/clusters/%2e%2e/tunnel/v1",
        "/clusters/./x",
        "/clusters/..",
        "/clusters//",
        "/clusters//prod",
    ] {
        let got = of("culvert.example", target);
        assert!(matches!(got, Err(TargetError::Malformed(_))), "{target}");
    }
    let huge = format!("/clusters/{}/", "a".repeat(64));
    for target in [
        "/clusters",
        "/clusters/",
        "/Clusters/prod/",
        "/%63lusters/prod/",
        "//clusters/prod/",
        "/x/../clusters/prod/",
        "/clusters/PROD/",
        "/clusters/www/",
        "/clusters/xn--80ak6aa92e/",
        "/clusters/prod;x/",
        "/clusters/prod\\/api",
        "/tunnel/v1/",
        "/tunnel/V1",
        "/tunnel/v1/../v1",
        huge.as_str(),
    ] {
        let got = of("culvert.example", target);
        assert_eq!(got.unwrap_err(), TargetError::UnknownPath, "{target}");
    }
}

/// By hostname and by path, what the cluster sees or why it sees nothing.
fn both_ways(path: &str) -> Result<String, TargetError> {
    let [by_host, by_path] = [
        of("prod.culvert.example", path),
        of("culvert.example", &format!("/clusters/prod{path}")),
    ]
    .map(|target| match target? {
        Target::Cluster(target) => Ok(target.path.to_string()),
        other => panic!("{other:?}"),
    });
    assert_eq!(by_host, by_path, "{path}");
    by_path
}

#[test]
fn what_reads_in_one_way_reaches_the_cluster_as_it_is() {
    let proxied = "/api/v1/namespaces/x/services/y:http/proxy";
    for path in [
        "/",
        "/?",
        "/api",
        "/api/",
        "/api?",
        "/api?x=//../%2e%2e/%2F\\#",
        "/api/v1/namespaces/x/pods?fieldSelector=a%3Db&watch=1",
        "/clusters/other/api",
        "/tunnel/v1",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Bb;c",
        "/%61pi/%C3%A4",
        &format!("{proxied}//a/%2e/b/../%2F%00\\%ff%25;a=\"{{}}\"//?"),
    ] {
        let read = path.split('#').next().unwrap();
        assert_eq!(both_ways(path).as_deref(), Ok(read), "{path}");
    }
}

#[test]
fn what_reads_in_two_ways_is_refused_and_named() {
    for (path, why) in [
        ("/api//v1", Ambiguous::Empty),
        ("/api/v1//", Ambiguous::Empty),
        ("/api/../x", Ambiguous::Dots),
        ("/.", Ambiguous::Dots),
        ("/..", Ambiguous::Dots),
        ("/api/%2e%2E/x", Ambiguous::Dots),
        ("/api/.%2e", Ambiguous::Dots),
        ("/..%2fother", Ambiguous::Slash),
        ("/api/v1%2Fx", Ambiguous::Slash),
        ("/api/%252e", Ambiguous::Escape),
        ("/api/%", Ambiguous::Escape),
        ("/api/%u002e", Ambiguous::Escape),
        ("/api\\..\\x", Ambiguous::Backslash),
        ("/api/%5c", Ambiguous::Backslash),
        ("/api%0d%0aHost:x", Ambiguous::NoText),
        ("/api%00", Ambiguous::NoText),
        ("/api/%c0%af", Ambiguous::NoText),
        (
            "/api/v1/namespaces/x/pods/y/proxy/../../../../../..",
            Ambiguous::Dots,
        ),
    ] {
        assert_eq!(both_ways(path), Err(why.into()), "{path}");
    }
    for path in ["//", "//api", "//evil.example/api", "/ä", "/api/ü/"] {
        let got = both_ways(path);
        assert!(matches!(got, Err(TargetError::Malformed(_))), "{path}");
    }
    for target in ["*", "culvert.example:443"] {
        let got = of("culvert.example:443", target);
        assert!(matches!(got, Err(TargetError::Malformed(_))), "{target}");
    }
}

#[test]
fn a_host_is_a_name_and_perhaps_a_port() {
    for host in [
        "user@prod.culvert.example",
        "prod.culvert.example@",
        "prod.culvert.example:65536",
        "prod.culvert.example:99999999999999999999",
        "prod.culvert.example:-1",
        "prod.culvert.example:+1",
        "prod.culvert.example:x",
        "prod.culvert.example:443:x",
        "pr\u{f6}d.culvert.example",
    ] {
        let got = of(host, "/");
        assert!(matches!(got, Err(TargetError::Malformed(_))), "{host}");
    }
    for host in [
        "prod.culvert.example..",
        "prod..culvert.example",
        "*.culvert.example",
        "prod_.culvert.example",
        "xn--prd-sna.culvert.example",
        "prod.culvert.example:443:443",
        "prod.culvert.example, other",
        "prod.culvert.example/x",
        "prod%2eculvert.example",
        "prod.culvert.exampl\u{65}\t",
        "[::1]",
        "[::1]:8443",
        "10.0.0.1.culvert.example",
        "10.0.0.2",
        &format!("{}.culvert.example", "a".repeat(64)),
    ] {
        assert_eq!(
            of(host, "/").unwrap_err(),
            TargetError::UnknownHost,
            "{host}"
        );
    }
    for host in [
        "culvert.example:",
        "culvert.example:1",
        "CULVERT.example:65535",
        "culvert.example.:443",
        "10.0.0.1",
        "10.0.0.1.",
    ] {
        assert_eq!(of(host, "/").unwrap(), Target::Front, "{host}");
    }
    let longest = "a".repeat(63);
    let host = format!("{longest}.culvert.example");
    assert_eq!(of(&host, "/").unwrap(), cluster(&longest, "/", false));
}

#[test]
fn host_and_target_must_agree() {
    for (host, target) in [
        ("a.culvert.example", "https://b.culvert.example/"),
        ("b.culvert.example:443", "https://b.culvert.example/"),
        ("b.culvert.example.", "https://b.culvert.example/"),
        ("b.culvert.example", "https://u@b.culvert.example/"),
    ] {
        let got = of(host, target);
        assert!(matches!(got, Err(TargetError::Malformed(_))), "{target}");
    }
    for target in ["https://b.culvert.example", "http://B.culvert.example/"] {
        let got = of("b.culvert.example", target);
        assert_eq!(got.unwrap(), cluster("b", "/", false));
    }
    let query = of("b.culvert.example", "https://b.culvert.example?x");
    assert_eq!(query.unwrap(), cluster("b", "/?x", false));
    let elsewhere = of("evil.example", "https://evil.example/");
    assert_eq!(elsewhere.unwrap_err(), TargetError::UnknownHost);
}

#[test]
fn without_any_host_or_with_two() {
    let bare = |version| Request::builder().version(version).uri("/").body(());
    let hosts = Hosts {
        base: "culvert.example".into(),
        extra: Vec::new(),
    };
    let old = Target::of(&bare(Version::HTTP_10).unwrap(), &hosts);
    assert_eq!(old.unwrap_err(), TargetError::UnknownHost);
    let mut absolute = bare(Version::HTTP_11).unwrap();
    *absolute.uri_mut() = "https://culvert.example/".parse().unwrap();
    let got = Target::of(&absolute, &hosts);
    assert!(matches!(got, Err(TargetError::Malformed(_))));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut request = bare(version).unwrap();
        let got = Target::of(&request, &hosts);
        assert!(matches!(got, Err(TargetError::Malformed(_))));
        for _ in 0..2 {
            request
                .headers_mut()
                .append(HOST, "culvert.example".parse().unwrap());
        }
        let got = Target::of(&request, &hosts);
        assert!(matches!(got, Err(TargetError::Malformed(_))));
    }
}

/// Whatever a reader may do to a path: decode it again and again, take
/// backslashes for slashes, resolve dots.
fn lenient(path: &str) -> Vec<String> {
    let mut read = vec![path.to_owned()];
    for _ in 0..3 {
        let last = read.last().unwrap();
        let decoded = percent_encoding::percent_decode_str(last).decode_utf8_lossy();
        read.push(decoded.replace('\\', "/"));
    }
    read
}

proptest! {
    #[test]
    fn no_path_reaches_another_cluster(rest in "[a-z%./2e]{0,24}") {
        if let Ok(Target::Cluster(target)) = of("culvert.example", &format!("/clusters/prod/{rest}")) {
            prop_assert_eq!(target.name.as_str(), "prod");
        }
    }

    #[test]
    fn both_ways_are_read_alike_and_by_nobody_otherwise(path in "(/|%2f|%252f|\\\\|%5c|\\.|%2e|%252e|%2E|[a-z]|;|%00|%c0%ae){0,16}") {
        let path = format!("/{path}");
        if let Ok(seen) = both_ways(&path) {
            prop_assert_eq!(&seen, &path);
            for read in lenient(&path) {
                let segments: Vec<_> = read.trim_matches('/').split('/').collect();
                prop_assert!(!segments.iter().any(|one| [".", ".."].contains(one)), "{}", read);
                prop_assert!(segments == [""] || !segments.contains(&""), "{}", read);
            }
        }
    }

    #[test]
    fn a_host_is_served_only_if_it_is_spelled_as_one(host in "[a-c.@:0-9\\[\\]%*-]{0,8}\\.?(culvert\\.example)?[.:0-9@]{0,3}") {
        if let Ok(Target::Cluster(target)) = of(&host, "/") {
            let port = host.find(':').unwrap_or(host.len());
            let name = host[..port].trim_end_matches('.');
            prop_assert_eq!(name, format!("{}.culvert.example", target.name));
        }
    }
}
