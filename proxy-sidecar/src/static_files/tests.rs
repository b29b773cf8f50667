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
    std::os::unix::fs::symlink("sub", www.join("link")).unwrap();
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

#[tokio::test]
async fn folders() {
    let (_folder, files) = folder();
    let page = get(&files, "/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.body,
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
         <a href=\"a.txt\">a.txt</a>\n<a href=\"link\">link</a>\n\
         <a href=\"sp%20ace&%3C.txt\">sp ace&amp;&lt;.txt</a>\n<a href=\"sub/\">sub/</a>\n\
         <a href=\"with/\">with/</a>\n</pre>\n"
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
    ] {
        let answer = get(&files, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, "404 page not found\n", "{path}");
    }
}
