//! The character sets of MariaDB's columns, to UTF-8.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// A character set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Charset {
    /// UTF-8 in three or four bytes, and ASCII.
    Utf8,
    /// MariaDB's latin1: cp1252 with its five undefined bytes.
    Latin1,
    /// Two or four bytes, the highest first unless `little`.
    Utf16 {
        little: bool,
    },
    Utf32,
    Other(&'static Encoding),
}

impl Charset {
    /// Returns the character set of that name; `None` if its texts cannot be converted.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "latin1" => Self::Latin1,
            "ucs2" | "utf16" => Self::Utf16 { little: false },
            "utf16le" => Self::Utf16 { little: true },
            "utf32" => Self::Utf32,
            "latin2" => Self::Other(encoding_rs::ISO_8859_2),
            "cp1250" => Self::Other(encoding_rs::WINDOWS_1250),
            "cp1251" => Self::Other(encoding_rs::WINDOWS_1251),
            "cp1256" => Self::Other(encoding_rs::WINDOWS_1256),
            "cp1257" => Self::Other(encoding_rs::WINDOWS_1257),
            "greek" => Self::Other(encoding_rs::ISO_8859_7),
            "hebrew" => Self::Other(encoding_rs::ISO_8859_8),
            "koi8r" => Self::Other(encoding_rs::KOI8_R),
            "koi8u" => Self::Other(encoding_rs::KOI8_U),
            "cp866" => Self::Other(encoding_rs::IBM866),
            "gbk" | "gb2312" => Self::Other(encoding_rs::GBK),
            "big5" => Self::Other(encoding_rs::BIG5),
            "sjis" | "cp932" => Self::Other(encoding_rs::SHIFT_JIS),
            "ujis" | "eucjpms" => Self::Other(encoding_rs::EUC_JP),
            "euckr" => Self::Other(encoding_rs::EUC_KR),
            "tis620" => Self::Other(encoding_rs::WINDOWS_874),
            _ => return None,
        })
    }

    /// Converts a text; `None` if it is none of this character set.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Latin1 if bytes.is_ascii() => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            // the encoding of that name has C1 for the five bytes, as MariaDB
            Self::Latin1 => Some(
                encoding_rs::WINDOWS_1252
                    .decode_without_bom_handling(bytes)
                    .0,
            ),
            Self::Utf16 { little } => {
                let unit = |pair: &[u8; 2]| {
                    if little {
                        u16::from_le_bytes(*pair)
                    } else {
                        u16::from_be_bytes(*pair)
                    }
                };
                let (pairs, rest) = bytes.as_chunks::<2>();
                let text = String::from_utf16(&pairs.iter().map(unit).collect::<Vec<_>>());
                text.ok().filter(|_| rest.is_empty()).map(Cow::Owned)
            }
            Self::Utf32 => {
                let (units, rest) = bytes.as_chunks::<4>();
                let text = units
                    .iter()
                    .map(|unit| char::from_u32(u32::from_be_bytes(*unit)));
                let text = text.collect::<Option<String>>();
                text.filter(|_| rest.is_empty()).map(Cow::Owned)
            }
            Self::Other(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes)
            }
        }
    }
}
