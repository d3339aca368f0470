//! Reads payloads: JSON text to values, guided by a compiled schema, without a tree between.
//!
//! Strict (the default) refuses what Kafka Connect alters in silence: a number that does not fit its type, a fraction
//! for an integer, a value of another JSON type. Otherwise it gives what Connect's JsonConverter gives.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use connector_api::{Decimal, Error, Result, Value};

use super::Options;
use super::encode::MILLIS_PER_DAY;
use super::plan::{Kind, Members, Node};
use super::reader::{Number, Reader, Token};
use crate::convert::entries::last_of_each;
use crate::convert::limits::{Budget, decimal, usual_scale};
use crate::convert::trail::{STRICT, Trail, holds_object};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads values from one text.
pub(super) struct Decoder<'a, 'o> {
    pub(super) reader: Reader<'a>,
    options: &'o Options,
    budget: Budget,
    /// Where an error was met.
    trail: Trail,
}

impl<'a, 'o> Decoder<'a, 'o> {
    pub(super) fn new(text: &'a str, options: &'o Options) -> Self {
        Self { reader: Reader::new(text, options.strict), options, budget: Budget::new(), trail: Trail::default() }
    }

    /// Reads the whole payload. Errors: with the field that they are about.
    pub(super) fn payload(mut self, node: &Node) -> Result<Value> {
        self.value(node).map_err(|error| self.trail.located(error))
    }

    /// Reads the whole payload without a schema. Errors: likewise.
    pub(super) fn plain(mut self) -> Result<Value> {
        self.schemaless().map_err(|error| self.trail.located(error))
    }

    /// Reads a value of that schema.
    pub(super) fn value(&mut self, node: &Node) -> Result<Value> {
        match (&node.kind, self.reader.token()?) {
            (Kind::Array(items), Token::Array) => self.array(items.as_deref()),
            (Kind::Object(pair), Token::Object) => self.object(pair),
            (Kind::Pairs(pair), Token::Array) => self.pairs(pair),
            (Kind::Struct(members), Token::Object) => self.structure(members),
            (_, token) => self.scalar(node, token),
        }
    }

    /// Reads what is neither a list nor an object. By itself, so that little of the stack is taken for each level of those.
    fn scalar(&mut self, node: &Node, token: Token<'a>) -> Result<Value> {
        match (&node.kind, token) {
            (_, Token::Null) => self.null(node),
            (Kind::Bool, Token::Bool(b)) => Ok(Value::Bool(b)),
            (Kind::I8, Token::Number(n)) => Ok(Value::I8(self.integer(node, n)?)),
            (Kind::I16, Token::Number(n)) => Ok(Value::I16(self.integer(node, n)?)),
            (Kind::I32, Token::Number(n)) => Ok(Value::I32(self.integer(node, n)?)),
            (Kind::I64, Token::Number(n)) => self.long(node, n).map(Value::I64),
            (Kind::F32, Token::Number(n)) => self.float(node, n).map(Value::F32),
            (Kind::F64, Token::Number(n)) => self.double(n).map(Value::F64),
            (Kind::Text, Token::Text(text)) => Ok(Value::Text(text.into())),
            (Kind::Bytes, Token::Text(text)) => {
                base64_bytes(&text).map(|b| Value::Bytes(b.into())).ok_or_else(|| Error::record("Invalid bytes field"))
            }
            (Kind::Decimal(_), Token::Number(n)) => self.decimal(n),
            (Kind::Decimal(scale), Token::Text(text)) => match scale.zip(base64_bytes(&text)) {
                Some((scale, bytes)) if !bytes.is_empty() => decimal(&bytes, scale),
                _ => Err(Error::record("Invalid bytes for Decimal field")),
            },
            (Kind::Date | Kind::Time, Token::Number(n)) => self.day_or_time(node, n),
            (Kind::Timestamp, Token::Number(n)) if n.integral => self.long(node, n).map(Value::I64),
            (_, token) => self.mismatch(node, &token),
        }
    }

