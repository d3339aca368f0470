//! Converts sqlx's errors to [`Error`], with a kind.

use std::borrow::Cow;

use connector_api::{Error, ErrorKind};
use sqlx::error::DatabaseError;

use super::backend::DatabaseBackend;

/// Beginning of an error with the server's own text: its codes follow, then [`BEFORE_TEXT`], then
/// the text.
const REFUSED_WITH: &str = "the database refused (";
const BEFORE_TEXT: &str = "): ";

/// The exception that JDBC throws when the database refuses a value.
const REFUSED: &str = "java.sql.SQLException";

/// Beginning of the drivers' errors about an implausible size sent by the server.
const SIZE_LIMIT: &str = "size limit: ";

/// Beginning of the drivers' errors about a login that no retry can make succeed.
const LOGIN: &str = "login: ";

/// Beginning of the driver's error about a server that asks for the password in clear text.
const CLEARTEXT: &str = "mysql_cleartext_plugin disabled";

const SQLSTATE_LENGTH: usize = 5;

/// Most bytes of a server's text in an error.
const LONGEST_TEXT: usize = 2000;

/// Converts an error and classifies it; `place` is `host:port/database` for the message.
///
/// The server's own text is part of the message if it names tables or columns, and only of the
/// cause if it may quote a value of a row.
pub(super) fn classify<DB: DatabaseBackend>(place: &str, error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(server) => refused::<DB>(server),
        sqlx::Error::Io(cause) if is_about_certificates(&cause) => not_trusted(place, cause),
        sqlx::Error::Io(cause) => Error::retry(format!("connection to {place} failed: {cause}"))
            .caused_by(sqlx::Error::Io(cause)),
        sqlx::Error::Tls(cause) => not_trusted(place, cause),
        sqlx::Error::Configuration(cause) => {
            Error::config(format!("connecting to {place}: {cause}"))
        }
        // refused by our patches to the drivers, see vendor/README.md
        sqlx::Error::Protocol(text) if text.starts_with(SIZE_LIMIT) => Error::fatal(format!(
            "{place}: {}; the connection is closed. Check that a supported database answers there; \
             a source with such large rows needs a larger max.row.bytes",
            text.trim_start_matches(SIZE_LIMIT)
        )),
        sqlx::Error::Protocol(text) if text.starts_with(LOGIN) => {
            Error::config(format!("{place}: {}", text.trim_start_matches(LOGIN)))
        }
        sqlx::Error::Protocol(text) if text.starts_with(CLEARTEXT) => Error::config(format!(
            "{place} requests the password in clear text (mysql_clear_password), which is not \
             supported; use another authentication plug-in for the user, such as \
             caching_sha2_password with TLS"
        )),
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Error::retry(format!(
            "the answer of {place} could not be read; the connection is closed"
        ))
        .caused_by(error),
        other => Error::fatal(format!("unexpected answer of {place}")).caused_by(other),
    }
}

/// The error of a statement that the server refused.
fn refused<DB: DatabaseBackend>(server: Box<dyn DatabaseError>) -> Error {
    let (code, sqlstate) = DB::codes(server.as_ref());
    if let Some(text) = DB::refused_by_pooler(server.as_ref()) {
        return Error::config(text).caused_by(sqlx::Error::Database(server));
    }
    let kind = if DB::is_stale(server.as_ref()) {
        ErrorKind::Retry
    } else if DB::is_about_a_row(server.as_ref()) {
        ErrorKind::Record
    } else {
        DB::DIALECT.classify(&code, &sqlstate)
    };
    let advice = DB::DIALECT.advice(&code, &sqlstate, server.message());
    let codes = match (code.is_empty(), sqlstate.is_empty()) {
        (true, _) => sqlstate.clone(),
        (false, true) => format!("code {code}"),
        (false, false) => format!("{code}, SQLSTATE {sqlstate}"),
    };
    let text = match kind {
        // the name is the value of a column that refers to relations (regclass)
        ErrorKind::Record if sqlstate == "42P01" => {
            "a value, or a trigger, names a relation that does not exist".to_owned()
        }
        ErrorKind::Record => without_values(shortened(server.message())),
        _ => shortened(server.message()).to_owned(),
    };
    let error = Error::new(kind, format!("{REFUSED_WITH}{codes}{BEFORE_TEXT}{text}"));
    let error = if advice.is_empty() {
        error
    } else {
        error.and_line(advice)
    };
    let error = if kind == ErrorKind::Record {
        error.of_class(REFUSED)
    } else {
        error
    };
    error.caused_by(sqlx::Error::Database(server))
}

/// The error of a row that exceeds the source's size limit; it concerns its table only.
pub(super) fn too_long(place: &str, limit: usize) -> Error {
    Error::record(format!(
        "{place}: a row, or one of its values, has more than the {limit} bytes of max.row.bytes; \
         increase it, or exclude the large column (with a query that selects the other columns)"
    ))
}

/// True if the error is about a row that exceeds the size limit.
pub(super) fn is_about_a_row(error: &sqlx::Error) -> bool {
    let sqlx::Error::Protocol(text) = error else {
        return false;
    };
    let about = text.strip_prefix(SIZE_LIMIT).unwrap_or_default();
    // The drivers' own texts, see `bounds.rs` in each folder of vendor/.
    [
        "the server sends a message of more",
        "the server sends a message (DataRow) of more",
        "a row has more",
    ]
    .iter()
    .any(|row| about.starts_with(row))
}

fn not_trusted(place: &str, cause: impl std::fmt::Display) -> Error {
    Error::config(format!(
        "TLS with {place} failed: {cause}; check the server's certificate and the TLS settings in \
         connection.url (sslMode or sslmode; password and rows are only sent unencrypted with \
         disable, or with prefer if the server has no TLS)"
    ))
}

