//! Decodes Protobuf's wire format. Nothing in a payload is trusted. Fields that the schema does not
//! know are skipped, as Protobuf requires.

#![expect(
    clippy::indexing_slicing,
    reason = "there is one slot for each field of the plan"
)]

use std::cell::RefCell;

use connector_api::{Error, SchemaType, Value};

use super::plan::{
    FieldShape, IntegerEncoding, ProtobufField, ProtobufKind, ProtobufMessage, zero,
};
use crate::convert::calendar;
use crate::convert::entries::last_of_each;
use crate::convert::limits::{ValueBudget, decimal};
use crate::convert::same_scale;
use crate::convert::trail::{LocatedError, STRICT};

type Result<T, E = LocatedError> = std::result::Result<T, E>;

/// Maximum nesting of groups in skipped fields.
const MAX_GROUPS: usize = 100;

/// Reads one payload, or a part of it.
pub(super) struct ProtobufPayload<'a> {
    bytes: &'a [u8],
    strict: bool,
    /// Shared by all readers of a record.
    budget: &'a RefCell<ValueBudget>,
}

/// A value as on the wire.
enum WireValue<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Delimited(&'a [u8]),
    Fixed32([u8; 4]),
}

/// A member of a struct while its message is being read.
enum FieldSlot {
    One(Value),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

fn ends() -> Error {
    Error::record("the bytes end in the middle of a value")
}

#[cold]
fn wrong_wire(found: &WireValue<'_>) -> LocatedError {
    let found = match found {
        WireValue::Varint(_) => "VARINT",
        WireValue::Fixed64(_) => "I64",
        WireValue::Delimited(_) => "LEN",
        WireValue::Fixed32(_) => "I32",
    };
    Error::record(format!(
        "the wire type is not that of the schema: found {found}"
    ))
    .into()
}

/// The day of `google.type.Date`: year, month and day.
fn date([year, month, day, _]: [i64; 4]) -> Result<Value> {
    let fits = (-10_000_000..10_000_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day);
    let day = Some(calendar::gregorian_day(year, month, day)).filter(|_| fits);
    let day = day.and_then(|day| i32::try_from(day).ok());
    let none = || Error::record("a date that does not exist or is incomplete");
    Ok(Value::I32(day.ok_or_else(none)?))
}

/// The milliseconds of `google.type.TimeOfDay`: hours, minutes, seconds and nanoseconds.
fn time([hours, minutes, seconds, nanos]: [i64; 4]) -> Result<Value> {
    let parts = [
        (hours, 24),
        (minutes, 59),
        (seconds, 60),
        (nanos, 999_999_999),
    ];
    if parts.iter().any(|(n, most)| !(0..=*most).contains(n)) {
        return Err(Error::record("a time of day that does not exist").into());
    }
    let millis = hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + nanos / 1_000_000;
    Ok(Value::I32(i32::try_from(millis).unwrap_or_default()))
}

impl<'a> ProtobufPayload<'a> {
    pub(super) fn new(bytes: &'a [u8], strict: bool, budget: &'a RefCell<ValueBudget>) -> Self {
        Self {
            bytes,
            strict,
            budget,
        }
    }

    /// Returns a reader for a part of the payload.
    fn within(&self, bytes: &'a [u8]) -> Self {
        Self { bytes, ..*self }
    }

    fn count(&self, values: usize) -> Result<()> {
        Ok(self.budget.borrow_mut().take(values)?)
    }

    /// Reads the path of a message in its file: a count, and as many indexes. A count of 0 means
    /// the first message.
    pub(super) fn message_indexes(&mut self) -> Result<Vec<i32>, Error> {
        let zigzag = |n: u64| i32::try_from((n >> 1).cast_signed() ^ -(n & 1).cast_signed()).ok();
        let bad = || Error::record("the index of the message in its schema cannot be read");
        let count = zigzag(self.varint().map_err(LocatedError::located)?)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(bad)?;
        if count > self.bytes.len() {
            return Err(bad());
        }
        if count == 0 {
            return Ok(vec![0]);
        }
        (0..count)
            .map(|_| zigzag(self.varint().map_err(LocatedError::located)?).ok_or_else(bad))
            .collect()
    }

