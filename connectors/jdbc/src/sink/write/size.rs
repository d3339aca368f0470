//! Limits the size of statements: a server hangs up over one that is too large, and would do so at
//! each retry. Pure.

use connector_api::{Error, Result};

use crate::driver::SqlParam;

/// Bytes of a statement beside its parameters: MySQL's header of `COM_STMT_EXECUTE`, and the flag
/// for new types.
const HEADER: usize = 11;

/// The largest statement that a server accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeLimits {
    /// Most bytes of a statement with its parameters.
    pub bytes: usize,
    /// True if `max_allowed_packet` is the limit, which an administrator can raise.
    pub is_set: bool,
}

impl SizeLimits {
    /// Checks a statement with these parameters against the limit.
    /// Errors: `Record` if it is too large.
    pub fn takes(self, params: &[SqlParam<'_>]) -> Result<()> {
        self.admits(HEADER + params.len().div_ceil(8) + params.iter().map(size).sum::<usize>())
    }

    /// Checks that many bytes against the limit.
    /// Errors: `Record` if there are too many.
    pub fn admits(self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let most = self.bytes;
        Err(Error::record(if self.is_set {
            format!(
                "the row takes {bytes} bytes in a statement, and the server's max_allowed_packet \
                 is {most}: increase it there (SET GLOBAL max_allowed_packet, and in the server's \
                 settings; at most 1 GiB), or skip the record"
            )
        } else {
            format!(
                "the row takes {bytes} bytes in a statement, but the database accepts at most \
                 {most}: skip the record"
            )
        }))
    }
}

/// Bytes of a parameter in MySQL's binary protocol, including its type; PostgreSQL and SQLite need
/// about as many.
fn size(param: &SqlParam<'_>) -> usize {
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
        SqlParam::Null => 0,
        SqlParam::Bool(_) => 1,
        SqlParam::F32(_) => 4,
        SqlParam::I64(_) | SqlParam::U64(_) | SqlParam::F64(_) => 8,
        SqlParam::Text(text) => counted(text.len()),
        SqlParam::Bytes(bytes) => counted(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::ErrorKind;

    use super::{SizeLimits, SqlParam};

    #[test]
    fn a_statement_is_taken_up_to_the_last_byte() {
        let text = "x".repeat(1000);
        let params = [
            SqlParam::I64(1),
            SqlParam::Null,
            SqlParam::Text(text.as_str().into()),
        ];
        let largest = |bytes| SizeLimits {
            bytes,
            is_set: true,
        };
        // header, NULL flags, types, the number, the text with its length
        let bytes = 11 + 1 + 6 + 8 + 1003;
        assert!(largest(bytes).takes(&params).is_ok());
        let error = largest(bytes - 1).takes(&params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Record);
        assert!(
            error.message().contains("1029 bytes")
                && error.message().contains("max_allowed_packet is 1028")
        );
    }
}
