//! Decimals of any size: an unscaled integer and a scale, as `java.math.BigDecimal` has them.
//!
//! Values up to 38 digits live in an `i128`; only longer ones allocate.

use std::fmt;

use num_bigint::{BigInt, Sign};

/// `unscaled * 10^-scale`. Two decimals are equal when both parts are (as BigDecimal's `equals`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    unscaled: Unscaled,
    scale: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Unscaled {
    Small(i128),
    /// Only for what does not fit [`Unscaled::Small`], so that equal values have one form.
    Big(BigInt),
}

impl Decimal {
    /// The decimal `unscaled * 10^-scale`.
    pub fn new(unscaled: i128, scale: i32) -> Self {
        Self { unscaled: Unscaled::Small(unscaled), scale }
    }

    /// The same from a big integer.
    pub fn from_bigint(unscaled: BigInt, scale: i32) -> Self {
        let unscaled = i128::try_from(&unscaled).map_or(Unscaled::Big(unscaled), Unscaled::Small);
        Self { unscaled, scale }
    }

    /// From big-endian two's complement bytes, the payload of Connect's Decimal. `None` if there are none.
    pub fn from_be_bytes(bytes: &[u8], scale: i32) -> Option<Self> {
        let first = *bytes.first()?;
        if bytes.len() <= 16 {
            let mut wide = if first & 0x80 == 0 { [0u8; 16] } else { [0xff; 16] };
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            return Some(Self::new(i128::from_be_bytes(wide), scale));
        }
        Some(Self::from_bigint(BigInt::from_signed_bytes_be(bytes), scale))
    }

    /// Parses `-12.50`, `1e3`, `.5`; the scale is the number of digits after the point less the exponent, as
    /// `new BigDecimal(text)` has it. `None` if it is no number.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let exponent = &text[at + 1..];
                (&text[..at], exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?)
            }
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        if whole.len() + fraction.len() <= 38 {
            let n = whole.bytes().chain(fraction.bytes()).fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
            return Some(Self::new(if negative { -n } else { n }, scale));
        }
        let n = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
        Some(Self::from_bigint(if negative { -n } else { n }, scale))
    }

    /// Digits after the decimal point; may be negative.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// The unscaled value where it fits 128 bits.
    pub fn unscaled_i128(&self) -> Option<i128> {
        match &self.unscaled {
            Unscaled::Small(n) => Some(*n),
            Unscaled::Big(_) => None,
        }
    }

    /// The unscaled value.
    pub fn unscaled(&self) -> BigInt {
        match &self.unscaled {
            Unscaled::Small(n) => BigInt::from(*n),
            Unscaled::Big(n) => n.clone(),
        }
    }

    /// The same number with another scale. `None` if digits would be lost, or by more than 10,000 places.
    pub fn rescaled(&self, scale: i32) -> Option<Self> {
        let difference = scale.checked_sub(self.scale).filter(|places| places.unsigned_abs() <= 10_000)?;
        let power = BigInt::from(10).pow(difference.unsigned_abs());
        let unscaled = self.unscaled();
        if difference >= 0 {
            return Some(Self::from_bigint(unscaled * power, scale));
        }
        let whole = &unscaled / &power;
        (&whole * &power == unscaled).then(|| Self::from_bigint(whole, scale))
    }

    /// The same number without zeros at its end (`BigDecimal.stripTrailingZeros`).
    #[must_use]
    pub fn stripped(&self) -> Self {
        let (mut unscaled, mut scale) = (self.unscaled(), self.scale);
        let ten = BigInt::from(10);
        while unscaled.sign() != Sign::NoSign && (&unscaled % &ten).sign() == Sign::NoSign {
            unscaled /= &ten;
            scale = scale.saturating_sub(1);
        }
        Self::from_bigint(unscaled, scale)
    }

    /// How many digits the number has, zeros at both ends left out; 0 of zero.
    pub fn significant_digits(&self) -> usize {
        let magnitude = self.stripped().unscaled().magnitude().to_string();
        if magnitude == "0" { 0 } else { magnitude.len() }
    }

    /// Appends the shortest big-endian two's complement form of the unscaled value (`BigInteger.toByteArray`).
    pub fn write_be_bytes(&self, out: &mut Vec<u8>) {
        match &self.unscaled {
            Unscaled::Small(n) => {
                let bytes = n.to_be_bytes();
                let fill = if *n < 0 { 0xff } else { 0 };
                let sign = fill & 0x80;
                let mut start = 0;
                while start < 15 && bytes[start] == fill && bytes[start + 1] & 0x80 == sign {
                    start += 1;
                }
                out.extend_from_slice(&bytes[start..]);
            }
            Unscaled::Big(n) => out.extend_from_slice(&n.to_signed_bytes_be()),
        }
    }

    /// Appends plain digits, never an exponent (`BigDecimal.toPlainString`): what SQL takes as a literal.
    pub fn write_plain(&self, out: &mut String) {
        let (negative, digits) = match &self.unscaled {
            Unscaled::Small(n) => (*n < 0, n.unsigned_abs().to_string()),
            Unscaled::Big(n) => (n.sign() == Sign::Minus, n.magnitude().to_string()),
        };
        if negative {
            out.push('-');
        }
        let scale = self.scale;
        if scale <= 0 {
            out.push_str(&digits);
            if digits != "0" {
                out.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
            }
            return;
        }
        let scale = scale.unsigned_abs() as usize;
        if digits.len() > scale {
            out.push_str(&digits[..digits.len() - scale]);
            out.push('.');
            out.push_str(&digits[digits.len() - scale..]);
        } else {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', scale - digits.len()));
            out.push_str(&digits);
        }
    }
}

impl fmt::Display for Decimal {
    /// Plain digits, see [`Decimal::write_plain`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_plain(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn rescaling_loses_no_digit() {
        assert_eq!(Decimal::new(15, 1).rescaled(0), None);
        assert_eq!(Decimal::new(150, 2).rescaled(1), Some(Decimal::new(15, 1)));
        assert_eq!(Decimal::new(0, 0).rescaled(2), Some(Decimal::new(0, 2)));
        assert_eq!(Decimal::parse("1e2000000000").unwrap().rescaled(0), None);
        for (text, stripped, digits) in [("-1200.50", "-1200.5", 5), ("1200", "1200", 2), ("0.00", "0.00", 0)] {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!((decimal.stripped().to_string().as_str(), decimal.significant_digits()), (stripped, digits));
        }
    }

    #[test]
    fn text_comes_back_as_it_was() {
        for text in ["0", "0.00", "-0.5", "12.34", "-1", "99999999999999999999999999999999999999", "0.000000001"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        let long = "12345678901234567890123456789012345.678901234567890123456789012345";
        assert_eq!(Decimal::parse(long).unwrap().to_string(), long);
        assert_eq!(Decimal::parse("1e3").unwrap().to_string(), "1000");
        for bad in ["", "-", ".", "1.2.3", "0x1", "1e", "NaN"] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn bytes_are_the_shortest_twos_complement() {
        for (n, want) in [
            (0i128, vec![0u8]),
            (-1, vec![0xff]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-128, vec![0x80]),
            (156, vec![0, 0x9c]),
            (i128::MIN, i128::MIN.to_be_bytes().to_vec()),
        ] {
            let mut out = Vec::new();
            Decimal::new(n, 2).write_be_bytes(&mut out);
            assert_eq!(out, want, "{n}");
            assert_eq!(Decimal::from_be_bytes(&out, 2).unwrap(), Decimal::new(n, 2));
        }
    }
}