/// True if one side refused the other's certificate, which the TLS library reports as an I/O error.
fn is_about_certificates(error: &std::io::Error) -> bool {
    let text = error.to_string();
    text.starts_with("invalid peer certificate")
        || text
            .strip_prefix("received fatal alert: ")
            .is_some_and(|alert| {
                alert.contains("Certificate")
                    || matches!(alert, "UnknownCA" | "AccessDenied" | "ProtocolVersion")
            })
}

/// Reduces the message of an error from [`classify`] to the server's codes.
pub(super) fn without_text(message: &str) -> String {
    let codes = message
        .strip_prefix(REFUSED_WITH)
        .and_then(|rest| rest.split_once(BEFORE_TEXT));
    codes.map_or_else(
        || message.to_owned(),
        |(codes, _)| {
            format!(
                "{REFUSED_WITH}{codes}{BEFORE_TEXT}its text is not shown, because it may quote the \
                 masked query; run the query by hand to see it"
            )
        },
    )
}

/// True if the connection cannot be used any more after this error.
pub(super) fn loses_connection<DB: DatabaseBackend>(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(server) => {
            let (code, sqlstate) = DB::codes(server.as_ref());
            DB::loses_connection(&code, &sqlstate)
        }
        _ => false,
    }
}

/// Returns the SQLSTATE with which the server refused a statement. `None` for other errors, and for
/// SQLite, which has codes of its own.
pub(crate) fn sqlstate(error: &Error) -> Option<Cow<'_, str>> {
    let cause = std::error::Error::source(error)?.downcast_ref::<sqlx::Error>()?;
    let code = cause.as_database_error()?.code()?;
    (code.len() == SQLSTATE_LENGTH).then_some(code)
}

/// Converts the error of a statement that defines a table. A server refuses a record's own part of
/// it, the default of a field, with a data exception (class 22); every other refusal, such as that
/// of an event trigger, is about the table, and no other record would be accepted.
pub(crate) fn of_definition(error: Error) -> Error {
    let is_about_the_table = error.kind() == ErrorKind::Record
        && sqlstate(&error).is_some_and(|state| !state.starts_with("22"));
    if is_about_the_table {
        Error::config(error.message().to_owned()).caused_by(error)
    } else {
        error
    }
}

/// Returns the beginning of a server's text, which may be of any length.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Removes the value from a server's text about a value, while keeping names of columns and keys.
/// Cuts everything from the first quote that does not belong to a name up to the last ` for `.
/// MariaDB and MySQL quote with `'`, PostgreSQL with `"`.
fn without_values(text: &str) -> String {
    const NAMED: [&str; 8] = [
        "column ",
        "key ",
        "field ",
        "relation ",
        "constraint ",
        "table ",
        "index ",
        "schema ",
    ];
    let is_name = |at: usize| {
        NAMED
            .iter()
            .any(|word| text[..at].to_ascii_lowercase().ends_with(word))
    };
    let mut quotes = text.match_indices(['\'', '"']);
    while let Some((at, quote)) = quotes.next() {
        if is_name(at) {
            quotes.find(|(_, q)| *q == quote);
            continue;
        }
        let rest = text[at..]
            .rfind(" for ")
            .map_or("", |end| &text[at + end..]);
        return format!("{}'…'{rest}", &text[..at]);
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{is_about_a_row, without_text, without_values};

    #[test]
    fn a_row_beyond_the_size_limit_is_recognized_by_the_drivers_texts() {
        for (text, want) in [
            (
                "size limit: the server sends a message of more than 9 bytes (bounds:44)",
                true,
            ),
            (
                "size limit: the server sends a message (DataRow) of more than 9 bytes",
                true,
            ),
            ("size limit: a row has more than 9 bytes", true),
            (
                "size limit: the server sends a message (ErrorResponse) of more than 9 bytes",
                false,
            ),
            ("the server sends a message of more than 9 bytes", false),
        ] {
            let error = sqlx::Error::Protocol(text.into());
            assert_eq!(is_about_a_row(&error), want, "{text}");
        }
    }

    #[test]
    fn of_a_server_that_refuses_only_its_codes_may_be_left() {
        let shown = without_text(
            "the database refused (1064, SQLSTATE 42000): near 'FROM t WHERE pin='): 1'",
        );
        assert!(
            shown.starts_with("the database refused (1064, SQLSTATE 42000): its text"),
            "{shown}"
        );
        assert!(!shown.contains("pin"));
        assert_eq!(
            without_text("connection to h failed: gone"),
            "connection to h failed: gone"
        );
    }

    #[test]
    fn values_are_cut_out_of_server_texts_and_names_kept() {
        for (text, want) in [
            (
                "Duplicate entry 'it's 4711' for key 'PRIMARY'",
                "Duplicate entry '…' for key 'PRIMARY'",
            ),
            (
                "Data too long for column 'name' at row 1",
                "Data too long for column 'name' at row 1",
            ),
            (
                "Incorrect integer value: 'geheim' for column `d`.`t`.`a` at row 1",
                "Incorrect integer value: '…' for column `d`.`t`.`a` at row 1",
            ),
            ("Column 'a' cannot be null", "Column 'a' cannot be null"),
            (
                "invalid input syntax for type integer: \"it's\"",
                "invalid input syntax for type integer: '…'",
            ),
            (
                "value \"70000\" is out of range for type smallint",
                "value '…' for type smallint",
            ),
            (
                "null value in column \"a\" of relation \"t\" violates not-null constraint",
                "null value in column \"a\" of relation \"t\" violates not-null constraint",
            ),
        ] {
            assert_eq!(without_values(text), want);
        }
    }
}
