//! How large statements may be that carry rows: a server hangs up over larger ones, and would each time. Pure.

use connector_api::{Error, Result};

use crate::driver::Param;

/// Bytes of a statement beside its parameters: MySQL's header of `COM_STMT_EXECUTE`, and the mark for new types.
const HEADER: usize = 11;

/// What a server takes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Largest {
    /// Bytes of a statement with its parameters.
    pub bytes: usize,
    /// Whether `max_allowed_packet` says so, which can be raised.
    pub is_set: bool,
}

impl Largest {
    /// Whether a statement with these parameters is taken. Errors: `Record`.
    pub fn takes(self, params: &[Param<'_>]) -> Result<()> {
        self.admits(HEADER + params.len().div_ceil(8) + params.iter().map(size).sum::<usize>())
    }

    /// Whether so many bytes are taken. Errors: `Record`.
    pub fn admits(self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let most = self.bytes;
        Err(Error::record(if self.is_set {
            format!(
                "the row takes {bytes} bytes in a statement, and the server's max_allowed_packet is {most}: raise it there \
                 (SET GLOBAL max_allowed_packet, and in the server's settings; at most 1 GiB), or leave the record out"
            )
        } else {
            format!(
                "the row takes {bytes} bytes in a statement, and the database takes {most} at most: leave the record out"
            )
        }))
    }
}

/// Bytes of a parameter in MySQL's binary protocol, its type included; PostgreSQL and SQLite need about as many.
fn size(param: &Param<'_>) -> usize {
    const TYPE: usize = 2;
    let counted = |length: usize| {
        let own = match length {
            0..=250 => 1,
            251..=0xffff => 3,
            0x1_0000..=0xff_ffff => 4,
            _ => 9,
        };
        own + length
    };
    TYPE + match param {
        Param::Null => 0,
        Param::Bool(_) => 1,
        Param::F32(_) => 4,
        Param::I64(_) | Param::U64(_) | Param::F64(_) => 8,
        Param::Text(text) => counted(text.len()),
        Param::Bytes(bytes) => counted(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Kind;

    use super::{Largest, Param};

    #[test]
    fn a_statement_is_taken_up_to_the_last_byte() {
        let text = "x".repeat(1000);
        let params = [Param::I64(1), Param::Null, Param::Text(text.as_str().into())];
        let largest = |bytes| Largest { bytes, is_set: true };
        // header, NULL flags, types, the number, the text with its length
        let bytes = 11 + 1 + 6 + 8 + 1003;
        assert!(largest(bytes).takes(&params).is_ok());
        let error = largest(bytes - 1).takes(&params).unwrap_err();
        assert_eq!(error.kind(), Kind::Record);
        assert!(error.message().contains("1029 bytes") && error.message().contains("max_allowed_packet is 1028"));
    }
}
