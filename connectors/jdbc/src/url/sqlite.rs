//! URLs of SQLite files. Pure.

use connector_api::{Error, Result};

use super::{ConnectionTarget, UrlScheme, decode};

/// Options that a URL may have, with the JDBC driver's names; all others are refused.
pub(super) const OPTIONS: [&str; 5] = [
    "busy_timeout",
    "foreign_keys",
    "journal_mode",
    "synchronous",
    "mode",
];

/// Parses what follows `sqlite:`: `/path/file.db`, `file.db`, `//file.db`, `///path/file.db`, and
/// the same after `file:`, with options after a question mark.
/// Errors: `Config` for a database that is no file, and for unknown options.
pub(super) fn parse(rest: &str) -> Result<ConnectionTarget> {
    let mut target = ConnectionTarget::empty(UrlScheme::Sqlite);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path
        .strip_prefix("file:")
        .map_or_else(|| path.to_owned(), decode);
    let path = path.strip_prefix("//").unwrap_or(&path);
    target.set_query(query);
    if let Some((name, _)) = target.params.iter().find(|(name, _)| !is_option(name)) {
        return Err(Error::config(format!(
            "connection.url: SQLite has no option {name} here; supported are {}",
            OPTIONS.join(", ")
        )));
    }
    if path.is_empty() || path == ":memory:" || target.param("mode") == Some("memory") {
        return Err(Error::config(
            "connection.url: a database in memory is lost with its connection, and each connection \
             has its own; name a file: jdbc:sqlite:/path/file.db",
        ));
    }
    if path.starts_with(':') || path.contains('\0') {
        return Err(Error::config(
            "connection.url: jdbc:sqlite: must be followed by the path of a file",
        ));
    }
    target.database = Some(path.to_owned());
    Ok(target)
}

fn is_option(name: &str) -> bool {
    OPTIONS
        .iter()
        .any(|option| name.eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use crate::url::ConnectionTarget;

    #[test]
    fn every_form_names_its_file() {
        for (url, want) in [
            ("jdbc:sqlite:/var/x.db", "/var/x.db"),
            ("jdbc:sqlite:x.db", "x.db"),
            ("jdbc:sqlite:a%20b.db", "a%20b.db"),
            ("jdbc:sqlite:file:a%20b.db?mode=ro", "a b.db"),
            ("sqlite:x.db", "x.db"),
            ("sqlite://x.db", "x.db"),
            ("sqlite:///var/x.db?busy_timeout=1", "/var/x.db"),
            ("jdbc:sqlite:C:/x.db", "C:/x.db"),
        ] {
            assert_eq!(
                ConnectionTarget::parse(url).unwrap().database.as_deref(),
                Some(want),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for (url, want) in [
            ("jdbc:sqlite::memory:", "in memory"),
            ("jdbc:sqlite:", "in memory"),
            ("sqlite://", "in memory"),
            ("jdbc:sqlite:file::memory:?cache=shared", "no option cache"),
            ("jdbc:sqlite:file:x?mode=memory", "in memory"),
            ("jdbc:sqlite::resource:x.db", "path of a file"),
            (
                "jdbc:sqlite:x.db?enable_load_extension=true",
                "no option enable_load_extension",
            ),
            ("jdbc:sqlite:x.db?vfs=unix", "no option vfs"),
        ] {
            let error = ConnectionTarget::parse(url).unwrap_err();
            assert!(error.message().contains(want), "{url}: {error}");
        }
    }
}
