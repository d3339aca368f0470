//! What the decoders of the binary protocols have in common. Pure.

use connector_api::{Error, Result, Value};

use super::read::ReadColumn;

/// Decodes text. Errors: `Record` if it is not UTF-8.
pub(super) fn utf8(column: &ReadColumn, bytes: &[u8]) -> Result<Value> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Value::Text(text.into())),
        Err(_) => Err(Error::record(format!(
            "column {} has text that is not valid UTF-8",
            column.name
        ))),
    }
}

/// Returns the digits of a number; empty if they are none.
pub(super) fn digits(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The error of a value whose column has changed its type since it was looked up.
pub(super) fn altered(column: &ReadColumn) -> Error {
    Error::retry(format!(
        "the type of column {} has changed; the table's definition is read again",
        column.name
    ))
}
