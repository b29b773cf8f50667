//! `--www`: a folder's files beside the API.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use integration::environment::Environment;

use crate::compare::Departure::Refused;
use crate::compare::{case, compare, get};
use crate::proxies::Proxies;

/// The first day of 2020, and its name in headers.
const CHANGED: Duration = Duration::from_secs(1_577_836_800);
const IF_CHANGED: &str = "If-Range: Wed, 01 Jan 2020 00:00:00 GMT";

pub(crate) async fn static_files(_: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let www = folder.path().join("www");
    std::fs::create_dir_all(www.join("empty"))?;
    std::fs::create_dir_all(www.join("with"))?;
    for (name, text) in [
        ("a.txt", "hello"),
        ("a.html", "<p>"),
        ("a.css", "p {}"),
        ("a.json", "{}"),
        ("a.png", "png"),
        ("a.svg", "<svg/>"),
        ("sp ace&<\"'>.txt", ""),
        ("co:lon.txt", "x"),
        ("with/index.html", "<h1>"),
    ] {
        std::fs::write(www.join(name), text)?;
    }
    std::fs::write(folder.path().join("secret"), "not for you")?;
    File::options()
        .write(true)
        .open(www.join("a.txt"))?
        .set_modified(UNIX_EPOCH + CHANGED)?;
    for (to, link) in [
        ("with", "link"),
        ("a.txt", "link.txt"),
        ("../secret", "out"),
    ] {
        std::os::unix::fs::symlink(to, www.join(link))?;
    }
    let flag = format!("--www={}", www.display());
    let proxies = Proxies::start(&[&flag, "--api-prefix=/api/"]).await?;
    let mut cases: Vec<_> = [
        "/static",
        "/static/",
        "/static/a.txt",
        "/static/a.html",
        "/static/a.css",
        "/static/a.json",
        "/static/a.png",
        "/static/a.svg",
        "/static/sp%20ace&%3C%22'%3E.txt",
        "/static/co:lon.txt",
        "/static/a.txt/",
        "/static/empty",
        "/static/empty/",
        "/static/with",
        "/static/with/",
        "/static/with/index.html",
        "/static/link/",
        "/static/link?a=%2F&b",
        "/static/link/index.html?a=%2F&b",
        "/static/link.txt",
        "/static/link.txt/?a",
        "/static/link.txt/?",
        "/static/nope",
        "/static/../secret",
        "/static/%2e%2e/secret",
        "/static/..%2fsecret",
        "/static/with/..%2f..%2fsecret",
        "/other",
    ]
    .map(get)
    .into();
    for method in ["HEAD", "POST", "DELETE"] {
        cases.push(case(method, "/static/a.txt"));
        cases.push(case(method, "/static/"));
    }
    let text = || get("/static/a.txt");
    cases.push(text().with("Range: bytes=1-2"));
    cases.push(text().with("Range: bytes=-2"));
    cases.push(text().with("Range: bytes=9-"));
    cases.push(get("/static/sp%20ace&%3C%22'%3E.txt").with("Range: bytes=0-0"));
    for if_range in [
        IF_CHANGED,
        "If-Range: Thu, 02 Jan 2020 00:00:00 GMT",
        "If-Range: \"a\"",
        "If-Range: W/\"a\"",
        "If-Range: nonsense",
        "If-Range: ",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let part = case(method, "/static/a.txt").with("Range: bytes=1-2");
            cases.push(part.with(if_range));
        }
    }
    let known = "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT";
    cases.push(case("POST", "/static/a.txt").with(known));
    cases.push(text().with(known).with("If-None-Match: \"a\""));
    cases.push(text().with("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"));
    cases.push(text().with("If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT"));
    cases.push(text().with("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"));
    compare(&proxies, cases).await?;
    // kubectl's filter does not know of them.
    let ours = text().host("evil.com").departs(Refused(403));
    // Nor does it look where links lead.
    let out = get("/static/out").departs(Refused(404));
    compare(&proxies, vec![ours, out]).await
}
