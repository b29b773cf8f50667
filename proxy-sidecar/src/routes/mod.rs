//! Where a request goes by its path, as in `kubectl proxy`: to the API server, to the
//! static files, to the path as it should be, or nowhere.

mod clean;
mod escape;

use std::borrow::Cow;

use http::uri::{InvalidUri, PathAndQuery};
use http::{Method, Uri};
use thiserror::Error;

use escape::{as_sent, decoded, escapes_are_whole};

pub(crate) use escape::spelled;

/// The flags' prefixes.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    api: Prefix,
    www: Option<Prefix>,
    clean: bool,
}

/// A prefix that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PrefixError {
    /// Without it no path begins with the prefix.
    #[error("--{flag}: {prefix:?} has to begin with a slash, as in /custom/")]
    NoSlash {
        /// Which one.
        flag: &'static str,
        /// Its value.
        prefix: String,
    },
    /// Paths are cleaned before they are compared, so that none begins with it.
    #[error("--{flag}: {prefix:?} has an empty segment, a '.' or a '..'; write {cleaned:?}")]
    Unclean {
        /// Which one.
        flag: &'static str,
        /// Its value.
        prefix: String,
        /// What it would be without them.
        cleaned: String,
    },
    /// A path can have one meaning.
    #[error("--www-prefix and --api-prefix are both {0:?}; give the static files another")]
    Same(String),
}

/// The path is no part of a URL.
#[derive(Debug, Error)]
pub(crate) enum PathError {
    #[error("the path has a % that begins no escape; write %25 for the sign itself")]
    Escape,
    #[error("the request's target is no path: {0}")]
    Target(#[from] InvalidUri),
}

/// Where to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The API server.
    Api {
        /// What to ask it for.
        target: PathAndQuery,
        /// What the filter judges: decoded, and empty for the root.
        judged: Vec<u8>,
    },
    /// A static file.
    Static {
        /// Below the folder, escaped, beginning with a slash.
        path: String,
        /// What the filter judges.
        judged: Vec<u8>,
    },
    /// The same target with its path as it should be.
    Redirect(String),
    /// Outside both prefixes.
    NotFound,
}

#[derive(Clone, Debug)]
struct Prefix {
    /// Ends with a slash.
    text: String,
    segments: Vec<String>,
}

/// How a path stands to a prefix.
#[derive(PartialEq, Eq)]
enum Match {
    Below,
    /// Only the slash at the end is missing.
    Itself,
}

impl Routes {
    /// Of `--api-prefix` and, if there are static files, `--www-prefix`. With `clean`
    /// double slashes and dot segments are redirected to the path without them.
    ///
    /// # Errors
    /// [`PrefixError`].
    pub(crate) fn new(api: &str, www: Option<&str>, clean: bool) -> Result<Self, PrefixError> {
        let api = Prefix::new("api-prefix", api)?;
        let www = www
            .map(|prefix| Prefix::new("www-prefix", prefix))
            .transpose()?;
        if www.as_ref().is_some_and(|www| www.text == api.text) {
            return Err(PrefixError::Same(api.text));
        }
        Ok(Self { api, www, clean })
    }

    pub(crate) fn route(&self, method: &Method, uri: &Uri) -> Result<Route, PathError> {
        let query = uri.query();
        let came = uri.path();
        if !escapes_are_whole(came) {
            return Err(PathError::Escape);
        }
        let path = as_sent(came);
        let clean = match self.clean && method != Method::CONNECT {
            true => clean::cleaned(&path),
            false => Cow::Borrowed(&*path),
        };
        let Some((prefix, matched)) = self.find(&clean) else {
            return Ok(match clean == path {
                true => Route::NotFound,
                false => Route::Redirect(with_query(&clean, query)),
            });
        };
        if matched == Match::Itself {
            return Ok(Route::Redirect(with_query(&format!("{clean}/"), query)));
        }
        if clean != path {
            return Ok(Route::Redirect(with_query(&clean, query)));
        }
        let is_api = prefix.text == self.api.text;
        let stays = prefix.is_kept() || !self.clean && prefix.segments.is_empty();
        if is_api && stays {
            let target = target(uri, &clean)?;
            let judged = decoded(came);
            return Ok(Route::Api { target, judged });
        }
        let whole = decoded(came);
        let below = prefix.stripped(&whole);
        if !is_api {
            let path = format!("/{}", spelled(below));
            return Ok(Route::Static {
                path,
                judged: whole,
            });
        }
        let judged = match below {
            [] | [b'/', ..] => below.to_vec(),
            below => [b"/", below].concat(),
        };
        let path = match judged.as_slice() {
            [] => Cow::Borrowed("/"),
            // Nothing is taken away, so it can stay as it came.
            same if same == whole => clean,
            other => Cow::Owned(spelled(other)),
        };
        let target = target(uri, &path)?;
        Ok(Route::Api { target, judged })
    }

    fn find(&self, path: &str) -> Option<(&Prefix, Match)> {
        let prefixes = [Some(&self.api), self.www.as_ref()];
        let matching = prefixes
            .into_iter()
            .flatten()
            .filter_map(|prefix| Some((prefix, prefix.matched(path)?)));
        // A path that is a prefix but for its slash may lie below a shorter one.
        matching.max_by_key(|(prefix, _)| prefix.segments.len())
    }
}

impl Prefix {
    fn new(flag: &'static str, text: &str) -> Result<Self, PrefixError> {
        if !text.starts_with('/') {
            let prefix = text.to_owned();
            return Err(PrefixError::NoSlash { flag, prefix });
        }
        let cleaned = clean::cleaned(text);
        if cleaned != text {
            return Err(PrefixError::Unclean {
                flag,
                prefix: text.to_owned(),
                cleaned: cleaned.into_owned(),
            });
        }
        let text = match text.ends_with('/') {
            true => text.to_owned(),
            false => format!("{text}/"),
        };
        let segments = text.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(str::to_owned).collect();
        Ok(Self { text, segments })
    }

    /// kubectl leaves prefixes in the path that begin as the API's own.
    fn is_kept(&self) -> bool {
        self.text.starts_with("/api")
    }

    /// Compares segments, each decoded.
    fn matched(&self, path: &str) -> Option<Match> {
        let mut rest = path.strip_prefix('/')?;
        for (at, wanted) in self.segments.iter().enumerate() {
            let last = at + 1 == self.segments.len();
            match rest.split_once('/') {
                Some((segment, below)) if decoded(segment) == wanted.as_bytes() => rest = below,
                None if last && decoded(rest) == wanted.as_bytes() => return Some(Match::Itself),
                _ => return None,
            }
        }
        Some(Match::Below)
    }

    /// What is below it.
    fn stripped<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        path.strip_prefix(self.text.as_bytes()).unwrap_or_default()
    }
}

/// A request's own target, mostly, or the same with another path.
fn target(asked: &Uri, path: &str) -> Result<PathAndQuery, InvalidUri> {
    match asked.path_and_query() {
        Some(target) if target.path() == path => Ok(target.clone()),
        _ => PathAndQuery::try_from(with_query(path, asked.query())),
    }
}

pub(crate) fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