    fn varint(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok(n);
            }
        }
        Err(if self.bytes.len() < 10 {
            ends()
        } else {
            Error::record("a number is longer than 64 bits")
        }
        .into())
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(ends)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn delimited(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(ends)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Returns the number and value of the next field; `None` at the end. Groups are skipped.
    fn next(&mut self) -> Result<Option<(u32, WireValue<'a>)>> {
        let mut groups = 0usize;
        loop {
            if self.bytes.is_empty() {
                return if groups == 0 {
                    Ok(None)
                } else {
                    Err(ends().into())
                };
            }
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0);
            let number = number.ok_or_else(|| Error::record("a field's number is out of range"))?;
            let raw = match tag & 7 {
                0 => WireValue::Varint(self.varint()?),
                1 => WireValue::Fixed64(self.fixed()?),
                2 => WireValue::Delimited(self.delimited()?),
                5 => WireValue::Fixed32(self.fixed()?),
                3 if groups < MAX_GROUPS => {
                    groups += 1;
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                _ => return Err(Error::record("an unknown wire type").into()),
            };
            if groups == 0 {
                return Ok(Some((number, raw)));
            }
        }
    }

    /// Reads the whole payload.
    /// Errors: with the field that caused them.
    pub(super) fn payload(mut self, message: &ProtobufMessage) -> Result<Value, Error> {
        self.message(message).map_err(LocatedError::located)
    }

    fn message(&mut self, message: &ProtobufMessage) -> Result<Value> {
        // A message of many members may have only a few bytes, so count them before allocating.
        self.count(message.size)?;
        let mut slots: Vec<FieldSlot> = message
            .missing
            .iter()
            .map(|value| FieldSlot::One(value.clone()))
            .collect();
        for (at, branches) in &message.unions {
            slots[*at] = FieldSlot::One(Value::Struct(vec![Value::Null; *branches].into()));
        }
        for field in &message.fields {
            match field.shape {
                FieldShape::One => {}
                FieldShape::List(_) => slots[field.at] = FieldSlot::List(Vec::new()),
                FieldShape::Map(_) => slots[field.at] = FieldSlot::Map(Vec::new()),
            }
        }
        // Fields usually arrive in the order of their numbers.
        let (fields, mut expected) = (&message.fields, 0);
        loop {
            let here = self.within(self.bytes);
            let next = self.next().map_err(|met| here.cut(fields, met))?;
            let Some((number, raw)) = next else { break };
            if fields
                .get(expected)
                .is_none_or(|field| field.number != number)
            {
                match fields.binary_search_by_key(&number, |field| field.number) {
                    Ok(found) => expected = found,
                    Err(_) => continue,
                }
            }
            let field = &fields[expected];
            self.take(field, raw, &mut slots[field.at])
                .map_err(|met| met.within(&field.name, field.declared()))?;
            if matches!(field.shape, FieldShape::One) {
                expected += 1;
            }
        }
        let value = |slot| match slot {
            FieldSlot::One(value) => value,
            FieldSlot::List(items) => Value::Array(items.into()),
            FieldSlot::Map(entries) => Value::Map(last_of_each(entries).into()),
        };
        let mut values: Vec<Value> = slots.into_iter().map(value).collect();
        for (at, _) in &message.unions {
            if let Value::Struct(branches) = &values[*at]
                && branches.iter().all(Value::is_null)
            {
                values[*at] = Value::Null;
            }
        }
        Ok(Value::Struct(values.into()))
    }

    /// Adds the field whose tag comes next to an error about its bytes.
    #[cold]
    fn cut(mut self, fields: &[ProtobufField], met: LocatedError) -> LocatedError {
        let tag = self.varint().ok();
        let number = tag.and_then(|tag| u32::try_from(tag >> 3).ok());
        let field = number
            .and_then(|n| fields.binary_search_by_key(&n, |field| field.number).ok())
            .and_then(|at| fields.get(at));
        match field {
            Some(field) => met.within(&field.name, field.declared()),
            None => met,
        }
    }

    fn take(&self, field: &ProtobufField, raw: WireValue<'a>, slot: &mut FieldSlot) -> Result<()> {
        if !matches!(slot, FieldSlot::One(_)) {
            self.count(1)?;
        }
        match (slot, &field.shape, raw) {
            (FieldSlot::Map(entries), FieldShape::Map(keys), WireValue::Delimited(bytes)) => {
                let (key, value) = self.entry(keys, &field.kind, bytes)?;
                entries.push((key, value));
            }
            (FieldSlot::List(items), FieldShape::List(_), WireValue::Delimited(bytes))
                if is_number(&field.kind) =>
            {
                let mut packed = self.within(bytes);
                while !packed.bytes.is_empty() {
                    let item = packed
                        .number(&field.kind)
                        .and_then(|raw| self.single(&field.kind, raw));
                    items.push(item.map_err(|met| met.within("[]", field.kind.declared()))?);
                }
            }
            (FieldSlot::List(items), _, raw) => items.push(self.part("[]", &field.kind, raw)?),
            (FieldSlot::One(Value::Struct(branches)), _, raw) if field.branch.is_some() => {
                branches.fill(Value::Null);
                let value = self.single(&field.kind, raw)?;
                if let Some(branch) = field.branch.and_then(|at| branches.get_mut(at)) {
                    *branch = value;
                }
            }
            (FieldSlot::One(value), _, raw) => *value = self.single(&field.kind, raw)?,
            (_, _, raw) => return Err(wrong_wire(&raw)),
        }
        Ok(())
    }

    /// Reads an item, or the key or value of an entry.
    fn part(&self, name: &str, kind: &ProtobufKind, raw: WireValue<'a>) -> Result<Value> {
        self.single(kind, raw)
            .map_err(|met| met.within(name, kind.declared()))
    }

    fn entry(
        &self,
        keys: &ProtobufKind,
        values: &ProtobufKind,
        bytes: &'a [u8],
    ) -> Result<(Value, Value)> {
        let mut entry = self.within(bytes);
        let (mut key, mut value) = (zero(keys), None);
        while let Some((number, raw)) = entry.next()? {
            match number {
                1 => key = self.part("{}", keys, raw)?,
                2 => value = Some(self.part("{}", values, raw)?),
                _ => {}
            }
        }
        match (value, values) {
            (Some(value), _) => Ok((key, value)),
            (None, ProtobufKind::Message(message)) => Ok((key, self.within(&[]).message(message)?)),
            (None, kind) => Ok((key, zero(kind))),
        }
    }

    /// Reads one number of a packed list.
    fn number(&mut self, kind: &ProtobufKind) -> Result<WireValue<'a>> {
        Ok(match kind {
            ProtobufKind::Float | ProtobufKind::Number(IntegerEncoding::Fixed32 { .. }, _) => {
                WireValue::Fixed32(self.fixed()?)
            }
            ProtobufKind::Double | ProtobufKind::Number(IntegerEncoding::Fixed64 { .. }, _) => {
                WireValue::Fixed64(self.fixed()?)
            }
            _ => WireValue::Varint(self.varint()?),
        })
    }

