//! `--www`: a folder's files beside the API.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;

use crate::compare::Departure::Refused;
use crate::compare::{case, compare, get};
use crate::proxies::Proxies;

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
    std::os::unix::fs::symlink("with", www.join("link"))?;
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
    cases.push(text().with("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"));
    cases.push(text().with("If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT"));
    cases.push(text().with("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"));
    compare(&proxies, cases).await?;
    // kubectl's filter does not know of them.
    let ours = text().host("evil.com").departs(Refused(403));
    compare(&proxies, vec![ours]).await
}
