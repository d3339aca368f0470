//! Decodes payloads: reads JSON text into values along a compiled schema, without a tree in
//! between.
//!
//! Strict mode (the default) refuses what Kafka Connect silently alters: a number that does not fit
//! its type, a fraction for an integer, a value of another JSON type. Otherwise the result is that
//! of Connect's JsonConverter.

#![expect(
    clippy::indexing_slicing,
    reason = "there is one slot for each member of the plan"
)]

use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use connector_api::{Decimal, Error, Result, Value};

use super::JsonOptions;
use super::encode::MILLIS_PER_DAY;
use super::plan::{JsonNode, JsonNodeKind, StructMembers};
use super::reader::{JsonNumber, JsonReader, JsonToken};
use crate::convert::entries::last_of_each;
use crate::convert::limits::{ValueBudget, decimal, usual_scale};
use crate::convert::trail::{FieldPath, NOT_BASE64, REQUIRED, STRICT, holds_object};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads values from one text.
pub(super) struct JsonDecoder<'a, 'o> {
    pub(super) reader: JsonReader<'a>,
    options: &'o JsonOptions,
    budget: ValueBudget,
    /// Path of the field in which an error occurred.
    trail: FieldPath,
}

impl<'a, 'o> JsonDecoder<'a, 'o> {
    pub(super) fn new(text: &'a str, options: &'o JsonOptions) -> Self {
        Self {
            reader: JsonReader::new(text, options.strict),
            options,
            budget: ValueBudget::new(),
            trail: FieldPath::default(),
        }
    }

    /// Reads the whole payload.
    /// Errors: with the field that caused them.
    pub(super) fn payload(mut self, node: &JsonNode) -> Result<Value> {
        self.value(node).map_err(|error| self.trail.located(error))
    }

    /// Reads the whole payload without a schema.
    /// Errors: with the field that caused them.
    pub(super) fn plain(mut self) -> Result<Value> {
        self.schemaless().map_err(|error| self.trail.located(error))
    }
    pub(super) fn value(&mut self, node: &JsonNode) -> Result<Value> {
        match (&node.kind, self.reader.token()?) {
            (JsonNodeKind::Array(items), JsonToken::Array) => self.array(items.as_deref()),
            (JsonNodeKind::Object(pair), JsonToken::Object) => self.object(pair),
            (JsonNodeKind::Pairs(pair), JsonToken::Array) => self.pairs(pair),
            (JsonNodeKind::Struct(members), JsonToken::Object) => self.structure(members),
            (_, token) => self.scalar(node, token),
        }
    }

    /// Reads anything but a list or an object. A separate function, to keep the stack frame of each
    /// nesting level small.
    fn scalar(&mut self, node: &JsonNode, token: JsonToken<'a>) -> Result<Value> {
        match (&node.kind, token) {
            (_, JsonToken::Null) => self.null(node),
            (JsonNodeKind::Bool, JsonToken::Bool(b)) => Ok(Value::Bool(b)),
            (JsonNodeKind::I8, JsonToken::Number(n)) => Ok(Value::I8(self.integer(node, n)?)),
            (JsonNodeKind::I16, JsonToken::Number(n)) => Ok(Value::I16(self.integer(node, n)?)),
            (JsonNodeKind::I32, JsonToken::Number(n)) => Ok(Value::I32(self.integer(node, n)?)),
            (JsonNodeKind::I64, JsonToken::Number(n)) => self.long(node, n).map(Value::I64),
            (JsonNodeKind::F32, JsonToken::Number(n)) => self.float(node, n).map(Value::F32),
            (JsonNodeKind::F64, JsonToken::Number(n)) => self.double(n).map(Value::F64),
            (JsonNodeKind::Text, JsonToken::Text(text)) => Ok(Value::Text(text.into())),
            (JsonNodeKind::Bytes, JsonToken::Text(text)) => base64_bytes(&text)
                .map(|b| Value::Bytes(b.into()))
                .ok_or_else(|| self.not_base64("Invalid bytes field")),
            (JsonNodeKind::Decimal(_), JsonToken::Number(n)) => self.decimal(n),
            (JsonNodeKind::Decimal(scale), JsonToken::Text(text)) => {
                match scale.zip(base64_bytes(&text)) {
                    Some((scale, bytes)) if !bytes.is_empty() => decimal(&bytes, scale),
                    _ => Err(self.not_base64("Invalid bytes for Decimal field")),
                }
            }
            (JsonNodeKind::Date | JsonNodeKind::Time, JsonToken::Number(n)) => {
                self.day_or_time(node, n)
            }
            (JsonNodeKind::Timestamp, JsonToken::Number(n)) if n.integral => {
                self.long(node, n).map(Value::I64)
            }
            (_, token) => self.mismatch(node, &token),
        }
    }

