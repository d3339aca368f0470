//! How much room a value needs in its column, and whether the column has it (`auto.evolve=widen`).
//! Pure.

use std::borrow::Cow;

use connector_api::{Decimal, Value};

use crate::dialect::writing::ColumnCapacity;

/// Returns the room that a value needs, in the units of the capacity, if the column has less.
pub(super) fn excess(value: &Value, room: ColumnCapacity) -> Option<u64> {
    match room {
        ColumnCapacity::Characters(most) => {
            let Value::Text(text) = value else {
                return bytes(value).filter(|length| *length > most);
            };
            // characters are counted only if there may be too many
            let length = || text.chars().count() as u64;
            (text.len() as u64 > most)
                .then(length)
                .filter(|length| *length > most)
        }
        ColumnCapacity::Bytes(most) => bytes(value).filter(|length| *length > most),
        ColumnCapacity::Digits { whole, scale } => {
            let number = number(value)?;
            if surely_has(whole, &number) {
                return None;
            }
            let digits = whole_digits(&number, scale);
            (digits > whole).then_some(digits)
        }
        ColumnCapacity::Bits { bits, unsigned } => {
            let number = match value.as_i64() {
                Some(number) => i128::from(number),
                None => number(value)?.rescaled(0)?.unscaled_i128()?,
            };
            let needed = signed_bits(number);
            let fits = match unsigned {
                true => number >= 0 && needed <= bits + 1,
                false => needed <= bits,
            };
            // one more than the bits of the values that are there already, if those have no sign
            (!fits).then(|| u64::from(needed.max(bits + u32::from(unsigned))))
        }
    }
}

fn bytes(value: &Value) -> Option<u64> {
    match value {
        Value::Text(text) => Some(text.len() as u64),
        Value::Bytes(bytes) => Some(bytes.len() as u64),
        _ => None,
    }
}

/// Returns the number that a value is.
fn number(value: &Value) -> Option<Cow<'_, Decimal>> {
    let parsed = |text: &str| Decimal::parse(text).filter(Decimal::has_usual_scale);
    Some(match value {
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => {
            Cow::Owned(Decimal::new(value.as_i64()?.into(), 0))
        }
        Value::Decimal(number) if number.has_usual_scale() => Cow::Borrowed(&**number),
        Value::F32(n) => Cow::Owned(parsed(&n.to_string())?),
        Value::F64(n) => Cow::Owned(parsed(&n.to_string())?),
        Value::Text(text) => Cow::Owned(parsed(text.trim())?),
        _ => return None,
    })
}

/// True if a short number has fewer digits before its point: the usual case, without a text.
fn surely_has(whole: u64, number: &Decimal) -> bool {
    let digits = number
        .unscaled_i128()
        .map(|n| i64::from(n.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1)));
    let before = digits.map(|digits| digits - i64::from(number.scale()));
    before.is_some_and(|before| u64::try_from(before.max(0)).is_ok_and(|n| n < whole))
}

/// Counts the digits before the decimal point of a number rounded to `scale` digits after it.
fn whole_digits(number: &Decimal, scale: i32) -> u64 {
    let digits = number.unscaled().magnitude().to_string();
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    if digits == "0" {
        return 0;
    }
    let whole = length.saturating_sub(number.scale().into());
    // 99.96 becomes 100.0
    let kept = usize::try_from(whole.saturating_add(scale.into())).unwrap_or(0);
    let rounds_up = digits.as_bytes().get(kept).is_some_and(|d| *d >= b'5')
        && digits.bytes().take(kept).all(|d| d == b'9')
        && whole.saturating_add(scale.into()) >= 0;
    u64::try_from(whole + i64::from(rounds_up)).unwrap_or(0)
}

/// Returns the bits of the shortest signed integer that holds a number.
fn signed_bits(number: i128) -> u32 {
    let magnitude = if number < 0 { !number } else { number };
    i128::BITS - magnitude.leading_zeros() + 1
}

#[cfg(test)]
mod tests {
    use connector_api::{Decimal, Value};

    use super::excess;
    use crate::dialect::writing::ColumnCapacity;

    #[test]
    fn a_number_needs_its_digits_before_the_point_after_rounding() {
        let two = ColumnCapacity::Digits { whole: 2, scale: 1 };
        let decimal = |text: &str| Value::Decimal(Box::new(Decimal::parse(text).unwrap()));
        for (value, want) in [
            (decimal("99.9"), None),
            (decimal("0.0000001"), None),
            (decimal("-99.94"), None),
            (decimal("99.95"), Some(3)),
            (decimal("-100"), Some(3)),
            (decimal("1e5"), Some(6)),
            (decimal("0e9"), None),
            (Value::I64(i64::MIN), Some(19)),
            (Value::F64(1e20), Some(21)),
            (Value::F64(f64::NAN), None),
            (Value::Text(" 123.5 ".into()), Some(3)),
            (Value::Text("many".into()), None),
            (Value::Null, None),
        ] {
            assert_eq!(excess(&value, two), want, "{value:?}");
        }
    }

    #[test]
    fn a_whole_number_needs_a_type_of_its_bits() {
        let signed = |bits| ColumnCapacity::Bits {
            bits,
            unsigned: false,
        };
        let unsigned = |bits| ColumnCapacity::Bits {
            bits,
            unsigned: true,
        };
        for (value, room, want) in [
            (127, signed(8), None),
            (-128, signed(8), None),
            (128, signed(8), Some(9)),
            (-129, signed(8), Some(9)),
            (255, unsigned(8), None),
            (256, unsigned(8), Some(10)),
            (-1, unsigned(8), Some(9)),
            (i64::MIN, unsigned(32), Some(64)),
        ] {
            assert_eq!(excess(&Value::I64(value), room), want, "{value} {room:?}");
        }
        let fraction = Value::Decimal(Box::new(Decimal::parse("1000.5").unwrap()));
        assert_eq!(excess(&fraction, signed(8)), None);
    }
}
