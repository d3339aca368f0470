//! Decimals of any size: an unscaled integer and a scale, as `java.math.BigDecimal` has them.
//!
//! Values up to 38 digits live in an `i128`; only longer ones allocate.

use std::fmt;

use num_bigint::{BigInt, Sign};

/// `unscaled * 10^-scale`. Two decimals are equal when both parts are (as BigDecimal's `equals`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    unscaled: UnscaledValue,
    scale: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum UnscaledValue {
    Small(i128),
    /// Only for what does not fit [`Unscaled::Small`], so that equal values have one form.
    Big(BigInt),
}

impl Decimal {
    /// The largest scale, in either direction, with which a decimal from outside is taken, and how many zeros its plain
    /// digits may have that its unscaled value has not: what PostgreSQL lets a NUMERIC declare, the widest there is. A
    /// scale is one number in a record, and as plain digits it is that many bytes.
    pub const MAX_SCALE: u32 = 1000;
    /// The most digits of an unscaled value: what PostgreSQL's NUMERIC has before and after its point together. Turning
    /// bytes into digits takes time by the square of their number.
    pub const MAX_DIGITS: usize = 131_072 + 16_383;
    /// Bytes that hold [`Self::MAX_DIGITS`].
    const MAX_BYTES: usize = 61_230;

    /// The decimal `unscaled * 10^-scale`.
    pub fn new(unscaled: i128, scale: i32) -> Self {
        Self {
            unscaled: UnscaledValue::Small(unscaled),
            scale,
        }
    }

    /// The same from a big integer.
    pub fn from_bigint(unscaled: BigInt, scale: i32) -> Self {
        let unscaled =
            i128::try_from(&unscaled).map_or(UnscaledValue::Big(unscaled), UnscaledValue::Small);
        Self { unscaled, scale }
    }

    /// From big-endian two's complement bytes, the payload of Connect's Decimal. `None` if there are none, or more than
    /// [`Self::MAX_DIGITS`] take.
    pub fn from_be_bytes(bytes: &[u8], scale: i32) -> Option<Self> {
        let first = *bytes.first()?;
        if bytes.len() > Self::MAX_BYTES {
            return None;
        }
        if bytes.len() <= 16 {
            let mut wide = if first & 0x80 == 0 {
                [0u8; 16]
            } else {
                [0xff; 16]
            };
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            return Some(Self::new(i128::from_be_bytes(wide), scale));
        }
        Some(Self::from_bigint(
            BigInt::from_signed_bytes_be(bytes),
            scale,
        ))
    }

    /// Parses `-12.50`, `1e3`, `.5`; the scale is the number of digits after the point less the exponent, as
    /// `new BigDecimal(text)` has it. `None` if it is no number, or one of more than [`Self::MAX_DIGITS`].
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let exponent = &text[at + 1..];
                (
                    &text[..at],
                    exponent
                        .strip_prefix('+')
                        .unwrap_or(exponent)
                        .parse::<i32>()
                        .ok()?,
                )
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
        let count = whole.len() + fraction.len();
        if count == 0 || count > Self::MAX_DIGITS || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        if count <= 38 {
            let n = whole
                .bytes()
                .chain(fraction.bytes())
                .fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
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
            UnscaledValue::Small(n) => Some(*n),
            UnscaledValue::Big(_) => None,
        }
    }

    /// The unscaled value.
    pub fn unscaled(&self) -> BigInt {
        match &self.unscaled {
            UnscaledValue::Small(n) => BigInt::from(*n),
            UnscaledValue::Big(n) => n.clone(),
        }
    }

    /// The same number with another scale. `None` if digits would be lost, or by more than 10,000 places.
    pub fn rescaled(&self, scale: i32) -> Option<Self> {
        let difference = scale
            .checked_sub(self.scale)
            .filter(|places| places.unsigned_abs() <= 10_000)?;
        let power = BigInt::from(10).pow(difference.unsigned_abs());
        let unscaled = self.unscaled();
        if difference >= 0 {
            return Some(Self::from_bigint(unscaled * power, scale));
        }
        let whole = &unscaled / &power;
        (&whole * &power == unscaled).then(|| Self::from_bigint(whole, scale))
    }

    /// Whether its scale is one that is taken from outside: at most [`Self::MAX_SCALE`] in either direction.
    pub fn has_usual_scale(&self) -> bool {
        self.scale.unsigned_abs() <= Self::MAX_SCALE
    }

    /// The same number without zeros at its end (`BigDecimal.stripTrailingZeros`).
    #[must_use]
    pub fn stripped(&self) -> Self {
        let digits = self.unscaled().magnitude().to_string();
        let zeros = if digits == "0" {
            0
        } else {
            digits.len() - digits.trim_end_matches('0').len()
        };
        let Ok(zeros) = u32::try_from(zeros) else {
            return self.clone();
        };
        let scale = i32::try_from(i64::from(self.scale) - i64::from(zeros)).unwrap_or(i32::MIN);
        Self::from_bigint(self.unscaled() / BigInt::from(10).pow(zeros), scale)
    }

    /// How many digits the number has, zeros at both ends left out; 0 of zero.
    pub fn significant_digits(&self) -> usize {
        self.unscaled()
            .magnitude()
            .to_string()
            .trim_end_matches('0')
            .len()
    }

    /// Appends the shortest big-endian two's complement form of the unscaled value (`BigInteger.toByteArray`).
    pub fn write_be_bytes(&self, out: &mut Vec<u8>) {
        match &self.unscaled {
            UnscaledValue::Small(n) => {
                let bytes = n.to_be_bytes();
                let fill = if *n < 0 { 0xff } else { 0 };
                let sign = fill & 0x80;
                let mut start = 0;
                while start < 15 && bytes[start] == fill && bytes[start + 1] & 0x80 == sign {
                    start += 1;
                }
                out.extend_from_slice(&bytes[start..]);
            }
            UnscaledValue::Big(n) => out.extend_from_slice(&n.to_signed_bytes_be()),
        }
    }

    /// Appends plain digits (`BigDecimal.toPlainString`): what SQL takes as a literal. Where that would add more than
    /// [`Self::MAX_SCALE`] zeros, one digit, a point, the others and an exponent, which SQL takes too.
    pub fn write_plain(&self, out: &mut String) {
        let (negative, digits) = match &self.unscaled {
            UnscaledValue::Small(n) => (*n < 0, n.unsigned_abs().to_string()),
            UnscaledValue::Big(n) => (n.sign() == Sign::Minus, n.magnitude().to_string()),
        };
        if negative {
            out.push('-');
        }
        let places = self.scale.unsigned_abs() as usize;
        let zeros = match self.scale {
            ..0 if digits == "0" => 0,
            ..0 => places,
            _ => places.saturating_sub(digits.len()),
        };
        if zeros > Self::MAX_SCALE as usize {
            return self.write_exponent(&digits, out);
        }
        match digits.split_at_checked(digits.len().saturating_sub(places)) {
            Some((whole, fraction)) if self.scale > 0 && !whole.is_empty() => {
                out.extend([whole, ".", fraction]);
            }
            _ if self.scale > 0 => {
                out.push_str("0.");
                out.extend(std::iter::repeat_n('0', zeros));
                out.push_str(&digits);
            }
            _ => {
                out.push_str(&digits);
                out.extend(std::iter::repeat_n('0', zeros));
            }
        }
    }

    /// `1.23E-4000`.
    fn write_exponent(&self, digits: &str, out: &mut String) {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.extend([".", rest]);
        }
        let exponent = i64::try_from(rest.len()).unwrap_or(i64::MAX) - i64::from(self.scale);
        out.push_str(&format!("E{exponent:+}"));
    }
}