    /// Returns the value of a null or an absent member.
    fn null(&mut self, node: &JsonNode) -> Result<Value> {
        match &node.schema.default {
            Some(default) if self.options.replace_null => {
                self.budget.take_copy(default)?;
                Ok(default.clone())
            }
            _ if node.schema.optional => Ok(Value::Null),
            _ => {
                self.trail.hint = Some(REQUIRED);
                Err(Error::record(format!(
                    "Invalid null value for required {} field",
                    node.schema.ty.name()
                )))
            }
        }
    }

    #[cold]
    fn not_base64(&mut self, text: &'static str) -> Error {
        self.trail.hint = Some(NOT_BASE64);
        Error::record(text)
    }

    #[cold]
    fn out_of_range(&mut self, ty: &str) -> Error {
        self.trail.hint = Some(STRICT);
        Error::record(format!(
            "Invalid value for {ty}: the number does not fit this type"
        ))
    }

    fn long(&mut self, node: &JsonNode, number: JsonNumber<'_>) -> Result<i64> {
        match number.exact_i64() {
            Some(n) => Ok(n),
            None if self.options.strict => Err(self.out_of_range(node.schema.ty.name())),
            None => Ok(number.wrapped_i64()),
        }
    }

    /// Converts to a narrower type: the lowest bits of its 32-bit form, as Java narrows.
    fn integer<T: TryFrom<i64> + Narrow>(
        &mut self,
        node: &JsonNode,
        number: JsonNumber<'_>,
    ) -> Result<T> {
        let wide = self.long(node, number)?;
        match T::try_from(wide) {
            Ok(n) => Ok(n),
            Err(_) if self.options.strict => Err(self.out_of_range(node.schema.ty.name())),
            Err(_) => Ok(T::narrow(wide)),
        }
    }

    fn float(&mut self, node: &JsonNode, number: JsonNumber<'_>) -> Result<f32> {
        let float: f32 = number.text.parse().unwrap_or(f32::NAN);
        if self.options.strict && !float.is_finite() {
            return Err(self.out_of_range(node.schema.ty.name()));
        }
        // Connect reads floats through BigDecimal, which has no negative zero.
        Ok(if float == 0.0 && !self.options.strict {
            0.0
        } else {
            float
        })
    }

    fn double(&mut self, number: JsonNumber<'_>) -> Result<f64> {
        let double: f64 = number.text.parse().unwrap_or(f64::NAN);
        if self.options.strict && !double.is_finite() {
            return Err(self.out_of_range("FLOAT64"));
        }
        Ok(if double == 0.0 && !self.options.strict {
            0.0
        } else {
            double
        })
    }

    fn decimal(&self, number: JsonNumber<'_>) -> Result<Value> {
        match Decimal::parse(number.text) {
            Some(n) if !self.options.strict || n.has_usual_scale() => {
                Ok(Value::Decimal(Box::new(n)))
            }
            Some(n) => Err(usual_scale(n.scale())
                .err()
                .unwrap_or_else(|| Error::fatal("an invalid scale"))),
            None => Err(Error::record(
                "Invalid value for Decimal: the number's exponent, or the number, is too large",
            )),
        }
    }

    fn day_or_time(&mut self, node: &JsonNode, number: JsonNumber<'_>) -> Result<Value> {
        let n = if number.integral {
            number.text.parse::<i32>().ok()
        } else {
            None
        };
        let Some(n) = n else {
            return self.mismatch(node, &JsonToken::Number(number));
        };
        if matches!(node.kind, JsonNodeKind::Time) && !(0..=MILLIS_PER_DAY).contains(&n) {
            return Err(Error::record(
                "Time values must use number of milliseconds greater than 0 and less than 86400000",
            ));
        }
        Ok(Value::I32(n))
    }

