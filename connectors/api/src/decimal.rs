//! Decimals of any size: an unscaled integer and a scale, as in `java.math.BigDecimal`.
//!
//! Values of up to 38 digits are held in an `i128`; only longer ones allocate.

#![expect(clippy::indexing_slicing, reason = "both lengths were compared before")]

use std::fmt;

use num_bigint::{BigInt, Sign};

/// The number `unscaled * 10^-scale`. Equal only if both parts are equal, as in BigDecimal's
/// `equals`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    unscaled: UnscaledValue,
    scale: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum UnscaledValue {
    Small(i128),
    /// Used only if the value does not fit [`Unscaled::Small`], so that equal values have one form.
    Big(BigInt),
}

impl Decimal {
    /// Largest absolute scale accepted from outside, and most zeros that plain digits may add to
    /// the unscaled value. It is the largest scale of a PostgreSQL NUMERIC, the widest of the
    /// supported types. The limit matters because a scale is one number in a record but that many
    /// bytes as plain digits.
    pub const MAX_SCALE: u32 = 1000;
    /// Maximum number of digits of an unscaled value: as many as PostgreSQL's NUMERIC allows before
    /// and after its decimal point together. Converting bytes to digits takes quadratic time.
    pub const MAX_DIGITS: usize = 131_072 + 16_383;
    /// Number of bytes that hold [`Self::MAX_DIGITS`].
    const MAX_BYTES: usize = 61_230;

    /// Creates the decimal `unscaled * 10^-scale`.
    pub fn new(unscaled: i128, scale: i32) -> Self {
        Self {
            unscaled: UnscaledValue::Small(unscaled),
            scale,
        }
    }

    /// Creates a decimal from a big integer.
    pub fn from_bigint(unscaled: BigInt, scale: i32) -> Self {
        let unscaled =
            i128::try_from(&unscaled).map_or(UnscaledValue::Big(unscaled), UnscaledValue::Small);
        Self { unscaled, scale }
    }

    /// Reads big-endian two's complement bytes, the payload of Connect's Decimal. `None` if empty,
    /// or if longer than [`Self::MAX_DIGITS`] need.
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

    /// Parses `-12.50`, `1e3` or `.5`. The scale is the number of digits after the decimal point
    /// minus the exponent, as in `new BigDecimal(text)`. `None` if it is not a number, or has more
    /// than [`Self::MAX_DIGITS`].
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

    /// Returns the number of digits after the decimal point; may be negative.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// Returns the unscaled value if it fits 128 bits.
    pub fn unscaled_i128(&self) -> Option<i128> {
        match &self.unscaled {
            UnscaledValue::Small(n) => Some(*n),
            UnscaledValue::Big(_) => None,
        }
    }

    /// Returns the unscaled value.
    pub fn unscaled(&self) -> BigInt {
        match &self.unscaled {
            UnscaledValue::Small(n) => BigInt::from(*n),
            UnscaledValue::Big(n) => n.clone(),
        }
    }

    /// Returns the same number with another scale. `None` if digits would be lost, or if the scale
    /// changes by more than 10,000.
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

    /// True if the scale is accepted from outside: at most [`Self::MAX_SCALE`] in either direction.
    pub fn has_usual_scale(&self) -> bool {
        self.scale.unsigned_abs() <= Self::MAX_SCALE
    }

    /// Removes trailing zeros, as `BigDecimal.stripTrailingZeros` does.
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

    /// Counts digits without leading and trailing zeros; 0 for zero.
    pub fn significant_digits(&self) -> usize {
        self.unscaled()
            .magnitude()
            .to_string()
            .trim_end_matches('0')
            .len()
    }

    /// Appends the shortest big-endian two's complement form of the unscaled value
    /// (`BigInteger.toByteArray`).
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

    /// Appends plain digits (`BigDecimal.toPlainString`), which SQL accepts as a literal. If that
    /// would add more than [`Self::MAX_SCALE`] zeros, appends scientific notation, which SQL
    /// accepts, too.
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

    /// Appends scientific notation, such as `1.23E-4000`.
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
    /// Writes plain digits, except for extreme scales, see [`Decimal::write_plain`].
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