    /// What null, or an absent member, stands for.
    fn null(&mut self, node: &Node) -> Result<Value> {
        match &node.schema.default {
            Some(default) if self.options.replace_null => {
                self.budget.take_copy(default)?;
                Ok(default.clone())
            }
            _ if node.schema.optional => Ok(Value::Null),
            _ => Err(Error::record(format!("Invalid null value for required {} field", node.schema.ty.name()))),
        }
    }

    #[cold]
    fn out_of_range(&mut self, ty: &str) -> Error {
        self.trail.hint = Some(STRICT);
        Error::record(format!("Invalid value for {ty}: the number does not fit this type"))
    }

    fn long(&mut self, node: &Node, number: Number<'_>) -> Result<i64> {
        match number.exact_i64() {
            Some(n) => Ok(n),
            None if self.options.strict => Err(self.out_of_range(node.schema.ty.name())),
            None => Ok(number.wrapped_i64()),
        }
    }

    /// The number in a narrower type: the lowest bits of its 32-bit form, as Java narrows.
    fn integer<T: TryFrom<i64> + Narrow>(&mut self, node: &Node, number: Number<'_>) -> Result<T> {
        let wide = self.long(node, number)?;
        match T::try_from(wide) {
            Ok(n) => Ok(n),
            Err(_) if self.options.strict => Err(self.out_of_range(node.schema.ty.name())),
            Err(_) => Ok(T::narrow(wide)),
        }
    }

    fn float(&mut self, node: &Node, number: Number<'_>) -> Result<f32> {
        let float: f32 = number.text.parse().unwrap_or(f32::NAN);
        if self.options.strict && !float.is_finite() {
            return Err(self.out_of_range(node.schema.ty.name()));
        }
        // Connect reads through BigDecimal, which has no negative zero.
        Ok(if float == 0.0 && !self.options.strict { 0.0 } else { float })
    }

    fn double(&mut self, number: Number<'_>) -> Result<f64> {
        let double: f64 = number.text.parse().unwrap_or(f64::NAN);
        if self.options.strict && !double.is_finite() {
            return Err(self.out_of_range("FLOAT64"));
        }
        Ok(if double == 0.0 && !self.options.strict { 0.0 } else { double })
    }

    fn decimal(&self, number: Number<'_>) -> Result<Value> {
        match Decimal::parse(number.text) {
            Some(n) if !self.options.strict || n.has_usual_scale() => Ok(Value::Decimal(Box::new(n))),
            Some(n) => Err(usual_scale(n.scale()).err().unwrap_or_else(|| Error::fatal("a scale that is none"))),
            None => Err(Error::record("Invalid value for Decimal: the number's exponent, or the number, is too large")),
        }
    }

    fn day_or_time(&mut self, node: &Node, number: Number<'_>) -> Result<Value> {
        let n = if number.integral { number.text.parse::<i32>().ok() } else { None };
        let Some(n) = n else { return self.mismatch(node, &Token::Number(number)) };
        if matches!(node.kind, Kind::Time) && !(0..=MILLIS_PER_DAY).contains(&n) {
            return Err(Error::record(
                "Time values must use number of milliseconds greater than 0 and less than 86400000",
            ));
        }
        Ok(Value::I32(n))
    }