    fn array(&mut self, items: Option<&JsonNode>) -> Result<Value> {
        let mut values = Vec::new();
        while self.reader.next_item(values.is_empty())? {
            values.push(match items {
                Some(node) => match self.value(node) {
                    Ok(value) => value,
                    Err(error) => return Err(self.trail.met(error, "[]", Some(node.declared()))),
                },
                None => match self.schemaless() {
                    Ok(value) => value,
                    Err(error) => return Err(self.trail.met(error, "[]", None)),
                },
            });
        }
        Ok(Value::Array(values.into()))
    }

    fn object(&mut self, (_, values): &(JsonNode, JsonNode)) -> Result<Value> {
        let mut entries = Vec::new();
        while let Some(name) = self.reader.next_member(entries.is_empty())? {
            match self.value(values) {
                Ok(value) => entries.push((Value::Text(name.into()), value)),
                Err(error) => return Err(self.trail.met(error, "{}", Some(values.declared()))),
            }
        }
        Ok(Value::Map(last_of_each(entries).into()))
    }

    fn pairs(&mut self, (keys, values): &(JsonNode, JsonNode)) -> Result<Value> {
        let mut entries = Vec::new();
        while self.reader.next_item(entries.is_empty())? {
            let token = self.reader.token()?;
            if self.options.entries {
                entries.push(self.entry(&token, keys, values)?);
                continue;
            }
            if !matches!(token, JsonToken::Array) {
                let found = token.type_name();
                return Err(Error::record(format!(
                    "Found invalid map entry instead of array tuple: {found}"
                )));
            }
            let length = self.reader.count_items()?;
            if length != 2 {
                return Err(Error::record(format!(
                    "Found invalid map entry, expected length 2 but found :{length}"
                )));
            }
            self.reader.next_item(true)?;
            let key = self.side(keys)?;
            self.reader.next_item(false)?;
            let value = self.side(values)?;
            self.reader.next_item(false)?;
            entries.push((key, value));
        }
        Ok(Value::Map(last_of_each(entries).into()))
    }

    /// Reads the key or the value of a map's entry.
    fn side(&mut self, node: &JsonNode) -> Result<Value> {
        self.value(node)
            .map_err(|error| self.trail.met(error, "{}", Some(node.declared())))
    }

    /// Reads an object with a key and a value, in any order.
    fn entry(
        &mut self,
        token: &JsonToken<'_>,
        keys: &JsonNode,
        values: &JsonNode,
    ) -> Result<(Value, Value)> {
        if !matches!(token, JsonToken::Object) {
            let found = token.type_name();
            return Err(Error::record(format!(
                "Found invalid map entry instead of an object: {found}"
            )));
        }
        let (mut key, mut value, mut first) = (None, None, true);
        while let Some(name) = self.reader.next_member(first)? {
            first = false;
            match &*name {
                "key" => key = Some(self.side(keys)?),
                "value" => value = Some(self.side(values)?),
                _ => self.reader.skip()?,
            }
        }
        let key = key.map_or_else(|| self.null(keys), Ok)?;
        Ok((key, value.map_or_else(|| self.null(values), Ok)?))
    }

    /// Reads a struct. Members usually arrive in the schema's order, so the exact text of the next
    /// one is tried first.
    fn structure(&mut self, members: &StructMembers) -> Result<Value> {
        let list = &members.list;
        self.budget.take(list.len())?;
        let mut values = Vec::with_capacity(list.len());
        for member in list {
            if !self.reader.try_member(values.is_empty(), &member.text) {
                break;
            }
            match self.value(&member.node) {
                Ok(value) => values.push(value),
                Err(error) => {
                    return Err(self
                        .trail
                        .met(error, &member.name, Some(member.node.declared())));
                }
            }
            self.checked(members, values.len() - 1, values.last())?;
        }
        if values.len() == list.len() && !list.is_empty() && self.reader.try_close() {
            return Ok(Value::Struct(values.into()));
        }
        self.any_order(members, values)
    }

