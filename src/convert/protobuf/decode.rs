//! Protobuf's wire format to values. Nothing that stands in it is trusted; fields that the schema does not know are left
//! out, as Protobuf has it.

use std::cell::RefCell;

use connector_api::{Error, Type, Value};

use super::plan::{Field, Kind, Message, Number, Shape, zero};
use crate::convert::calendar;
use crate::convert::entries::last_of_each;
use crate::convert::limits::{Budget, decimal};
use crate::convert::same_scale;
use crate::convert::trail::{Met, STRICT};

type Result<T, E = Met> = std::result::Result<T, E>;

/// Groups within each other, in fields that are left out.
const MAX_GROUPS: usize = 100;

/// Reads from one payload, or a part of it.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    strict: bool,
    /// One for all readers of a record.
    budget: &'a RefCell<Budget>,
}

/// A value as it is on the wire.
enum Raw<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Delimited(&'a [u8]),
    Fixed32([u8; 4]),
}

/// A member of a struct while its message is read.
enum Slot {
    One(Value),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

fn ends() -> Error {
    Error::record("the bytes end in the middle of a value")
}

#[cold]
fn wrong_wire(found: &Raw<'_>) -> Met {
    let found = match found {
        Raw::Varint(_) => "VARINT",
        Raw::Fixed64(_) => "I64",
        Raw::Delimited(_) => "LEN",
        Raw::Fixed32(_) => "I32",
    };
    Error::record(format!("a value of another wire type than the schema's: found {found}")).into()
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], strict: bool, budget: &'a RefCell<Budget>) -> Self {
        Self { bytes, strict, budget }
    }

    /// Of a part of it.
    fn within(&self, bytes: &'a [u8]) -> Self {
        Self { bytes, ..*self }
    }

    fn count(&self, values: usize) -> Result<()> {
        Ok(self.budget.borrow_mut().take(values)?)
    }

    /// The path of a message in its file: a count and so many places; a count of 0 is the first message.
    pub(super) fn message_indexes(&mut self) -> Result<Vec<i32>, Error> {
        let zigzag = |n: u64| i32::try_from((n >> 1).cast_signed() ^ -(n & 1).cast_signed()).ok();
        let bad = || Error::record("the place of the message in its schema cannot be read");
        let count = zigzag(self.varint().map_err(Met::located)?)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(bad)?;
        if count > self.bytes.len() {
            return Err(bad());
        }
        if count == 0 {
            return Ok(vec![0]);
        }
        (0..count).map(|_| zigzag(self.varint().map_err(Met::located)?).ok_or_else(bad)).collect()
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
        Err(if self.bytes.len() < 10 { ends() } else { Error::record("a number is longer than 64 bits") }.into())
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

    /// The number of the next field and its value; nothing at the end. Groups are passed over.
    fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>> {
        let mut groups = 0usize;
        loop {
            if self.bytes.is_empty() {
                return if groups == 0 { Ok(None) } else { Err(ends().into()) };
            }
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0);
            let number = number.ok_or_else(|| Error::record("a field's number is out of range"))?;
            let raw = match tag & 7 {
                0 => Raw::Varint(self.varint()?),
                1 => Raw::Fixed64(self.fixed()?),
                2 => Raw::Delimited(self.delimited()?),
                5 => Raw::Fixed32(self.fixed()?),
                3 if groups < MAX_GROUPS => {
                    groups += 1;
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                _ => return Err(Error::record("a wire type that there is not").into()),
            };
            if groups == 0 {
                return Ok(Some((number, raw)));
            }
        }
    }

    /// Reads the whole payload. Errors: with the field that they are about.
    pub(super) fn payload(mut self, message: &Message) -> Result<Value, Error> {
        self.message(message).map_err(Met::located)
    }

    /// Reads a message.
    fn message(&mut self, message: &Message) -> Result<Value> {
        // a few bytes are a message of many members
        self.count(message.size)?;
        let mut slots: Vec<Slot> = message.missing.iter().map(|value| Slot::One(value.clone())).collect();
        for (at, branches) in &message.unions {
            slots[*at] = Slot::One(Value::Struct(vec![Value::Null; *branches].into()));
        }
        for field in &message.fields {
            match field.shape {
                Shape::One => {}
                Shape::List(_) => slots[field.at] = Slot::List(Vec::new()),
                Shape::Map(_) => slots[field.at] = Slot::Map(Vec::new()),
            }
        }
        // Fields mostly come in the order of their numbers.
        let (fields, mut expected) = (&message.fields, 0);
        while let Some((number, raw)) = self.next()? {
            if fields.get(expected).is_none_or(|field| field.number != number) {
                match fields.binary_search_by_key(&number, |field| field.number) {
                    Ok(found) => expected = found,
                    Err(_) => continue,
                }
            }
            let field = &fields[expected];
            self.take(field, raw, &mut slots[field.at]).map_err(|met| met.within(&field.name, field.declared()))?;
            if matches!(field.shape, Shape::One) {
                expected += 1;
            }
        }
        let value = |slot| match slot {
            Slot::One(value) => value,
            Slot::List(items) => Value::Array(items.into()),
            Slot::Map(entries) => Value::Map(last_of_each(entries).into()),
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

    fn take(&self, field: &Field, raw: Raw<'a>, slot: &mut Slot) -> Result<()> {
        if !matches!(slot, Slot::One(_)) {
            self.count(1)?;
        }
        match (slot, &field.shape, raw) {
            (Slot::Map(entries), Shape::Map(keys), Raw::Delimited(bytes)) => {
                let (key, value) = self.entry(keys, &field.kind, bytes)?;
                entries.push((key, value));
            }
            (Slot::List(items), Shape::List(_), Raw::Delimited(bytes)) if is_number(&field.kind) => {
                let mut packed = self.within(bytes);
                while !packed.bytes.is_empty() {
                    let item = packed.number(&field.kind).and_then(|raw| self.single(&field.kind, raw));
                    items.push(item.map_err(|met| met.within("[]", field.kind.declared()))?);
                }
            }
            (Slot::List(items), _, raw) => items.push(self.part("[]", &field.kind, raw)?),
            (Slot::One(Value::Struct(branches)), _, raw) if field.branch.is_some() => {
                branches.fill(Value::Null);
                let value = self.single(&field.kind, raw)?;
                if let Some(branch) = field.branch.and_then(|at| branches.get_mut(at)) {
                    *branch = value;
                }
            }
            (Slot::One(value), _, raw) => *value = self.single(&field.kind, raw)?,
            (_, _, raw) => return Err(wrong_wire(&raw)),
        }
        Ok(())
    }

    /// Reads an item, or the key or value of an entry.
    fn part(&self, name: &str, kind: &Kind, raw: Raw<'a>) -> Result<Value> {
        self.single(kind, raw).map_err(|met| met.within(name, kind.declared()))
    }

    fn entry(&self, keys: &Kind, values: &Kind, bytes: &'a [u8]) -> Result<(Value, Value)> {
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
            (None, Kind::Message(message)) => Ok((key, self.within(&[]).message(message)?)),
            (None, kind) => Ok((key, zero(kind))),
        }
    }

    /// One number of a packed list.
    fn number(&mut self, kind: &Kind) -> Result<Raw<'a>> {
        Ok(match kind {
            Kind::Float | Kind::Number(Number::Fixed32 { .. }, _) => Raw::Fixed32(self.fixed()?),
            Kind::Double | Kind::Number(Number::Fixed64 { .. }, _) => Raw::Fixed64(self.fixed()?),
            _ => Raw::Varint(self.varint()?),
        })
    }

    fn single(&self, kind: &Kind, raw: Raw<'a>) -> Result<Value> {
        Ok(match (kind, raw) {
            (Kind::Number(number, ty), raw) => self.integer(*number, *ty, &raw)?,
            (Kind::Float, Raw::Fixed32(bytes)) => Value::F32(f32::from_le_bytes(bytes)),
            (Kind::Double, Raw::Fixed64(bytes)) => Value::F64(f64::from_le_bytes(bytes)),
            (Kind::Bool, Raw::Varint(n)) => Value::Bool(n != 0),
            (Kind::Text, Raw::Delimited(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Error::record("a text is not UTF-8"))?;
                Value::Text(text.into())
            }
            (Kind::Bytes, Raw::Delimited(bytes)) => Value::Bytes(bytes.into()),
            (Kind::Enum(symbols), Raw::Varint(n)) => {
                let symbol = symbols.iter().find(|(_, number)| i64::from(*number) == n.cast_signed());
                let (name, _) = symbol.ok_or_else(|| Error::record("a number that is no symbol of the enum"))?;
                self.budget.borrow_mut().take_text(name)?;
                Value::Text(name.clone())
            }
            (Kind::Decimal(scale), Raw::Delimited(bytes)) => self.decimal(*scale, bytes)?,
            (Kind::Date, Raw::Delimited(bytes)) => {
                let [year, month, day, _] = self.numbers(bytes)?;
                let fits =
                    (-10_000_000..10_000_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
                let day = Some(calendar::gregorian_day(year, month, day)).filter(|_| fits);
                let day = day.and_then(|day| i32::try_from(day).ok());
                Value::I32(day.ok_or_else(|| Error::record("a date that there is not, or that is not whole"))?)
            }
            (Kind::Time, Raw::Delimited(bytes)) => {
                let [hours, minutes, seconds, nanos] = self.numbers(bytes)?;
                let parts = [(hours, 24), (minutes, 59), (seconds, 60), (nanos, 999_999_999)];
                if parts.iter().any(|(n, most)| !(0..=*most).contains(n)) {
                    return Err(Error::record("a time of day that there is not").into());
                }
                let millis = hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + nanos / 1_000_000;
                Value::I32(i32::try_from(millis).unwrap_or_default())
            }
            (Kind::Timestamp, Raw::Delimited(bytes)) => {
                let [seconds, nanos, ..] = self.numbers(bytes)?;
                let millis =
                    seconds.checked_mul(1000).and_then(|millis| millis.checked_add(nanos.div_euclid(1_000_000)));
                Value::I64(millis.ok_or_else(|| Error::record("a timestamp that does not fit 64 bits"))?)
            }
            (Kind::Wrapper(kind), Raw::Delimited(bytes)) => {
                let mut wrapper = self.within(bytes);
                let mut value = zero(kind);
                while let Some((number, raw)) = wrapper.next()? {
                    if number == 1 {
                        value = self.single(kind, raw)?;
                    }
                }
                value
            }
            (Kind::Message(message), Raw::Delimited(bytes)) => self.within(bytes).message(message)?,
            (_, raw) => return Err(wrong_wire(&raw)),
        })
    }

    fn integer(&self, number: Number, ty: Type, raw: &Raw<'_>) -> Result<Value> {
        let unsigned = |n: u64| match i64::try_from(n) {
            Err(_) if self.strict => Err(Met::from(Error::record("a number that does not fit INT64")).hint(STRICT)),
            _ => Ok(n.cast_signed()),
        };
        let n = match (number, raw) {
            // 32-bit numbers come in 64 bits, their sign extended.
            (Number::Plain, Raw::Varint(n)) => n.cast_signed(),
            (Number::Unsigned, Raw::Varint(n)) => unsigned(*n)?,
            (Number::ZigZag, Raw::Varint(n)) => (n >> 1).cast_signed() ^ -(n & 1).cast_signed(),
            (Number::Fixed32 { signed: true }, Raw::Fixed32(bytes)) => i64::from(i32::from_le_bytes(*bytes)),
            (Number::Fixed32 { signed: false }, Raw::Fixed32(bytes)) => i64::from(u32::from_le_bytes(*bytes)),
            (Number::Fixed64 { signed: true }, Raw::Fixed64(bytes)) => i64::from_le_bytes(*bytes),
            (Number::Fixed64 { signed: false }, Raw::Fixed64(bytes)) => unsigned(u64::from_le_bytes(*bytes))?,
            (_, raw) => return Err(wrong_wire(raw)),
        };
        let too_large = || Error::record(format!("a number that does not fit {}", ty.name()));
        Ok(match ty {
            Type::Int8 => Value::I8(i8::try_from(n).map_err(|_| too_large())?),
            Type::Int16 => Value::I16(i16::try_from(n).map_err(|_| too_large())?),
            Type::Int32 => Value::I32(i32::try_from(n).map_err(|_| too_large())?),
            _ => Value::I64(n),
        })
    }

    fn decimal(&self, scale: i32, bytes: &'a [u8]) -> Result<Value> {
        let mut message = self.within(bytes);
        let (mut digits, mut own) = (&[][..], 0);
        while let Some((number, raw)) = message.next()? {
            match (number, raw) {
                (1, Raw::Delimited(bytes)) => digits = bytes,
                (3, Raw::Varint(n)) => own = n.cast_signed(),
                _ => {}
            }
        }
        same_scale(scale, own)?;
        Ok(decimal(if digits.is_empty() { &[0] } else { digits }, scale)?)
    }

    /// The first four fields of a message of whole numbers.
    fn numbers(&self, bytes: &'a [u8]) -> Result<[i64; 4]> {
        let mut message = self.within(bytes);
        let mut numbers = [0; 4];
        while let Some((number, raw)) = message.next()? {
            if let (Some(n), Raw::Varint(raw)) = (numbers.get_mut(number as usize - 1), raw) {
                *n = raw.cast_signed();
            }
        }
        Ok(numbers)
    }
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Number(..) | Kind::Float | Kind::Double | Kind::Bool | Kind::Enum(_))
}