    fn array(&mut self, items: Option<&Node>) -> Result<Value> {
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

    fn object(&mut self, (_, values): &(Node, Node)) -> Result<Value> {
        let mut entries = Vec::new();
        while let Some(name) = self.reader.next_member(entries.is_empty())? {
            match self.value(values) {
                Ok(value) => entries.push((Value::Text(name.into()), value)),
                Err(error) => return Err(self.trail.met(error, "{}", Some(values.declared()))),
            }
        }
        Ok(Value::Map(last_of_each(entries).into()))
    }

    fn pairs(&mut self, (keys, values): &(Node, Node)) -> Result<Value> {
        let mut entries = Vec::new();
        while self.reader.next_item(entries.is_empty())? {
            let token = self.reader.token()?;
            if self.options.entries {
                entries.push(self.entry(&token, keys, values)?);
                continue;
            }
            if !matches!(token, Token::Array) {
                let found = token.type_name();
                return Err(Error::record(format!("Found invalid map entry instead of array tuple: {found}")));
            }
            let length = self.reader.count_items()?;
            if length != 2 {
                return Err(Error::record(format!("Found invalid map entry, expected length 2 but found :{length}")));
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

    /// The key or the value of a map's entry.
    fn side(&mut self, node: &Node) -> Result<Value> {
        self.value(node).map_err(|error| self.trail.met(error, "{}", Some(node.declared())))
    }

    /// An object with a key and a value, in any order.
    fn entry(&mut self, token: &Token<'_>, keys: &Node, values: &Node) -> Result<(Value, Value)> {
        if !matches!(token, Token::Object) {
            let found = token.type_name();
            return Err(Error::record(format!("Found invalid map entry instead of an object: {found}")));
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

    /// Members mostly come in the schema's order: each next one is expected by its exact text first.
    fn structure(&mut self, members: &Members) -> Result<Value> {
        let list = &members.list;
        self.budget.take(list.len())?;
        let mut values = Vec::with_capacity(list.len());
        for member in list {
            if !self.reader.try_member(values.is_empty(), &member.text) {
                break;
            }
            match self.value(&member.node) {
                Ok(value) => values.push(value),
                Err(error) => return Err(self.trail.met(error, &member.name, Some(member.node.declared()))),
            }
            self.checked(members, values.len() - 1, values.last())?;
        }
        if values.len() == list.len() && !list.is_empty() && self.reader.try_close() {
            return Ok(Value::Struct(values.into()));
        }
        self.any_order(members, values)
    }

    fn any_order(&mut self, members: &Members, in_order: Vec<Value>) -> Result<Value> {
        let list = &members.list;
        let mut first = in_order.is_empty();
        let mut next = in_order.len();
        let mut slots: Vec<Option<Value>> = in_order.into_iter().map(Some).collect();
        slots.resize(list.len(), None);
        while let Some(name) = self.reader.next_member(first)? {
            first = false;
            let expected = list.get(next).is_some_and(|member| *member.name == *name);
            match if expected { Some(next) } else { members.position(&name) } {
                Some(at) => {
                    match self.value(&list[at].node) {
                        Ok(value) => slots[at] = Some(value),
                        Err(error) => {
                            return Err(self.trail.met(error, &list[at].name, Some(list[at].node.declared())));
                        }
                    }
                    self.checked(members, at, slots[at].as_ref())?;
                    next = at + 1;
                }
                None => self.reader.skip()?,
            }
        }
        let fill = |(slot, member): (Option<Value>, &super::plan::Member)| match slot {
            Some(value) => Ok(value),
            None => self
                .null(&member.node)
                .map_err(|error| self.trail.met(error, &member.name, Some(member.node.declared()))),
        };
        Ok(Value::Struct(slots.into_iter().zip(list).map(fill).collect::<Result<_>>()?))
    }

    /// Connect refuses a null that came of a wrong JSON type where the field is required.
    fn checked(&mut self, members: &Members, at: usize, value: Option<&Value>) -> Result<()> {
        let member = &members.list[at];
        if value.is_some_and(Value::is_null) && !member.node.schema.optional {
            let ty = member.node.schema.ty.name();
            let error = Error::record(format!(
                "Invalid value: null used for required field: \"{}\", schema type: {ty}",
                member.name
            ));
            return Err(self.trail.met(error, &member.name, Some(member.node.declared())));
        }
        Ok(())
    }

    /// Reads a value without a schema: integers become INT64, fractions FLOAT64, objects maps.
    pub(super) fn schemaless(&mut self) -> Result<Value> {
        Ok(match self.reader.token()? {
            Token::Null => Value::Null,
            Token::Bool(b) => Value::Bool(b),
            Token::Text(text) => Value::Text(text.into()),
            Token::Number(n) if n.integral => match n.exact_i64() {
                Some(n) => Value::I64(n),
                None if self.options.strict => return Err(self.out_of_range("INT64")),
                None => Value::I64(n.wrapped_i64()),
            },
            Token::Number(n) => Value::F64(self.double(n)?),
            Token::Array => self.array(None)?,
            Token::Object => {
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

    /// A value of another JSON type than the schema asks for.
    #[cold]
    fn mismatch(&mut self, node: &Node, token: &Token<'_>) -> Result<Value> {
        let found = token.type_name();
        let needed = match &node.kind {
            Kind::Struct(_) => {
                self.trail.twice = matches!(token, Token::Text(text) if holds_object(text));
                return Err(Error::record(format!("Structs should be encoded as JSON objects, but found {found}")));
            }
            Kind::Object(_) => {
                return Err(Error::record(format!(
                    "Maps with string fields should be encoded as JSON objects, but found {found}"
                )));
            }
            Kind::Pairs(_) => {
                return Err(Error::record(format!(
                    "Maps with non-string fields should be encoded as JSON array of tuples, but found {found}"
                )));
            }
            Kind::Decimal(_) => return Err(underlying("Decimal", "numeric or bytes", found)),
            Kind::Date => return Err(underlying("Date", "integer", found)),
            Kind::Time => return Err(underlying("Time", "integer", found)),
            Kind::Timestamp => return Err(underlying("Timestamp", "integral", found)),
            Kind::F32 | Kind::F64 if self.options.strict => return special_float(node, token),
            Kind::Bool => "boolean",
            Kind::Text => "text",
            Kind::Bytes => "text in base64",
            Kind::Array(_) => "array",
            _ => "numeric",
        };
        if self.options.strict {
            self.trail.hint = Some(STRICT);
            return Err(underlying(node.schema.ty.name(), needed, found));
        }
        self.corrupted(node, token)
    }

    /// What Connect makes of a value of another JSON type.
    fn corrupted(&mut self, node: &Node, token: &Token<'_>) -> Result<Value> {
        if let (Kind::Array(items), Token::Object) = (&node.kind, token) {
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
            Kind::Bool => Value::Bool(false),
            Kind::I8 => Value::I8(0),
            Kind::I16 => Value::I16(0),
            Kind::I32 => Value::I32(0),
            Kind::I64 => Value::I64(0),
            Kind::F32 => Value::F32(0.0),
            Kind::F64 => Value::F64(0.0),
            Kind::Array(_) => Value::Array(Box::default()),
            _ => Value::Null,
        })
    }
}

fn underlying(what: &str, needed: &str, found: &str) -> Error {
    Error::record(format!("Invalid type for {what}, underlying representation should be {needed} but was {found}"))
}

/// The texts that the writing side has for what JSON numbers cannot be.
fn special_float(node: &Node, token: &Token<'_>) -> Result<Value> {
    let value = match token {
        Token::Text(text) if text == "NaN" => f64::NAN,
        Token::Text(text) if text == "Infinity" => f64::INFINITY,
        Token::Text(text) if text == "-Infinity" => f64::NEG_INFINITY,
        _ => return Err(underlying(node.schema.ty.name(), "numeric", token.type_name())),
    };
    #[allow(clippy::cast_possible_truncation, reason = "NaN and the infinities stay what they are")]
    Ok(if matches!(node.kind, Kind::F32) { Value::F32(value as f32) } else { Value::F64(value) })
}

/// The lowest bits, as Java narrows integers.
trait Narrow {
    fn narrow(wide: i64) -> Self;
}

macro_rules! narrow {
    ($($ty:ty),*) => {$(
        impl Narrow for $ty {
            #[allow(clippy::cast_possible_truncation, reason = "cutting off is what it is for")]
            fn narrow(wide: i64) -> Self {
                wide as Self
            }
        }
    )*};
}
narrow!(i8, i16, i32);

/// Base64 as Jackson reads it: white space between groups of four and further groups after padding are fine.
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

/// Reads the default of a schema; `None` where the text is null. Errors: as any value.
pub(super) fn read_default(
    text: &str,
    schema: &Arc<connector_api::Schema>,
    options: &Options,
) -> Result<Option<Value>> {
    let value = Decoder::new(text, options).value(&Node::compile(schema))?;
    let invalid = matches!(value, Value::Struct(_)) || value.is_null() && !schema.optional;
    if invalid {
        return Err(Error::record("Invalid default value"));
    }
    Ok(Some(value).filter(|value| !value.is_null()))
}
