//! Turns headers into parameters. Pure.

use std::borrow::Cow;

use connector_api::{Header, Result, Value};

use crate::dialect::writing::hex;
use crate::driver::SqlParam;
use crate::sink::mapping::adapt::json;

/// Returns the last header of that name as text; bytes as UTF-8 or, if they are none, in
/// hexadecimal.
pub(super) fn header<'a>(headers: &'a [Header], name: &str) -> Result<SqlParam<'a>> {
    let Some(header) = headers.iter().rev().find(|header| *header.key == *name) else {
        return Ok(SqlParam::Null);
    };
    Ok(match &header.datum.value {
        Value::Null => SqlParam::Null,
        Value::Text(text) => SqlParam::Text(Cow::Borrowed(text)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => SqlParam::Text(Cow::Borrowed(text)),
            Err(_) => {
                let mut out = String::with_capacity(bytes.len() * 2);
                hex(bytes, &mut out);
                SqlParam::Text(Cow::Owned(out))
            }
        },
        other => SqlParam::Text(Cow::Owned(json::text(
            other,
            header.datum.schema.as_deref(),
        )?)),
    })
}

/// Like [`header`], as bytes.
pub(super) fn header_bytes<'a>(headers: &'a [Header], name: &str) -> Result<SqlParam<'a>> {
    match headers
        .iter()
        .rev()
        .find(|header| *header.key == *name)
        .map(|header| &header.datum.value)
    {
        Some(Value::Bytes(bytes)) => Ok(SqlParam::Bytes(Cow::Borrowed(bytes))),
        _ => header(headers, name).map(|param| match param {
            SqlParam::Text(text) => SqlParam::Bytes(Cow::Owned(text.into_owned().into_bytes())),
            other => other,
        }),
    }
}
