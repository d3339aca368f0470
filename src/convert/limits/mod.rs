//! Limits on the size of decoded records and schemas from outside, for all converters. Pure.
//!
//! A few bytes can expand to much data: a scale to zeros, a null to a default, the index of a
//! symbol to its text, the use of a named type to its whole definition. Each such number is checked
//! before anything is allocated for it.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Decimal, Error, Result, Schema, Value};

/// Maximum number of values in one record: struct members, items and entries. A default, or a
/// symbol's text, counts by its size.
pub(super) const MAX_VALUES: usize = 1 << 22;
/// Maximum total size of the defaults in one schema, in bytes: each may replace every null of a
/// record.
const MAX_DEFAULTS: usize = 1 << 20;

/// Counts the values of one record against [`MAX_VALUES`].
pub(super) struct ValueBudget {
    left: usize,
}

impl ValueBudget {
    pub(super) fn new() -> Self {
        Self { left: MAX_VALUES }
    }

    /// Counts `values`.
    /// Errors: `Record` if the total exceeds [`MAX_VALUES`].
    pub(super) fn take(&mut self, values: usize) -> Result<()> {
        self.left = self.left.checked_sub(values).ok_or_else(too_many)?;
        Ok(())
    }

    /// Counts a copy of a value that the record only refers to.
    pub(super) fn take_copy(&mut self, of: &Value) -> Result<()> {
        self.take(units(of.weight()))
    }

    /// Counts a text that the record only refers to.
    #[cfg(any(feature = "avro", feature = "protobuf"))]
    pub(super) fn take_text(&mut self, text: &str) -> Result<()> {
        self.take(units(text.len()))
    }
}

/// Converts a size in bytes to a number of values.
pub(super) fn units(bytes: usize) -> usize {
    bytes / size_of::<Value>()
}

#[cold]
fn too_many() -> Error {
    Error::record(format!(
        "the record holds more than {MAX_VALUES} values (MAX_VALUES)"
    ))
}

/// Returns the number of types in a schema.
/// Errors: `Record` if its defaults together exceed [`MAX_DEFAULTS`].
pub(super) fn checked(schema: &Schema) -> Result<usize> {
    let (mut types, mut defaults) = (0, 0);
    measure(schema, &mut types, &mut defaults);
    if defaults > MAX_DEFAULTS {
        return Err(Error::record(format!(
            "the defaults of the schema take more than {MAX_DEFAULTS} bytes together (MAX_DEFAULTS)"
        )));
    }
    Ok(types)
}

fn measure(schema: &Schema, types: &mut usize, defaults: &mut usize) {
    *types += 1 + schema.params.len();
    *defaults += schema
        .default
        .as_ref()
        .map_or(0, |default| default.weight() - size_of::<Value>());
    let inner = [&schema.keys, &schema.values].into_iter().flatten();
    for inner in inner.chain(schema.fields.iter().map(|field| &field.schema)) {
        measure(inner, types, defaults);
    }
}

/// Removes duplicate parameters of a schema: the last one of a name counts, at the position of the
/// first.
pub(super) fn parameters(
    given: impl Iterator<Item = (Arc<str>, Arc<str>)>,
) -> Box<[(Arc<str>, Arc<str>)]> {
    let (mut places, mut kept) = (HashMap::new(), Vec::new());
    for (name, value) in given {
        let place = *places.entry(Arc::clone(&name)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some((_, before)) => *before = value,
            None => kept.push((name, value)),
        }
    }
    kept.into()
}

/// Reads a decimal from a record's bytes.
/// Errors: `Record`, naming the limit that was exceeded.
pub(super) fn decimal(bytes: &[u8], scale: i32) -> Result<Value> {
    usual_scale(scale)?;
    let decimal = Decimal::from_be_bytes(bytes, scale);
    decimal
        .map(|decimal| Value::Decimal(Box::new(decimal)))
        .ok_or_else(|| match bytes {
            [] => Error::record("a decimal without digits"),
            _ => Error::record(format!(
                "a decimal of more than {} digits (Decimal::MAX_DIGITS)",
                Decimal::MAX_DIGITS
            )),
        })
}

/// Refuses an extreme scale: as plain digits, the number would be as long as its scale.
pub(super) fn usual_scale(scale: i32) -> Result<()> {
    let most = Decimal::MAX_SCALE;
    if scale.unsigned_abs() <= most {
        return Ok(());
    }
    Err(Error::record(format!(
        "a decimal of scale {scale}: scales from -{most} to {most} are taken (Decimal::MAX_SCALE)"
    )))
}

#[cfg(test)]
mod tests;
