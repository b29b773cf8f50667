//! A folder's page: its entries by name, as Go's file server lists them.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::escape_html::escape_html;
use crate::routes::spelled;

pub(super) async fn of(folder: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let mut name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().await?.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    names.sort();
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n"
            .to_owned();
    for name in names {
        // Else a name with a colon would be a scheme.
        let here = if name.contains(':') { "./" } else { "" };
        let link = spelled(name.as_bytes());
        // Writing into a String does not fail.
        let _ = writeln!(page, "<a href=\"{here}{link}\">{}</a>", escape_html(&name));
    }
    page.push_str("</pre>\n");
    Ok(page)
}
