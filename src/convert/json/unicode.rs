//! Converts bytes to text: UTF-8 almost always; UTF-16 and UTF-32 as JSON once allowed and Kafka
//! Connect accepts.

use std::borrow::Cow;

use connector_api::{Error, Result};

/// Returns the text of a JSON document, without its byte order mark. Strict mode refuses UTF-8 that
/// is not in its canonical form.
/// Errors: `Record` if it is not text.
pub(super) fn text(bytes: &[u8], strict: bool) -> Result<Cow<'_, str>> {
    let units = |size: usize, little: bool| {
        let unit = move |chunk: &[u8]| {
            let join = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
            if little {
                chunk.iter().rev().fold(0, join)
            } else {
                chunk.iter().fold(0, join)
            }
        };
        bytes
            .len()
            .is_multiple_of(size)
            .then(|| bytes.chunks(size).map(unit).collect::<Vec<u32>>())
    };
    // A JSON document starts with an ASCII character, so that the zero bytes identify the encoding
    // (RFC 4627, section 3).
    let decoded = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => return utf8(rest, strict),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0xff, ..] => {
            units(4, false).and_then(|units| utf32(&units))
        }
        [0xff, 0xfe, 0, 0, ..] | [1..=0xff, 0, 0, 0, ..] => {
            units(4, true).and_then(|units| utf32(&units))
        }
        [0xfe, 0xff, ..] | [0, 1..=0xff, ..] => units(2, false).and_then(|units| utf16(&units)),
        [0xff, 0xfe, ..] | [1..=0xff, 0, ..] => units(2, true).and_then(|units| utf16(&units)),
        _ => return utf8(bytes, strict),
    };
    decoded.map(Cow::Owned).ok_or_else(malformed)
}

fn utf8(bytes: &[u8], strict: bool) -> Result<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) if strict => Err(malformed()),
        Err(_) => loose_utf8(bytes).map(Cow::Owned).ok_or_else(malformed),
    }
}

/// Decodes UTF-8 as Jackson does: accepts overlong forms, and surrogates encoded in three bytes
/// each.
fn loose_utf8(mut bytes: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        let (length, bits) = match first {
            0..0x80 => (0, u32::from(*first)),
            0xc0..0xe0 => (1, u32::from(first & 0x1f)),
            0xe0..0xf0 => (2, u32::from(first & 0x0f)),
            0xf0..0xf8 => (3, u32::from(first & 0x07)),
            _ => return None,
        };
        let (tail, rest) = rest.split_at_checked(length)?;
        let join = |code: u32, byte: &u8| {
            (byte & 0xc0 == 0x80).then(|| code << 6 | u32::from(byte & 0x3f))
        };
        let code = tail.iter().try_fold(bits, join)?;
        match u16::try_from(code) {
            // An overlong ASCII character is content, never JSON punctuation.
            Ok(unit @ 0..0x80) if length > 0 => {
                units.extend(format!("\\u{unit:04x}").encode_utf16());
            }
            Ok(unit) => units.push(unit),
            Err(_) => units.extend_from_slice(char::from_u32(code)?.encode_utf16(&mut [0; 2])),
        }
        bytes = rest;
    }
    Some(String::from_utf16_lossy(&units))
}

fn utf16(units: &[u32]) -> Option<String> {
    let units = units
        .iter()
        .map(|unit| u16::try_from(*unit).unwrap_or_default())
        .skip_while(|unit| *unit == 0xfeff);
    char::decode_utf16(units)
        .collect::<std::result::Result<_, _>>()
        .ok()
}

fn utf32(units: &[u32]) -> Option<String> {
    units
        .iter()
        .skip_while(|unit| **unit == 0xfeff)
        .map(|unit| char::from_u32(*unit))
        .collect()
}

#[cold]
fn malformed() -> Error {
    Error::record(
        "Converting byte[] to Kafka Connect data failed due to serialization error: the bytes are no text",
    )
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn every_unicode_encoding_is_recognised() {
        let json = "{\"ä\":\"😀\"}";
        let utf16: Vec<u16> = json.encode_utf16().collect();
        let with = |mark: &[u8], rest: Vec<u8>| [mark.to_vec(), rest].concat();
        let be16: Vec<u8> = utf16.iter().flat_map(|u| u.to_be_bytes()).collect();
        let le16: Vec<u8> = utf16.iter().flat_map(|u| u.to_le_bytes()).collect();
        let be32: Vec<u8> = json
            .chars()
            .flat_map(|c| u32::from(c).to_be_bytes())
            .collect();
        let le32: Vec<u8> = json
            .chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        for bytes in [
            json.as_bytes().to_vec(),
            with(b"\xef\xbb\xbf", json.into()),
            with(b"\xfe\xff", be16.clone()),
            with(b"\xff\xfe", le16.clone()),
            with(b"\xff\xfe\0\0", le32.clone()),
            be16,
            le16,
            be32,
            le32,
        ] {
            assert_eq!(text(&bytes, true).unwrap(), json);
        }
        assert!(text(b"{\"a\":\"\xff\"}", false).is_err());
        assert!(text(b"{\0\"", false).is_err());
        assert!(text(b"\xed\xa0\xbd\xed\xb8\x80", true).is_err());
        assert_eq!(text(b"\xed\xa0\xbd\xed\xb8\x80", false).unwrap(), "😀");
    }
}
