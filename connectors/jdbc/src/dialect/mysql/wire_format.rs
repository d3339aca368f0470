//! Dates and times of the binary protocol, as bytes and as SQL text. Pure.
//!
//! Layout: MariaDB's "Resultset row, binary": a length byte, then only the parts that are not zero.

#![expect(
    clippy::indexing_slicing,
    reason = "lengths are checked before the bytes are read"
)]

use connector_api::text::append;

use crate::calendar::{SECOND, span_text};

/// A DATE, DATETIME or TIMESTAMP as the server stores it; parts may be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WireDateTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

/// A TIME in microseconds: from -838:59:59.999999 to 838:59:59.999999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WireTime(pub i64);

impl WireDateTime {
    /// Decodes a value with its length byte. `None` if the bytes are cut short.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&len, b) = bytes.split_first()?;
        let b = b.get(..usize::from(len))?;
        let mut out = Self::default();
        if b.len() >= 4 {
            out.year = u16::from_le_bytes([b[0], b[1]]);
            (out.month, out.day) = (b[2], b[3]);
        }
        if b.len() >= 7 {
            (out.hour, out.minute, out.second) = (b[4], b[5], b[6]);
        }
        if b.len() >= 11 {
            out.micros = u32::from_le_bytes([b[7], b[8], b[9], b[10]]);
        }
        Some(out)
    }

    /// Returns `2024-01-02`.
    pub(crate) fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// Returns `2024-01-02 03:04:05`, followed by six digits if there is a fraction.
    pub(crate) fn text(&self) -> String {
        let mut out = self.date_text();
        append(
            &mut out,
            format_args!(" {:02}:{:02}:{:02}", self.hour, self.minute, self.second),
        );
        if self.micros != 0 {
            append(&mut out, format_args!(".{:06}", self.micros));
        }
        out
    }
}

impl WireTime {
    /// Decodes a value with its length byte. `None` if the bytes are cut short.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&len, b) = bytes.split_first()?;
        let b = b.get(..usize::from(len))?;
        if b.len() < 8 {
            return Some(Self::default());
        }
        let days = i64::from(u32::from_le_bytes([b[1], b[2], b[3], b[4]]));
        let seconds = ((days * 24 + i64::from(b[5])) * 60 + i64::from(b[6])) * 60 + i64::from(b[7]);
        let micros = match b.get(8..12) {
            Some(m) => i64::from(u32::from_le_bytes([m[0], m[1], m[2], m[3]])),
            None => 0,
        };
        let span = seconds * SECOND + micros;
        Some(Self(if b[0] == 0 { span } else { -span }))
    }

    /// Returns `-838:59:59`, followed by six digits if there is a fraction.
    pub(crate) fn text(self) -> String {
        span_text(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{WireDateTime, WireTime};

    #[test]
    fn parts_left_out_are_zero() {
        for (bytes, want) in [
            (&[0][..], "0000-00-00 00:00:00"),
            (&[4, 0xe8, 7, 2, 29], "2024-02-29 00:00:00"),
            (&[7, 0xe8, 7, 0, 0, 1, 2, 3], "2024-00-00 01:02:03"),
            (
                &[11, 0xe8, 7, 2, 29, 1, 2, 3, 1, 0, 0, 0],
                "2024-02-29 01:02:03.000001",
            ),
        ] {
            assert_eq!(WireDateTime::read(bytes).unwrap().text(), want);
        }
        for (bytes, want) in [
            (&[0][..], "00:00:00"),
            (&[8, 1, 34, 0, 0, 0, 22, 59, 59], "-838:59:59"),
            (&[12, 0, 0, 0, 0, 0, 1, 2, 3, 64, 66, 15, 0], "01:02:04"),
        ] {
            assert_eq!(WireTime::read(bytes).unwrap().text(), want);
        }
        assert!(WireDateTime::read(&[4, 1]).is_none() && WireTime::read(&[]).is_none());
    }
}
