//! Bytes to text: UTF-8 as nearly always, UTF-16 and UTF-32 as JSON once allowed and Kafka Connect accepts.

use std::borrow::Cow;

use connector_api::{Error, Result};

/// The text of a JSON document, without its byte order mark. Errors: `Record` where it is no text.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let units = |size: usize, little: bool| {
        let unit = move |chunk: &[u8]| {
            let join = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
            if little { chunk.iter().rev().fold(0, join) } else { chunk.iter().fold(0, join) }
        };
        (bytes.len() % size == 0).then(|| bytes.chunks(size).map(unit).collect::<Vec<u32>>())
    };
    // A JSON document begins with an ASCII character, so that the zero bytes show the encoding (RFC 4627, section 3).
    let decoded = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => return utf8(rest),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0xff, ..] => units(4, false).and_then(|units| utf32(&units)),
        [0xff, 0xfe, 0, 0, ..] | [1..=0xff, 0, 0, 0, ..] => units(4, true).and_then(|units| utf32(&units)),
        [0xfe, 0xff, ..] | [0, 1..=0xff, ..] => units(2, false).and_then(|units| utf16(&units)),
        [0xff, 0xfe, ..] | [1..=0xff, 0, ..] => units(2, true).and_then(|units| utf16(&units)),
        _ => return utf8(bytes),
    };
    decoded.map(Cow::Owned).ok_or_else(malformed)
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| malformed())
}

fn utf16(units: &[u32]) -> Option<String> {
    let units = units.iter().map(|unit| u16::try_from(*unit).unwrap_or_default()).skip_while(|unit| *unit == 0xfeff);
    char::decode_utf16(units).collect::<std::result::Result<_, _>>().ok()
}

fn utf32(units: &[u32]) -> Option<String> {
    units.iter().skip_while(|unit| **unit == 0xfeff).map(|unit| char::from_u32(*unit)).collect()
}

#[cold]
fn malformed() -> Error {
    Error::record("Converting byte[] to Kafka Connect data failed due to serialization error: the bytes are no text")
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
        let be32: Vec<u8> = json.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        let le32: Vec<u8> = json.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
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
            assert_eq!(text(&bytes).unwrap(), json);
        }
        assert!(text(b"{\"a\":\"\xff\"}").is_err());
        assert!(text(b"{\0\"").is_err());
        assert!(text(b"\0").is_err());
    }
}
