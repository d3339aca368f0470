//! What records and schemas from outside may come to, whatever converter reads them. Pure.
//!
//! A few bytes can stand for much: a scale for zeros, a null for a default, a symbol's number for
//! its text, the use of a named type for all of it. Each such number is checked before anything is
//! made of it.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Decimal, Error, Result, Schema, Value};

/// How many values one record may come to: struct members, items, entries; a default, or a symbol's
/// text, counts by its size.
pub(super) const MAX_VALUES: usize = 1 << 22;
/// Bytes that the defaults of one schema may take together: each may stand for every null of a
/// record.
const MAX_DEFAULTS: usize = 1 << 20;

/// Counts the values of one record.
pub(super) struct ValueBudget {
    left: usize,
}

impl ValueBudget {
    pub(super) fn new() -> Self {
        Self { left: MAX_VALUES }
    }

    /// Errors: `Record` where there were more than [`MAX_VALUES`] with these.
    pub(super) fn take(&mut self, values: usize) -> Result<()> {
        self.left = self.left.checked_sub(values).ok_or_else(too_many)?;
        Ok(())
    }

    /// The same for a copy of something that the record only names.
    pub(super) fn take_copy(&mut self, of: &Value) -> Result<()> {
        self.take(units(of.weight()))
    }

    /// The same for a text.
    #[cfg(any(feature = "avro", feature = "protobuf"))]
    pub(super) fn take_text(&mut self, text: &str) -> Result<()> {
        self.take(units(text.len()))
    }
}

/// How many values that many bytes count for.
pub(super) fn units(bytes: usize) -> usize {
    bytes / size_of::<Value>()
}

#[cold]
fn too_many() -> Error {
    Error::record(format!(
        "the record holds more than {MAX_VALUES} values (MAX_VALUES)"
    ))
}

/// How many types a schema has. Errors: `Record` where its defaults are larger than
/// [`MAX_DEFAULTS`] together.
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

/// Parameters of a schema, of which the last one of a name counts, at the place of the first.
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

/// A decimal out of a record's bytes. Errors: `Record` where a limit is broken, which the text
/// names.
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

/// Refuses a scale that nobody needs: as plain digits such a number is as long as its scale says.
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
