use super::*;

fn route(routes: &Routes, method: &str, target: &str) -> Route {
    let uri: Uri = target.parse().unwrap();
    routes.route(&method.parse().unwrap(), &uri).unwrap()
}

fn api(target: &str, judged: &str) -> Route {
    Route::Api {
        target: target.parse().unwrap(),
        judged: judged.into(),
    }
}

fn redirect(to: &str) -> Route {
    Route::Redirect(to.to_owned())
}

/// As kubectl 1.36 was seen to do.
#[test]
fn at_the_root() {
    let routes = Routes::new("/", None, true).unwrap();
    for (target, goes) in [
        ("/", api("/", "")),
        ("/api?x=%zz&y", api("/api?x=%zz&y", "/api")),
        ("/a/?", api("/a/?", "/a/")),
        ("/a%2F%2Fb", api("/a%2F%2Fb", "/a//b")),
        ("/a|b", api("/a%7Cb", "/a|b")),
        ("/%2Fapi", api("/api", "/api")),
        ("/a//b?x=1", redirect("/a/b?x=1")),
        ("/a/../b", redirect("/b")),
    ] {
        assert_eq!(route(&routes, "GET", target), goes, "{target}");
    }
    let keeps = Routes::new("/", None, false).unwrap();
    for path in ["/a//b", "//a", "/a/../b"] {
        assert_eq!(route(&keeps, "GET", path), api(path, path));
    }
    assert_eq!(route(&keeps, "GET", "/%2Fa"), api("/%2Fa", "//a"));
    let uri = "/a%zz".parse().unwrap();
    assert!(matches!(
        routes.route(&Method::GET, &uri),
        Err(PathError::Escape)
    ));
}

#[test]
fn below_a_prefix_that_is_taken_away() {
    let routes = Routes::new("/custom", Some("/custom/static/"), true).unwrap();
    for (target, goes) in [
        ("/custom", redirect("/custom/")),
        ("/custom?x=1", redirect("/custom/?x=1")),
        ("/custom/", api("/", "")),
        ("/custom/a%2Fb?q=%2F", api("/a/b?q=%2F", "/a/b")),
        ("/custo%6d/x", api("/x", "/x")),
        ("/custom/a|b%2Fc", api("/a%7Cb/c", "/a|b/c")),
        ("/custom/a//b", redirect("/custom/a/b")),
        ("/custom/a/../..", redirect("/")),
        ("/customx", Route::NotFound),
        ("/", Route::NotFound),
        ("/custom/static", redirect("/custom/static/")),
        (
            "/custom/static/a%20b",
            Route::Static {
                path: "/a%20b".into(),
                judged: "/custom/static/a b".into(),
            },
        ),
    ] {
        assert_eq!(route(&routes, "GET", target), goes, "{target}");
    }
}

#[test]
fn below_a_prefix_that_stays() {
    let routes = Routes::new("/api", None, true).unwrap();
    assert_eq!(route(&routes, "GET", "/api/v1"), api("/api/v1", "/api/v1"));
    assert_eq!(route(&routes, "GET", "/api"), redirect("/api/"));
    assert_eq!(route(&routes, "GET", "/apis"), Route::NotFound);
}

#[test]
fn prefixes_that_cannot_be() {
    let no_slash = Routes::new("custom", None, true).unwrap_err();
    assert!(no_slash.to_string().starts_with("--api-prefix: \"custom\""));
    for (prefix, cleaned) in [("/a//b", "/a/b"), ("//", "/"), ("/a/../b/", "/b/")] {
        for clean in [true, false] {
            let unclean = Routes::new(prefix, None, clean).unwrap_err().to_string();
            assert!(unclean.starts_with("--api-prefix: "), "{unclean}");
            assert!(
                unclean.ends_with(&format!("write {cleaned:?}")),
                "{unclean}"
            );
        }
    }
    let same = Routes::new("/static", Some("/static/"), true).unwrap_err();
    assert_eq!(same, PrefixError::Same("/static/".into()));
}
