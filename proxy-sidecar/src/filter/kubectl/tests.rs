use super::*;
use crate::Args;
use clap::Parser;
use http::Request;
use percent_encoding::percent_decode_str;

fn default() -> Filter {
    let args = Args::parse_from(["proxy-sidecar"]);
    Filter::new(
        &args.accept_hosts,
        &args.accept_paths,
        &args.reject_paths,
        &args.reject_methods,
    )
    .unwrap()
}

fn check(
    filter: &Filter,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    upgrade: bool,
) -> Result<(), Refused> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).unwrap().into_parts().0;
    let path: Vec<u8> = percent_decode_str(request.uri.path()).collect();
    filter.check(&request, &path, upgrade)
}

#[test]
fn hosts() {
    let filter = default();
    for good in [
        "localhost",
        "localhost:8001",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:9",
        "[::1]",
        "[::1]:8001",
    ] {
        assert_eq!(
            check(&filter, "GET", "/api", &[("host", good)], false),
            Ok(()),
            "{good}"
        );
    }
    for bad in [
        "evil.com",
        "127.1",
        "localhost:8001:1",
        "",
        "LOCALHOST",
        "localhost.",
        "::1",
    ] {
        assert_eq!(
            check(&filter, "GET", "/api", &[("host", bad)], false),
            Err(Refused::Host),
            "{bad}"
        );
    }
    assert_eq!(
        check(&filter, "GET", "/api", &[], false),
        Err(Refused::Host)
    );
    assert_eq!(
        check(
            &filter,
            "GET",
            "http://localhost/api",
            &[("host", "evil.com")],
            false
        ),
        Ok(())
    );
    assert_eq!(
        check(
            &filter,
            "GET",
            "http://evil.com/api",
            &[("host", "localhost")],
            false
        ),
        Err(Refused::Host)
    );
}

#[test]
fn exec_and_attach_in_every_spelling() {
    let filter = default();
    let at = |path: &str| check(&filter, "GET", path, &[("host", "localhost")], false);
    for bad in [
        "/api/v1/namespaces/x/pods/p/exec",
        "/api/v1/namespaces/x/pods/p/%65xec",
        "/api/v1/namespaces/x/pods/p%2Fexec",
        "/api%2Fv1/namespaces/x/pods/p/exec",
        "/api/v1/namespaces/x/pods/p/exec/",
        "/api/v1/namespaces/x/pods/p/attach?x",
        "/api/v1/namespaces/x/services/pods/proxy/exec",
        "//api/v1/namespaces/x/pods/p/exec",
        "/%2F/api//v1/namespaces/x/pods/p/exec//",
        "//api/v1/namespaces/x/pods//exec",
        "/api/v1/x%0a/pods/p%0a/exec",
    ] {
        assert_eq!(at(bad), Err(Refused::Path), "{bad}");
    }
    for good in [
        "/",
        "/api/v1/namespaces/x/pods/p/portforward",
        "/apis/x/pods/p/exec",
        "//apis/x/pods/p/exec",
    ] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
}

#[test]
fn slashes_at_either_end_hide_nothing() {
    let filter = Filter::new("^localhost$", "^.*", "^/api/v1/a$", "").unwrap();
    for (path, expected) in [
        ("/api/v1/a", Err(Refused::Path)),
        ("/api/v1/a/", Err(Refused::Path)),
        ("//api/v1/a%2F%2F", Err(Refused::Path)),
        ("/api//v1/a", Ok(())),
        ("/", Ok(())),
        ("//", Ok(())),
    ] {
        let host = [("host", "localhost")];
        assert_eq!(
            check(&filter, "GET", path, &host, false),
            expected,
            "{path}"
        );
    }
}

#[test]
fn empty_lists_accept_nothing_and_refuse_nothing() {
    let host = [("host", "localhost")];
    let none = Filter::new("", "^.*", "", "").unwrap();
    assert_eq!(check(&none, "GET", "/", &host, false), Err(Refused::Host));
    let no_paths = Filter::new("^localhost$", "", "", "").unwrap();
    assert_eq!(
        check(&no_paths, "GET", "/", &host, false),
        Err(Refused::PathNotAccepted)
    );
    let post = Filter::new("^localhost$", "^.*", "", "POST").unwrap();
    assert_eq!(
        check(&post, "POSTX", "/", &host, false),
        Err(Refused::Method)
    );
    assert_eq!(check(&post, "post", "/", &host, false), Ok(()));
}

#[test]
fn a_web_page_of_another_origin_cannot_upgrade_or_change() {
    let filter = default();
    let from = |origin: &str, method: &str, upgrade: bool| {
        check(
            &filter,
            method,
            "/api",
            &[("host", "localhost:8001"), ("origin", origin)],
            upgrade,
        )
    };
    assert_eq!(from("http://evil.com", "GET", true), Err(Refused::Origin));
    assert_eq!(from("null", "POST", false), Err(Refused::Origin));
    assert_eq!(
        from("http://localhost.evil.com", "DELETE", false),
        Err(Refused::Origin)
    );
    assert_eq!(from("http://localhost:8001", "POST", false), Ok(()));
    assert_eq!(from("http://evil.com", "GET", false), Ok(()));
}

#[test]
fn a_bad_pattern_names_its_flag() {
    let error = Filter::new("^a", "[", "", "").unwrap_err();
    assert!(error.to_string().starts_with("--accept-paths: "), "{error}");
}
