use super::*;
use http_body_util::BodyExt;

struct Served {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

async fn ask(files: &StaticFiles, request: Request<()>, path: &str) -> Served {
    let answer = files.serve(&request.into_parts().0, path).await;
    let (parts, body) = answer.into_parts();
    Served {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    }
}

async fn get(files: &StaticFiles, path: &str) -> Served {
    ask(files, Request::default(), path).await
}

fn folder() -> (tempfile::TempDir, StaticFiles) {
    let folder = tempfile::tempdir().unwrap();
    let www = folder.path().join("www");
    std::fs::create_dir_all(www.join("sub")).unwrap();
    std::fs::create_dir_all(www.join("with")).unwrap();
    std::fs::write(www.join("a.txt"), "hi\n").unwrap();
    std::fs::write(www.join("sp ace&<.txt"), "").unwrap();
    std::fs::write(www.join("with/index.html"), "<h1>").unwrap();
    std::fs::write(folder.path().join("secret"), "not for you").unwrap();
    std::fs::create_dir_all(folder.path().join("out")).unwrap();
    for (to, link) in [("sub", "link"), ("a.txt", "link.txt"), ("..", "up")] {
        std::os::unix::fs::symlink(to, www.join(link)).unwrap();
    }
    std::os::unix::fs::symlink(folder.path().join("secret"), www.join("secret")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", www.join("zero")).unwrap();
    let files = StaticFiles::new(&www);
    (folder, files)
}

#[tokio::test]
async fn files_and_parts_of_them() {
    let (_folder, files) = folder();
    let whole = get(&files, "/a.txt").await;
    assert_eq!((whole.status, whole.body.as_str()), (200, "hi\n"));
    assert_eq!(whole.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(whole.headers["accept-ranges"], "bytes");
    let part = Request::builder().header("range", "bytes=1-1");
    let part = ask(&files, part.body(()).unwrap(), "/a.txt").await;
    assert_eq!((part.status, part.body.as_str()), (206, "i"));
    let changed = &whole.headers["last-modified"];
    let known = Request::builder().header("if-modified-since", changed);
    let known = ask(&files, known.body(()).unwrap(), "/a.txt").await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    for (method, body) in [("POST", "hi\n"), ("HEAD", "")] {
        let request = Request::builder().method(method).body(()).unwrap();
        let answer = ask(&files, request, "/a.txt").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, body),
            "{method}"
        );
    }
}

/// By the date of the file's last change, and what is no date.
#[tokio::test]
async fn parts_of_another_state() {
    let (_folder, files) = folder();
    let whole = get(&files, "/a.txt").await;
    let changed = whole.headers["last-modified"].to_str().unwrap();
    const LONG_AGO: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    let range = ("range", "bytes=1-1");
    for (headers, method, status, body) in [
        (&[range, ("if-range", changed)][..], "GET", 206, "i"),
        (&[range, ("if-range", LONG_AGO)], "GET", 200, "hi\n"),
        (&[range, ("if-range", "\"a\"")], "GET", 200, "hi\n"),
        (&[range, ("if-range", "W/\"a\"")], "HEAD", 200, ""),
        (&[range, ("if-range", "\"a\"")], "POST", 206, "i"),
        (&[("range", "bytes=0-0,2-2")], "GET", 200, "hi\n"),
        (
            &[("range", "bytes=7-")],
            "GET",
            416,
            "invalid range: failed to overlap\n",
        ),
        (&[("if-modified-since", changed)], "POST", 200, "hi\n"),
        (
            &[("if-modified-since", changed), ("if-none-match", "\"a\"")],
            "GET",
            200,
            "hi\n",
        ),
    ] {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = ask(&files, request.body(()).unwrap(), "/a.txt").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{method} {headers:?}"
        );
    }
}

/// Opening a pipe would wait for who writes into it.
#[tokio::test]
async fn only_files_are_opened() {
    let (folder, files) = folder();
    let pipes = ["pipe", "sub/index.html"].map(|name| folder.path().join("www").join(name));
    let made = std::process::Command::new("mkfifo").args(pipes).status();
    assert!(made.unwrap().success());
    assert_eq!(get(&files, "/pipe").await.status, 404);
    let listed = get(&files, "/sub/").await;
    assert!(listed.body.contains("index.html"), "{}", listed.body);
    assert_eq!(get(&files, "/link.txt").await.body, "hi\n");
    assert_eq!(get(&files, "/link/").await.status, 200);
}

#[tokio::test]
async fn folders() {
    let (_folder, files) = folder();
    let page = get(&files, "/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.body,
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
         <a href=\"a.txt\">a.txt</a>\n<a href=\"link\">link</a>\n\
         <a href=\"link.txt\">link.txt</a>\n<a href=\"secret\">secret</a>\n\
         <a href=\"sp%20ace&%3C.txt\">sp ace&amp;&lt;.txt</a>\n<a href=\"sub/\">sub/</a>\n\
         <a href=\"up\">up</a>\n<a href=\"with/\">with/</a>\n<a href=\"zero\">zero</a>\n</pre>\n"
    );
    assert_eq!(get(&files, "/with/").await.body, "<h1>");
    for (path, to) in [
        ("/sub", "sub/"),
        ("/with/index.html", "./"),
        ("/a.txt/", "../a.txt"),
    ] {
        let moved = get(&files, path).await;
        assert_eq!(moved.status, 301, "{path}");
        assert_eq!(moved.headers["location"], to, "{path}");
        let asked = format!("/static{path}?a=%2F&b");
        let asked = Request::builder().uri(asked).body(()).unwrap();
        let moved = ask(&files, asked, path).await;
        assert_eq!(moved.headers["location"], format!("{to}?a=%2F&b"));
    }
}

#[tokio::test]
async fn no_way_out() {
    let (_folder, files) = folder();
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/%00",
        "/nope",
        "/%ff",
        "/secret",
        "/up/secret",
        "/up/out/",
        "/zero",
    ] {
        let answer = get(&files, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, "404 page not found\n", "{path}");
    }
}