    fn single(&self, kind: &ProtobufKind, raw: WireValue<'a>) -> Result<Value> {
        Ok(match (kind, raw) {
            (ProtobufKind::Number(number, ty), raw) => self.integer(*number, *ty, &raw)?,
            (ProtobufKind::Float, WireValue::Fixed32(bytes)) => {
                Value::F32(f32::from_le_bytes(bytes))
            }
            (ProtobufKind::Double, WireValue::Fixed64(bytes)) => {
                Value::F64(f64::from_le_bytes(bytes))
            }
            (ProtobufKind::Bool, WireValue::Varint(n)) => Value::Bool(n != 0),
            (ProtobufKind::Text, WireValue::Delimited(bytes)) => {
                let text =
                    std::str::from_utf8(bytes).map_err(|_| Error::record("a text is not UTF-8"))?;
                Value::Text(text.into())
            }
            (ProtobufKind::Bytes, WireValue::Delimited(bytes)) => Value::Bytes(bytes.into()),
            (ProtobufKind::Enum(symbols), WireValue::Varint(n)) => {
                let symbol = symbols
                    .iter()
                    .find(|(_, number)| i64::from(*number) == n.cast_signed());
                let (name, _) = symbol
                    .ok_or_else(|| Error::record("a number that is no symbol of the enum"))?;
                self.budget.borrow_mut().take_text(name)?;
                Value::Text(name.clone())
            }
            (ProtobufKind::Decimal(scale), WireValue::Delimited(bytes)) => {
                self.decimal(*scale, bytes)?
            }
            (ProtobufKind::Date, WireValue::Delimited(bytes)) => date(self.numbers(bytes)?)?,
            (ProtobufKind::Time, WireValue::Delimited(bytes)) => time(self.numbers(bytes)?)?,
            (ProtobufKind::Timestamp, WireValue::Delimited(bytes)) => {
                let [seconds, nanos, ..] = self.numbers(bytes)?;
                let millis = seconds
                    .checked_mul(1000)
                    .and_then(|millis| millis.checked_add(nanos.div_euclid(1_000_000)));
                Value::I64(
                    millis.ok_or_else(|| Error::record("a timestamp that does not fit 64 bits"))?,
                )
            }
            (ProtobufKind::Wrapper(kind), WireValue::Delimited(bytes)) => {
                let mut wrapper = self.within(bytes);
                let mut value = zero(kind);
                while let Some((number, raw)) = wrapper.next()? {
                    if number == 1 {
                        value = self.single(kind, raw)?;
                    }
                }
                value
            }
            (ProtobufKind::Message(message), WireValue::Delimited(bytes)) => {
                self.within(bytes).message(message)?
            }
            (_, raw) => return Err(wrong_wire(&raw)),
        })
    }

