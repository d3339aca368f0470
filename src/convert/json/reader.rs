//! A pull parser for JSON text: it returns tokens, members and items, and builds no tree. It does
//! not know about schemas.
//!
//! It accepts what the JSON parser of Kafka Connect accepts: RFC 8259, plus leading zeros in
//! numbers.

#![expect(
    clippy::indexing_slicing,
    reason = "the position never passes the end of the text"
)]

use std::borrow::Cow;

use connector_api::{Error, Result};

use crate::convert::java;

/// Maximum nesting of arrays and objects (also Jackson's limit).
const MAX_DEPTH: u32 = 1000;
/// Maximum length of a number, in characters (also Jackson's limit).
const MAX_NUMBER: usize = 1000;

/// The token at a position: a whole scalar, or the start of an array or object.
pub(super) enum JsonToken<'a> {
    Null,
    Bool(bool),
    Number(JsonNumber<'a>),
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl JsonToken<'_> {
    /// Returns the name of its JSON type in Connect's texts (`JsonNodeType`).
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "BOOLEAN",
            Self::Number(_) => "NUMBER",
            Self::Text(_) => "STRING",
            Self::Array => "ARRAY",
            Self::Object => "OBJECT",
        }
    }
}

/// A number as written in the text.
#[derive(Clone, Copy)]
pub(super) struct JsonNumber<'a> {
    pub(super) text: &'a str,
    /// True if there is neither a fraction nor an exponent.
    pub(super) integral: bool,
}

impl JsonNumber<'_> {
    /// Returns the number if it is integral (`1e2` and `5.0` are) and fits 64 bits.
    pub(super) fn exact_i64(&self) -> Option<i64> {
        if self.integral {
            return self.text.parse().ok();
        }
        let number = connector_api::Decimal::parse(self.text)?;
        let (unscaled, scale) = (number.unscaled_i128()?, number.scale());
        let power = 10i128.checked_pow(scale.unsigned_abs());
        let whole = match scale {
            _ if unscaled == 0 => 0,
            0.. => power
                .filter(|power| unscaled % power == 0)
                .map(|power| unscaled / power)?,
            _ => unscaled.checked_mul(power?)?,
        };
        i64::try_from(whole).ok()
    }

    /// Returns the lowest 64 bits of its integer part, as Java's `longValue` of big numbers does.
    pub(super) fn wrapped_i64(&self) -> i64 {
        java::low_bits(self.text)
    }
}

/// Reads JSON text from left to right.
pub(super) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// True if a lone surrogate is an error; otherwise it is read as U+FFFD.
    strict: bool,
}

