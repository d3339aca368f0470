//! A value of a record, in its physical form on the wire.

use crate::Decimal;

/// A physical value. Its logical meaning (a date, an amount) is in its [`Schema`](crate::Schema).
///
/// Date is `I32` days, Time is `I32` milliseconds of the day and Timestamp is `I64` milliseconds,
/// all since 1970-01-01 UTC, as Connect's logical types have them on the wire. Struct members are
/// positional: in the order of the schema's fields.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// The absence of a value.
    #[default]
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// INT8.
    I8(i8),
    /// INT16.
    I16(i16),
    /// INT32, and logical Date and Time.
    I32(i32),
    /// INT64, and logical Timestamp.
    I64(i64),
    /// FLOAT32.
    F32(f32),
    /// FLOAT64.
    F64(f64),
    /// Logical Decimal (BYTES on the wire).
    Decimal(Box<Decimal>),
    /// STRING.
    Text(Box<str>),
    /// BYTES.
    Bytes(Box<[u8]>),
    /// ARRAY.
    Array(Box<[Value]>),
    /// MAP; entries in the order received. The keys of a schemaless object are `Text`.
    Map(Box<[(Value, Value)]>),
    /// STRUCT: one value per field of the schema, in the schema's order.
    Struct(Box<[Value]>),
}

impl Value {
    /// True for [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the text of a [`Value::Text`].
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns an integer of any width as 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::I8(n) => Some(i64::from(*n)),
            Self::I16(n) => Some(i64::from(*n)),
            Self::I32(n) => Some(i64::from(*n)),
            Self::I64(n) => Some(*n),
            _ => None,
        }
    }

    /// Returns the approximate number of bytes that it occupies, for memory budgets.
    pub fn weight(&self) -> usize {
        const OWN: usize = size_of::<Value>();
        match self {
            Self::Text(text) => OWN + text.len(),
            Self::Bytes(bytes) => OWN + bytes.len(),
            Self::Decimal(_) => OWN + size_of::<Decimal>(),
            Self::Array(items) | Self::Struct(items) => {
                OWN + items.iter().map(Self::weight).sum::<usize>()
            }
            Self::Map(entries) => {
                OWN + entries
                    .iter()
                    .map(|(k, v)| k.weight() + v.weight())
                    .sum::<usize>()
            }
            _ => OWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn a_value_stays_small() {
        assert_eq!(size_of::<Value>(), 24);
    }
}
