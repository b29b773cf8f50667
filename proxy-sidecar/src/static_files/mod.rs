//! `--www`: a folder's files beside the API. tower-http serves them; what Go's file
//! server does beside that is here: folders' listings and redirects. Links are followed
//! within the folder only, and only regular files are opened.

mod conditions;
mod listing;

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::Empty;
use http_relay::RelayBody;
use http_relay::body::{empty, full, pass};
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use service_kit::tasks::blocking;
use tower::ServiceExt;
use tower_http::services::ServeDir;

use crate::plain;
use crate::routes::with_query;

const INDEX: &str = "index.html";
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The files of a folder.
#[derive(Clone, Debug)]
pub(crate) struct StaticFiles {
    folder: PathBuf,
    files: ServeDir,
}

impl StaticFiles {
    /// A folder that is not there is told, and may come later.
    pub(crate) fn new(folder: &Path) -> Self {
        if !folder.is_dir() {
            tracing::warn!(folder = %folder.display(), "--www: there is no such folder");
        }
        Self {
            folder: folder.to_owned(),
            files: ServeDir::new(folder),
        }
    }

    /// Answers whatever the method, as Go does; the body of a request is not read.
    /// `path` is that below the folder, escaped, with a slash before it.
    pub(crate) async fn serve(&self, request: &request::Parts, path: &str) -> Response<RelayBody> {
        let query = request.uri.query().filter(|query| !query.is_empty());
        if path.ends_with(&format!("/{INDEX}")) {
            return moved("./", query);
        }
        let Some(file) = self.file(path) else {
            return plain::not_found();
        };
        let Some(mut found) = self.found(&file).await else {
            return plain::not_found();
        };
        let name = path.trim_end_matches('/').rsplit('/').next();
        let name = name.unwrap_or_default();
        match (found.is_dir(), path.ends_with('/')) {
            (true, false) => return moved(&format!("{name}/"), query),
            (false, true) => return moved(&format!("../{name}"), query),
            (true, true) => match self.found(&file.join(INDEX)).await {
                Some(index) if index.is_file() => found = index,
                _ => return list(&file, &found, &request.method).await,
            },
            (false, false) => {}
        }
        let mut answer = self.file_of(request, path, &found).await;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            // tower-http leaves it out of a 304 and a 412.
            last_modified(&mut answer, &found);
        }
        answer
    }

    /// A folder or a regular file: whatever else there is may wait for ever, or end
    /// never. Nothing where a link leads out of the folder.
    async fn found(&self, file: &Path) -> Option<Metadata> {
        let (folder, file) = (self.folder.clone(), file.to_owned());
        let look = move || -> io::Result<Option<Metadata>> {
            let file = file.canonicalize()?;
            // Each time anew: it may be a link that changes.
            if !file.starts_with(folder.canonicalize()?) {
                tracing::info!(file = %file.display(), "a link leads out of --www's folder");
                return Ok(None);
            }
            let found = file.metadata()?;
            Ok((found.is_dir() || found.is_file()).then_some(found))
        };
        blocking(look).await.ok().flatten()
    }

    /// Nothing where the path leaves the folder.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let mut file = self.folder.clone();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if segment == ".." || segment.contains(['\0', '\\']) {
                return None;
            }
            file.push(segment);
        }
        Some(file)
    }

    async fn file_of(
        &self,
        request: &request::Parts,
        path: &str,
        found: &Metadata,
    ) -> Response<RelayBody> {
        let mut asked = Request::new(Empty::<Bytes>::new());
        let Ok(uri) = path.parse() else {
            return plain::not_found();
        };
        *asked.uri_mut() = uri;
        *asked.headers_mut() = request.headers.clone();
        conditions::simplify(asked.headers_mut(), &request.method, found);
        if request.method == Method::HEAD {
            *asked.method_mut() = Method::HEAD;
        }
        let Ok(answer) = self.files.clone().oneshot(asked).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return plain::not_found();
        }
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return no_such_range(answer.headers());
        }
        let mut answer = answer.map(pass);
        with_charset(&mut answer);
        answer
    }
}

/// In Go's words, and without what is said of the file itself.
fn no_such_range(headers: &HeaderMap) -> Response<RelayBody> {
    let words = "invalid range: failed to overlap\n";
    let mut answer = plain::text(StatusCode::RANGE_NOT_SATISFIABLE, words);
    if let Some(range) = headers.get(CONTENT_RANGE) {
        answer.headers_mut().insert(CONTENT_RANGE, range.clone());
    }
    answer
}

/// As Go tells it of what is text.
fn with_charset(answer: &mut Response<RelayBody>) {
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    if let Some(kind) = kind.filter(|kind| kind.starts_with("text/") && !kind.contains(';'))
        && let Ok(kind) = HeaderValue::try_from(format!("{kind}; charset=utf-8"))
    {
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
}

async fn list(folder: &Path, found: &Metadata, method: &Method) -> Response<RelayBody> {
    let text = match listing::of(folder).await {
        Ok(text) => text,
        Err(error) => {
            tracing::info!(folder = %folder.display(), %error, "cannot list");
            return plain::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Error reading directory\n",
            );
        }
    };
    let length = HeaderValue::from(text.len());
    let mut answer = Response::new(match *method {
        Method::HEAD => empty(),
        _ => full(text),
    });
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer.headers_mut().insert(CONTENT_TYPE, HTML);
    last_modified(&mut answer, found);
    answer
}

fn last_modified(answer: &mut Response<RelayBody>, found: &Metadata) {
    if let Ok(changed) = found.modified()
        && let Ok(changed) = HeaderValue::try_from(httpdate::fmt_http_date(changed))
    {
        answer.headers_mut().insert(LAST_MODIFIED, changed);
    }
}

/// Relative, so that it holds below any prefix.
fn moved(to: &str, query: Option<&str>) -> Response<RelayBody> {
    let to = with_query(to, query);
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

#[cfg(test)]
mod tests;
