//! Brings the values of key columns to the form that the column stores, so that a key finds its row
//! in whatever form the record has it. Pure.

use std::borrow::Cow;

use crate::dialect::writing::KeyForm;
use crate::driver::SqlParam;

/// Returns a key's parameter in that form.
pub(crate) fn in_form(form: KeyForm, param: SqlParam<'_>) -> SqlParam<'_> {
    match (form, param) {
        (KeyForm::WithoutBlanks, SqlParam::Text(text)) => {
            let length = text.trim_end_matches(' ').len();
            SqlParam::Text(cut(text, length))
        }
        (KeyForm::WithoutZeroFraction, SqlParam::Text(text)) => {
            let length = without_zero_fraction(&text);
            SqlParam::Text(cut(text, length))
        }
        (KeyForm::Padded(length), SqlParam::Bytes(bytes)) if bytes.len() < length => {
            let mut padded = bytes.into_owned();
            padded.resize(length, 0);
            SqlParam::Bytes(padded.into())
        }
        (_, param) => param,
    }
}

fn cut(text: Cow<'_, str>, length: usize) -> Cow<'_, str> {
    if length == text.len() {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..length).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(length);
            Cow::Owned(text)
        }
    }
}

/// Returns the length of a time with no more digits after the point than it needs: none, or three,
/// six or nine, as SQLite's own functions write them.
fn without_zero_fraction(text: &str) -> usize {
    let Some((whole, fraction)) = text.rsplit_once('.') else {
        return text.len();
    };
    if !whole.contains(':') || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return text.len();
    }
    match fraction.trim_end_matches('0').len().div_ceil(3) * 3 {
        0 => whole.len(),
        digits => (whole.len() + 1 + digits).min(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyForm, SqlParam, in_form};

    #[test]
    fn a_time_has_the_digits_that_it_needs() {
        for (text, want) in [
            ("2024-01-01 10:00:00.000", "2024-01-01 10:00:00"),
            ("2024-01-01 10:00:00.000000", "2024-01-01 10:00:00"),
            ("2024-01-01 10:00:00.120000", "2024-01-01 10:00:00.120"),
            ("2024-01-01 10:00:00.000100", "2024-01-01 10:00:00.000100"),
            ("10:00:00.5", "10:00:00.5"),
            ("10:00:00", "10:00:00"),
            ("2024-01-01", "2024-01-01"),
            ("2024-01-01T10:00:00.000Z", "2024-01-01T10:00:00.000Z"),
            ("1.000", "1.000"),
        ] {
            let of = |text: &'static str| SqlParam::Text(text.into());
            assert_eq!(in_form(KeyForm::WithoutZeroFraction, of(text)), of(want));
        }
    }

    #[test]
    fn blanks_end_and_zeros_fill() {
        let text = |text: &'static str| SqlParam::Text(text.into());
        assert_eq!(in_form(KeyForm::WithoutBlanks, text("a b  ")), text("a b"));
        assert_eq!(in_form(KeyForm::AsIs, text("a ")), text("a "));
        let bytes = |bytes: &'static [u8]| SqlParam::Bytes(bytes.into());
        assert_eq!(in_form(KeyForm::Padded(3), bytes(b"a")), bytes(b"a\0\0"));
        assert_eq!(in_form(KeyForm::Padded(1), bytes(b"ab")), bytes(b"ab"));
    }
}