impl<'a> JsonReader<'a> {
    pub(super) fn new(text: &'a str, strict: bool) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            strict,
        }
    }

    /// Returns the current position in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns the text between two earlier positions.
    pub(super) fn span(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    #[cold]
    fn malformed(&self, what: &str) -> Error {
        Error::record(format!(
            "Converting byte[] to Kafka Connect data failed due to serialization error: {what} at byte {}",
            self.at
        ))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the next byte without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Consumes `member` (`"name":`), after a comma unless it is the first, if the text continues
    /// with exactly that.
    #[inline]
    pub(super) fn try_member(&mut self, first: bool, member: &[u8]) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let rest = if first {
            Some(rest)
        } else {
            rest.strip_prefix(b",")
        };
        let found = rest.is_some_and(|rest| rest.starts_with(member));
        if found {
            self.at += member.len() + usize::from(!first);
        }
        found
    }

    /// Reads a scalar, or enters an array or object.
    pub(super) fn token(&mut self) -> Result<JsonToken<'a>> {
        match self.peek() {
            Some(b'"') => self.text().map(JsonToken::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(JsonToken::Number),
            Some(b'{') => self.enter().map(|()| JsonToken::Object),
            Some(b'[') => self.enter().map(|()| JsonToken::Array),
            Some(b'n') => self.word("null").map(|()| JsonToken::Null),
            Some(b't') => self.word("true").map(|()| JsonToken::Bool(true)),
            Some(b'f') => self.word("false").map(|()| JsonToken::Bool(false)),
            Some(_) => Err(self.malformed("unexpected character")),
            None => Err(self.malformed("unexpected end")),
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.malformed("more than 1000 levels"))
        } else {
            Ok(())
        }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("unrecognised word"));
        }
        self.at += word.len();
        self.ends()
    }

    /// Checks that a word or number is followed by white space, punctuation or the end.
    fn ends(&self) -> Result<()> {
        match self.byte() {
            None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') => Ok(()),
            Some(_) => Err(self.malformed("unexpected character")),
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.malformed("digit expected"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<JsonNumber<'a>> {
        let start = self.at;
        let mut integral = true;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.byte() == Some(b'.') {
            integral = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            integral = false;
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.ends()?;
        if self.at - start > MAX_NUMBER {
            return Err(self.malformed("number of more than 1000 characters"));
        }
        Ok(JsonNumber {
            text: self.span(start, self.at),
            integral,
        })
    }

    fn text(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        self.at += plain_length(&self.text.as_bytes()[start..]);
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(self.span(start, self.at - 1)));
        }
        let mut text = String::from(self.span(start, self.at));
        loop {
            let start = self.at;
            self.at += plain_length(&self.text.as_bytes()[start..]);
            text.push_str(self.span(start, self.at));
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    text.push(c);
                }
                Some(_) => return Err(self.malformed("control character in text")),
                None => return Err(self.malformed("unexpected end of text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let byte = self.byte();
        self.at += 1;
        Ok(match byte {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => {
                self.at -= 1;
                return Err(self.malformed("unrecognised escape"));
            }
        })
    }

    fn unicode(&mut self) -> Result<char> {
        let unit = self.hex()?;
        if let Some(c) = char::from_u32(unit) {
            return Ok(c);
        }
        if unit < 0xdc00 && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        if self.strict {
            Err(self.malformed("lone surrogate"))
        } else {
            Ok(char::REPLACEMENT_CHARACTER)
        }
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .unwrap_or_default();
        let value = digits
            .iter()
            .try_fold(0, |n, byte| Some(n * 16 + char::from(*byte).to_digit(16)?));
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 4;
                Ok(value)
            }
            _ => Err(self.malformed("four hexadecimal digits expected")),
        }
    }

    /// Leaves the current object if it ends directly here.
    #[inline]
    pub(super) fn try_close(&mut self) -> bool {
        let closed = self.byte() == Some(b'}');
        if closed {
            self.leave();
        }
        closed
    }

    /// Counts the items left in the current array, without moving.
    pub(super) fn count_items(&mut self) -> Result<usize> {
        let (at, depth) = (self.at, self.depth);
        let mut count = 0;
        while self.next_item(count == 0)? {
            count += 1;
            self.skip()?;
        }
        (self.at, self.depth) = (at, depth);
        Ok(count)
    }

    /// Moves to the next item of the current array; at its end, leaves the array and returns false.
    pub(super) fn next_item(&mut self, first: bool) -> Result<bool> {
        match self.peek() {
            Some(b']') => {
                self.leave();
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                if self.peek() == Some(b']') {
                    Err(self.malformed("unexpected character"))
                } else {
                    Ok(true)
                }
            }
            Some(_) if first => Ok(true),
            Some(_) => Err(self.malformed("comma or ] expected")),
            None => Err(self.malformed("unexpected end")),
        }
    }

    /// Moves to the next member of the current object and returns its name; at its end, leaves the
    /// object and returns `None`.
    pub(super) fn next_member(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        match self.peek() {
            Some(b'}') => {
                self.leave();
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.peek();
            }
            Some(_) if first => {}
            Some(_) => return Err(self.malformed("comma or } expected")),
            None => return Err(self.malformed("unexpected end")),
        }
        if self.byte() != Some(b'"') {
            return Err(self.malformed("member name expected"));
        }
        let name = self.text()?;
        if self.peek() != Some(b':') {
            return Err(self.malformed("colon expected"));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Skips a whole value, which must be well-formed.
    pub(super) fn skip(&mut self) -> Result<()> {
        let token = self.token()?;
        self.skip_rest(&token)
    }

    /// Skips the rest of the value that starts with `token`.
    pub(super) fn skip_rest(&mut self, token: &JsonToken<'_>) -> Result<()> {
        let mut first = true;
        match token {
            JsonToken::Array => {
                while self.next_item(first)? {
                    first = false;
                    self.skip()?;
                }
            }
            JsonToken::Object => {
                while self.next_member(first)?.is_some() {
                    first = false;
                    self.skip()?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the length of the prefix without quotes, backslashes and control characters.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let hit = control | has_zero(word ^ (ONES * 0x22)) | has_zero(word ^ (ONES * 0x5c));
        if hit != 0 {
            return at + hit.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|b| matches!(b, 0..0x20 | b'"' | b'\\'))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{JsonNumber, JsonReader, plain_length};

    #[test]
    fn plain_text_ends_at_the_first_special_byte() {
        let plain = "0123456789\u{7f}äöü€😀 zz".repeat(3);
        assert_eq!(plain_length(plain.as_bytes()), plain.len());
        for special in ["\"", "\\", "\n", "\0", "\u{1f}"] {
            for at in (0..plain.len()).filter(|at| plain.is_char_boundary(*at)) {
                let text = format!("{}{special}{}", &plain[..at], &plain[at..]);
                assert_eq!(plain_length(text.as_bytes()), at);
            }
        }
    }

    #[test]
    fn numbers_become_integers_exactly_or_wrapped() {
        for (text, exact, wrapped) in [
            ("7", Some(7), 7),
            ("1e2", Some(100), 100),
            ("5.0", Some(5), 5),
            ("-1.9", None, -1),
            ("0.00e9", Some(0), 0),
            ("9223372036854775808", None, i64::MIN),
            ("1e40", None, -5_047_021_154_770_878_464),
            ("1e999999999999", None, 0),
            ("1e-999999999999999999999999", None, 0),
        ] {
            let number = JsonNumber {
                text,
                integral: text.bytes().all(|b| b.is_ascii_digit()),
            };
            assert_eq!(
                (number.exact_i64(), number.wrapped_i64()),
                (exact, wrapped),
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "+5",
            "5.",
            ".5",
            "1e",
            "0x10",
            "1_0",
            "nul",
            "truex",
            "[1,]",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "{a:1}",
            "\"\\x\"",
            "\"\\u12\"",
            "\"a\nb\"",
            "\"\\ud800\"",
            "'a'",
            "NaN",
            "[",
            "{\"a\":",
            "\"a",
        ] {
            let mut reader = JsonReader::new(text, true);
            assert!(reader.skip().is_err(), "{text}");
        }
        assert!(
            JsonReader::new(&"[".repeat(1_000_000), true)
                .skip()
                .is_err()
        );
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(JsonReader::new(&deep, true).skip().is_ok());
    }
}
