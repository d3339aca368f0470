//! Decodes Avro's binary form. Nothing in a payload is trusted: lengths and counts are checked
//! against the bytes present, and the number of values per record is limited.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes, and values follow the plan's members"
)]

use connector_api::{Error, SchemaType, Value};

use super::plan::{AvroMember, AvroNode, AvroNodeKind};
use crate::convert::entries::last_of_each;
use crate::convert::limits::{ValueBudget, decimal};
use crate::convert::trail::LocatedError;

type Result<T, E = LocatedError> = std::result::Result<T, E>;

/// Maximum number of items without bytes of their own (empty records) in a record.
const MAX_EMPTY: usize = 10_000;
pub(super) struct AvroPayload<'a> {
    bytes: &'a [u8],
    budget: ValueBudget,
    empty_left: usize,
}

fn ends() -> Error {
    Error::record("the bytes end in the middle of a value")
}

impl<'a> AvroPayload<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            budget: ValueBudget::new(),
            empty_left: MAX_EMPTY,
        }
    }

    /// Checks that the payload was read to its end.
    /// Errors: `Record` if bytes are left over.
    fn end(&self) -> Result<(), Error> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(Error::record(format!(
                "{left} bytes are left over: the record was written with another schema"
            ))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(ends)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64> {
        let mut n = 0u64;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed());
            }
        }
        Err(if self.bytes.len() < 10 {
            ends()
        } else {
            Error::record("a number is longer than 64 bits")
        }
        .into())
    }

    fn data(&mut self) -> Result<&'a [u8]> {
        let length =
            usize::try_from(self.long()?).map_err(|_| Error::record("a length is below zero"))?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str> {
        Ok(std::str::from_utf8(self.data()?).map_err(|_| Error::record("a text is not UTF-8"))?)
    }

    /// Reads the whole payload.
    /// Errors: with the field that caused them; also `Record` if bytes are left over.
    pub(super) fn payload(mut self, node: &AvroNode) -> Result<Value, Error> {
        let value = self.value(node).map_err(LocatedError::located)?;
        self.end()?;
        Ok(value)
    }

    fn value(&mut self, node: &AvroNode) -> Result<Value> {
        self.budget.take(1)?;
        if node.branch.is_some()
            || node.null.is_some()
            || matches!(node.kind, AvroNodeKind::Choice(_))
        {
            let branch = self.long()?;
            if node.null == Some(branch) {
                return Ok(Value::Null);
            }
            if let AvroNodeKind::Choice(branches) = &node.kind {
                return self.choice(branch, branches);
            }
            if node.branch != Some(branch) {
                return Err(Error::record("a branch that the union does not have").into());
            }
        }
        self.of_kind(&node.kind)
    }

    /// Reads a value that is not null, after the number of its branch.
    fn of_kind(&mut self, kind: &AvroNodeKind) -> Result<Value> {
        Ok(match kind {
            AvroNodeKind::Bool => match self.take(1)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err(Error::record("a boolean that is neither 0 nor 1").into()),
            },
            AvroNodeKind::Integer(ty) => {
                let n = self.long()?;
                integer(n, *ty).ok_or_else(|| {
                    Error::record(format!("a number that does not fit {}", ty.name()))
                })?
            }
            AvroNodeKind::F32 => Value::F32(f32::from_le_bytes(
                self.take(4)?.try_into().map_err(|_| ends())?,
            )),
            AvroNodeKind::F64 => Value::F64(f64::from_le_bytes(
                self.take(8)?.try_into().map_err(|_| ends())?,
            )),
            AvroNodeKind::Text => Value::Text(self.text()?.into()),
            AvroNodeKind::Bytes => Value::Bytes(self.data()?.into()),
            AvroNodeKind::Fixed(size) => Value::Bytes(self.take(*size)?.into()),
            AvroNodeKind::Decimal(scale, size) => {
                let bytes = match size {
                    Some(size) => self.take(*size)?,
                    None => self.data()?,
                };
                decimal(bytes, *scale)?
            }
            AvroNodeKind::Enum(symbols, _) => self.symbol(symbols)?,
            AvroNodeKind::Array(items) => {
                Value::Array(self.list(|reader| reader.within("[]", items))?.into())
            }
            AvroNodeKind::Map(values) => {
                let entries = self.list(|reader| {
                    Ok((
                        Value::Text(reader.text()?.into()),
                        reader.within("{}", values)?,
                    ))
                })?;
                Value::Map(last_of_each(entries).into())
            }
            AvroNodeKind::Entries(pair) => {
                let entries = self.list(|reader| {
                    Ok((reader.within("{}", &pair.0)?, reader.within("{}", &pair.1)?))
                })?;
                Value::Map(last_of_each(entries).into())
            }
            AvroNodeKind::Struct(members) => self.structure(members)?,
            AvroNodeKind::Choice(_) => {
                return Err(Error::fatal("a union is read by its branch").into());
            }
        })
    }

    fn symbol(&mut self, symbols: &[Box<str>]) -> Result<Value> {
        let at = usize::try_from(self.long()?).ok();
        let symbol = at
            .and_then(|at| symbols.get(at))
            .ok_or_else(|| Error::record("a symbol that the enum does not have"))?;
        self.budget.take_text(symbol)?;
        Ok(Value::Text(symbol.clone()))
    }

    fn structure(&mut self, members: &[AvroMember]) -> Result<Value> {
        let mut values = Vec::with_capacity(members.len());
        for member in members {
            let AvroMember::Of(_, name, node) = member else {
                continue;
            };
            values.push(self.within(name, node)?);
        }
        Ok(Value::Struct(values.into()))
    }

    /// Reads a value that is part of another.
    fn within(&mut self, name: &str, node: &AvroNode) -> Result<Value> {
        self.value(node)
            .map_err(|met| met.within(name, node.declared()))
    }

    fn choice(&mut self, branch: i64, branches: &[(i64, AvroNode)]) -> Result<Value> {
        let at = branches.iter().position(|(at, _)| *at == branch);
        let at = at.ok_or_else(|| Error::record("a branch that the union does not have"))?;
        self.budget.take(branches.len())?;
        let mut values: Vec<_> = branches.iter().map(|_| Value::Null).collect();
        values[at] = self.value(&branches[at].1)?;
        Ok(Value::Struct(values.into()))
    }

    /// Reads blocks of items, up to an empty one. A negative count is followed by the block's
    /// length.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let count = match self.long()? {
                0 => return Ok(items),
                count if count < 0 => {
                    self.long()?;
                    count.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let before = self.bytes.len();
                items.push(item(self)?);
                if self.bytes.len() == before {
                    let too_many = || {
                        Error::record(format!(
                            "the record claims more than {MAX_EMPTY} empty items (MAX_EMPTY)"
                        ))
                    };
                    self.empty_left = self.empty_left.checked_sub(1).ok_or_else(too_many)?;
                }
            }
        }
    }
}

fn integer(n: i64, ty: SchemaType) -> Option<Value> {
    Some(match ty {
        SchemaType::Int8 => Value::I8(n.try_into().ok()?),
        SchemaType::Int16 => Value::I16(n.try_into().ok()?),
        SchemaType::Int32 => Value::I32(n.try_into().ok()?),
        _ => Value::I64(n),
    })
}
