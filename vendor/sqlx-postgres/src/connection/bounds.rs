//! Rowferry's addition: how much of what a server sends is kept. Without it a server's numbers size allocations.

use futures_util::TryStreamExt;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;

use crate::error::Error;
use crate::message::BackendMessageFormat;
use crate::{PgConnection, PgRow};

/// Bytes of the description of one result's columns. PostgreSQL has at most 1,664 of them, of less than 100 bytes each.
pub(crate) const MAX_METADATA_SIZE: usize = 8 << 20;

/// Bytes of the descriptions that a connection may have cached in all.
pub(crate) const MAX_CACHED_METADATA: usize = 32 << 20;

/// Bytes of a message, where the options say nothing else.
pub(crate) const DEFAULT_MAX_MESSAGE_SIZE: usize = 64 << 20;

/// Settings that a server reports, and the bytes of each: PostgreSQL has a dozen short ones.
pub(crate) const MAX_PARAMETERS: usize = 256;
pub(crate) const MAX_PARAMETER_SIZE: usize = 8 << 10;

/// Rounds of hashing that a server may ask for at login; PostgreSQL's default is 4,096.
pub(crate) const MAX_SCRAM_ITERATIONS: u32 = 1_000_000;

/// After how many messages other tasks get a turn: a server that always has more to send leaves no other occasion.
const MESSAGES_IN_A_TURN: u32 = 1024;

/// How much the server has sent.
#[derive(Debug)]
pub(crate) struct Bounds {
    max: usize,
    messages: u32,
    pub(crate) cached_metadata: usize,
}

impl Bounds {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, messages: 0, cached_metadata: 0 }
    }

    /// Whether a message of that length, its own four bytes included, may be read. Errors: `Protocol`.
    pub(crate) fn admit(&self, format: &BackendMessageFormat, length: usize) -> Result<(), Error> {
        let max = match format {
            BackendMessageFormat::RowDescription => self.max.min(MAX_METADATA_SIZE),
            BackendMessageFormat::ParameterStatus => MAX_PARAMETER_SIZE,
            _ => self.max,
        };
        if length > max {
            return Err(err_protocol!(
                "size limit: the server sends a message ({format:?}) of more than {max} bytes"
            ));
        }
        if length < 4 {
            return Err(err_protocol!("a message's length is {length}, less than its own four bytes"));
        }
        Ok(())
    }

    /// Lets other tasks have a turn now and then.
    pub(crate) async fn turn(&mut self) {
        self.messages = self.messages.wrapping_add(1);
        if self.messages % MESSAGES_IN_A_TURN == 0 {
            crate::rt::yield_now().await;
        }
    }
}

/// The rows of a query about types or columns. Errors: `Protocol` if they are more than such things can be.
pub(crate) async fn fetch_all(conn: &mut PgConnection, query: String) -> Result<Vec<PgRow>, Error> {
    let mut size = 0;
    let mut rows = Vec::new();
    {
        let mut stream = raw_sql(AssertSqlSafe(query)).fetch(&mut *conn);
        while let Some(row) = stream.try_next().await? {
            size += row.data.storage.len() + row.data.values.len() * size_of::<usize>();
            if size > MAX_METADATA_SIZE {
                return Err(err_protocol!(
                    "size limit: the server describes types in more than {MAX_METADATA_SIZE} bytes"
                ));
            }
            rows.push(row);
        }
    }
    conn.inner.stream.bounds.cached_metadata += size;
    Ok(rows)
}