    fn any_order(&mut self, members: &StructMembers, in_order: Vec<Value>) -> Result<Value> {
        let list = &members.list;
        let mut first = in_order.is_empty();
        let mut next = in_order.len();
        let mut slots: Vec<Option<Value>> = in_order.into_iter().map(Some).collect();
        slots.resize(list.len(), None);
        while let Some(name) = self.reader.next_member(first)? {
            first = false;
            let expected = list.get(next).is_some_and(|member| *member.name == *name);
            match if expected {
                Some(next)
            } else {
                members.position(&name)
            } {
                Some(at) => {
                    match self.value(&list[at].node) {
                        Ok(value) => slots[at] = Some(value),
                        Err(error) => {
                            return Err(self.trail.met(
                                error,
                                &list[at].name,
                                Some(list[at].node.declared()),
                            ));
                        }
                    }
                    self.checked(members, at, slots[at].as_ref())?;
                    next = at + 1;
                }
                None => self.reader.skip()?,
            }
        }
        let fill = |(slot, member): (Option<Value>, &super::plan::StructMember)| match slot {
            Some(value) => Ok(value),
            None => self.null(&member.node).map_err(|error| {
                self.trail
                    .met(error, &member.name, Some(member.node.declared()))
            }),
        };
        Ok(Value::Struct(
            slots
                .into_iter()
                .zip(list)
                .map(fill)
                .collect::<Result<_>>()?,
        ))
    }

    /// Refuses, as Connect does, a null that results from a wrong JSON type for a required field.
    fn checked(&mut self, members: &StructMembers, at: usize, value: Option<&Value>) -> Result<()> {
        let member = &members.list[at];
        if value.is_some_and(Value::is_null) && !member.node.schema.optional {
            let ty = member.node.schema.ty.name();
            let error = Error::record(format!(
                "Invalid value: null used for required field: \"{}\", schema type: {ty}",
                member.name
            ));
            return Err(self
                .trail
                .met(error, &member.name, Some(member.node.declared())));
        }
        Ok(())
    }

    /// Reads a value without a schema: integers become INT64, fractions FLOAT64, objects maps.
    pub(super) fn schemaless(&mut self) -> Result<Value> {
        Ok(match self.reader.token()? {
            JsonToken::Null => Value::Null,
            JsonToken::Bool(b) => Value::Bool(b),
            JsonToken::Text(text) => Value::Text(text.into()),
            JsonToken::Number(n) if n.integral => match n.exact_i64() {
                Some(n) => Value::I64(n),
                None if self.options.strict => return Err(self.out_of_range("INT64")),
                None => Value::I64(n.wrapped_i64()),
            },
            JsonToken::Number(n) => Value::F64(self.double(n)?),
            JsonToken::Array => self.array(None)?,
            JsonToken::Object => {
                let mut entries = Vec::new();
                while let Some(name) = self.reader.next_member(entries.is_empty())? {
                    match self.schemaless() {
                        Ok(value) => entries.push((Value::Text(name.into()), value)),
                        Err(error) => return Err(self.trail.met(error, &name, None)),
                    }
                }
                Value::Map(last_of_each(entries).into())
            }
        })
    }

    /// Handles a value whose JSON type is not the one that the schema requires.
    #[cold]
    fn mismatch(&mut self, node: &JsonNode, token: &JsonToken<'_>) -> Result<Value> {
        let found = token.type_name();
        let needed = match &node.kind {
            JsonNodeKind::Struct(_) => {
                self.trail.twice = matches!(token, JsonToken::Text(text) if holds_object(text));
                return Err(Error::record(format!(
                    "Structs should be encoded as JSON objects, but found {found}"
                )));
            }
            JsonNodeKind::Object(_) => {
                return Err(Error::record(format!(
                    "Maps with string fields should be encoded as JSON objects, but found {found}"
                )));
            }
            JsonNodeKind::Pairs(_) => {
                return Err(Error::record(format!(
                    "Maps with non-string fields should be encoded as JSON array of tuples, but found {found}"
                )));
            }
            JsonNodeKind::Decimal(_) => {
                return Err(underlying("Decimal", "numeric or bytes", found));
            }
            JsonNodeKind::Date => return Err(underlying("Date", "integer", found)),
            JsonNodeKind::Time => return Err(underlying("Time", "integer", found)),
            JsonNodeKind::Timestamp => return Err(underlying("Timestamp", "integral", found)),
            JsonNodeKind::F32 | JsonNodeKind::F64 if self.options.strict => {
                return special_float(node, token);
            }
            JsonNodeKind::Bool => "boolean",
            JsonNodeKind::Text => "text",
            JsonNodeKind::Bytes => "text in base64",
            JsonNodeKind::Array(_) => "array",
            _ => "numeric",
        };
        if self.options.strict {
            self.trail.hint = Some(STRICT);
            return Err(underlying(node.schema.ty.name(), needed, found));
        }
        self.corrupted(node, token)
    }