impl fmt::Display for Decimal {
    /// Plain digits but for far-out scales, see [`Decimal::write_plain`].
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
        for (text, stripped, digits) in [
            ("-1200.50", "-1200.5", 5),
            ("1200", "1200", 2),
            ("0.00", "0.00", 0),
        ] {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!(
                (
                    decimal.stripped().to_string().as_str(),
                    decimal.significant_digits()
                ),
                (stripped, digits)
            );
        }
    }

    #[test]
    fn no_scale_makes_a_long_text() {
        for (unscaled, scale, want) in [
            (1, -1000, format!("1{}", "0".repeat(1000))),
            (-1, -1001, "-1E+1001".to_owned()),
            (123, -2_000_000_000, "1.23E+2000000002".to_owned()),
            (-123, 2_000_000_000, "-1.23E-1999999998".to_owned()),
            (1, 1001, format!("0.{}1", "0".repeat(1000))),
            (1, 1002, "1E-1002".to_owned()),
            (0, -2_000_000_000, "0".to_owned()),
            (0, i32::MAX, "0E-2147483647".to_owned()),
            (5, i32::MIN, "5E+2147483648".to_owned()),
        ] {
            let decimal = Decimal::new(unscaled, scale);
            assert_eq!(decimal.to_string(), want);
            assert_eq!(decimal.stripped().to_string(), want);
            assert_eq!(decimal.has_usual_scale(), scale.unsigned_abs() <= 1000);
        }
    }

    #[test]
    fn no_number_has_more_digits_than_a_database_holds() {
        let nines = "9".repeat(Decimal::MAX_DIGITS);
        let widest = Decimal::parse(&nines).unwrap();
        assert!(widest.to_string() == nines && widest.significant_digits() == Decimal::MAX_DIGITS);
        let mut bytes = Vec::new();
        widest.write_be_bytes(&mut bytes);
        assert!(
            Decimal::from_be_bytes(&bytes, 0) == Some(widest),
            "{} bytes",
            bytes.len()
        );
        bytes.insert(0, 0);
        assert!(Decimal::from_be_bytes(&bytes, 0).is_none());
        assert!(Decimal::parse(&format!("{nines}0")).is_none());
        let zeros = Decimal::parse(&format!("7{}", "0".repeat(Decimal::MAX_DIGITS - 1))).unwrap();
        assert_eq!(
            (zeros.stripped(), zeros.significant_digits()),
            (Decimal::new(7, -147_454), 1)
        );
    }

    #[test]
    fn text_comes_back_as_it_was() {
        for text in [
            "0",
            "0.00",
            "-0.5",
            "12.34",
            "-1",
            "99999999999999999999999999999999999999",
            "0.000000001",
        ] {
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
