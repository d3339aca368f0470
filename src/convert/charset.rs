//! Character sets of plain text, with Java's replacement characters: `?` when writing, U+FFFD when
//! reading.

#![expect(
    clippy::indexing_slicing,
    reason = "the table has all 32 bytes of the range"
)]

/// A character set supported by [`StringConverter`](super::plain::StringConverter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// UTF-16 with a byte order mark; read as big-endian without one.
    Utf16,
    /// UTF-16, big-endian, without a byte order mark.
    Utf16Be,
    /// UTF-16, little-endian, without a byte order mark.
    Utf16Le,
    Latin1,
    Ascii,
    Windows1252,
}

/// Characters of windows-1252 in place of Latin-1's C1 control characters; U+FFFD where it has
/// none.
const WINDOWS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

impl Charset {
    /// Finds a character set by its name in Java.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "utf-16" | "utf16" => Self::Utf16,
            "utf-16be" => Self::Utf16Be,
            "utf-16le" => Self::Utf16Le,
            "iso-8859-1" | "iso8859_1" | "latin1" => Self::Latin1,
            "us-ascii" | "ascii" => Self::Ascii,
            "windows-1252" | "cp1252" => Self::Windows1252,
            _ => return None,
        })
    }

    /// Appends the encoded text.
    pub(super) fn encode(self, text: &str, out: &mut Vec<u8>) {
        let single = |c: char| match (self, u32::from(c)) {
            (_, code @ 0..0x80) => u8::try_from(code).ok(),
            (Self::Latin1, code) => u8::try_from(code).ok(),
            (Self::Windows1252, code @ 0xa0..=0xff) => u8::try_from(code).ok(),
            (Self::Windows1252, _) if c != char::REPLACEMENT_CHARACTER => WINDOWS
                .iter()
                .position(|w| *w == c)
                .and_then(|at| u8::try_from(at + 0x80).ok()),
            _ => None,
        };
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 => {
                out.extend_from_slice(&[0xfe, 0xff]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Self::Latin1 | Self::Ascii | Self::Windows1252 => {
                out.extend(text.chars().map(|c| single(c).unwrap_or(b'?')));
            }
        }
    }
    pub(super) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
                [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
                _ => utf16(bytes, u16::from_be_bytes),
            },
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
            Self::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
            Self::Ascii => {
                let ascii = |b: &u8| {
                    if b.is_ascii() {
                        char::from(*b)
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                };
                bytes.iter().map(ascii).collect()
            }
            Self::Windows1252 => bytes
                .iter()
                .map(|b| match b {
                    0x80..=0x9f => WINDOWS[usize::from(b - 0x80)],
                    _ => char::from(*b),
                })
                .collect(),
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text: String = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if !odd.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}