    /// Returns what Connect makes of a value of another JSON type.
    fn corrupted(&mut self, node: &JsonNode, token: &JsonToken<'_>) -> Result<Value> {
        if let (JsonNodeKind::Array(items), JsonToken::Object) = (&node.kind, token) {
            let mut values = Vec::new();
            while self.reader.next_member(values.is_empty())?.is_some() {
                values.push(match items {
                    Some(node) => self.value(node)?,
                    None => self.schemaless()?,
                });
            }
            return Ok(Value::Array(values.into()));
        }
        self.reader.skip_rest(token)?;
        Ok(match &node.kind {
            JsonNodeKind::Bool => Value::Bool(false),
            JsonNodeKind::I8 => Value::I8(0),
            JsonNodeKind::I16 => Value::I16(0),
            JsonNodeKind::I32 => Value::I32(0),
            JsonNodeKind::I64 => Value::I64(0),
            JsonNodeKind::F32 => Value::F32(0.0),
            JsonNodeKind::F64 => Value::F64(0.0),
            JsonNodeKind::Array(_) => Value::Array(Box::default()),
            _ => Value::Null,
        })
    }
}

fn underlying(what: &str, needed: &str, found: &str) -> Error {
    Error::record(format!(
        "Invalid type for {what}, underlying representation should be {needed} but was {found}"
    ))
}

/// Reads the texts that the encoder writes for floats without a JSON number: NaN and the
/// infinities.
fn special_float(node: &JsonNode, token: &JsonToken<'_>) -> Result<Value> {
    let value = match token {
        JsonToken::Text(text) if text == "NaN" => f64::NAN,
        JsonToken::Text(text) if text == "Infinity" => f64::INFINITY,
        JsonToken::Text(text) if text == "-Infinity" => f64::NEG_INFINITY,
        _ => {
            return Err(underlying(
                node.schema.ty.name(),
                "numeric",
                token.type_name(),
            ));
        }
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "NaN and the infinities stay what they are"
    )]
    Ok(if matches!(node.kind, JsonNodeKind::F32) {
        Value::F32(value as f32)
    } else {
        Value::F64(value)
    })
}

/// Truncation to the lowest bits, as Java narrows integers.
trait Narrow {
    fn narrow(wide: i64) -> Self;
}

macro_rules! narrow {
    ($($ty:ty),*) => {$(
        impl Narrow for $ty {
            #[expect(clippy::cast_possible_truncation, reason = "cutting off is what it is for")]
            fn narrow(wide: i64) -> Self {
                wide as Self
            }
        }
    )*};
}
narrow!(i8, i16, i32);

/// Decodes base64 as Jackson does: white space between groups of four, and further groups after
/// padding, are accepted.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = BASE64.decode(text) {
        return Some(bytes);
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text.as_bytes();
    loop {
        while let [0..=b' ', tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(bytes);
        }
        let (group, tail) = rest.split_at_checked(4)?;
        bytes.extend(BASE64.decode(group).ok()?);
        rest = tail;
    }
}

/// Reads the default of a schema; `None` if it is JSON null.
/// Errors: as for any value.
pub(super) fn read_default(
    text: &str,
    schema: &Arc<connector_api::Schema>,
    options: &JsonOptions,
) -> Result<Option<Value>> {
    let value = JsonDecoder::new(text, options).value(&JsonNode::compile(schema))?;
    let invalid = matches!(value, Value::Struct(_)) || value.is_null() && !schema.optional;
    if invalid {
        return Err(Error::record("Invalid default value"));
    }
    Ok(Some(value).filter(|value| !value.is_null()))
}