    fn integer(
        &self,
        number: IntegerEncoding,
        ty: SchemaType,
        raw: &WireValue<'_>,
    ) -> Result<Value> {
        let unsigned = |n: u64| match i64::try_from(n) {
            Err(_) if self.strict => Err(LocatedError::from(Error::record(
                "a number that does not fit INT64",
            ))
            .hint(STRICT)),
            _ => Ok(n.cast_signed()),
        };
        let n = match (number, raw) {
            // 32-bit numbers are encoded in 64 bits, sign-extended.
            (IntegerEncoding::Plain, WireValue::Varint(n)) => n.cast_signed(),
            (IntegerEncoding::Unsigned, WireValue::Varint(n)) => unsigned(*n)?,
            (IntegerEncoding::ZigZag, WireValue::Varint(n)) => {
                (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
            }
            (IntegerEncoding::Fixed32 { signed: true }, WireValue::Fixed32(bytes)) => {
                i64::from(i32::from_le_bytes(*bytes))
            }
            (IntegerEncoding::Fixed32 { signed: false }, WireValue::Fixed32(bytes)) => {
                i64::from(u32::from_le_bytes(*bytes))
            }
            (IntegerEncoding::Fixed64 { signed: true }, WireValue::Fixed64(bytes)) => {
                i64::from_le_bytes(*bytes)
            }
            (IntegerEncoding::Fixed64 { signed: false }, WireValue::Fixed64(bytes)) => {
                unsigned(u64::from_le_bytes(*bytes))?
            }
            (_, raw) => return Err(wrong_wire(raw)),
        };
        let too_large = || Error::record(format!("a number that does not fit {}", ty.name()));
        Ok(match ty {
            SchemaType::Int8 => Value::I8(i8::try_from(n).map_err(|_| too_large())?),
            SchemaType::Int16 => Value::I16(i16::try_from(n).map_err(|_| too_large())?),
            SchemaType::Int32 => Value::I32(i32::try_from(n).map_err(|_| too_large())?),
            _ => Value::I64(n),
        })
    }

    fn decimal(&self, scale: i32, bytes: &'a [u8]) -> Result<Value> {
        let mut message = self.within(bytes);
        let (mut digits, mut own) = (&[][..], 0);
        while let Some((number, raw)) = message.next()? {
            match (number, raw) {
                (1, WireValue::Delimited(bytes)) => digits = bytes,
                (3, WireValue::Varint(n)) => own = n.cast_signed(),
                _ => {}
            }
        }
        same_scale(scale, own)?;
        Ok(decimal(
            if digits.is_empty() { &[0] } else { digits },
            scale,
        )?)
    }

    /// Returns the first four fields of a message of integers.
    fn numbers(&self, bytes: &'a [u8]) -> Result<[i64; 4]> {
        let mut message = self.within(bytes);
        let mut numbers = [0; 4];
        while let Some((number, raw)) = message.next()? {
            if let (Some(n), WireValue::Varint(raw)) = (numbers.get_mut(number as usize - 1), raw) {
                *n = raw.cast_signed();
            }
        }
        Ok(numbers)
    }
}

fn is_number(kind: &ProtobufKind) -> bool {
    matches!(
        kind,
        ProtobufKind::Number(..)
            | ProtobufKind::Float
            | ProtobufKind::Double
            | ProtobufKind::Bool
            | ProtobufKind::Enum(_)
    )
}
