//! Rowferry's addition: how much of what a server sends is kept. Without it a server's numbers size allocations.

use crate::error::Error;

/// Columns of a result: the count in the answer to a prepared statement has 16 bits.
pub(crate) const MAX_COLUMNS: usize = 65_535;

/// Bytes of the column and parameter definitions of one statement. MariaDB and MySQL have at most 4,096 columns, whose
/// definitions take less than 1,000 bytes each unless every name is as long as it may be.
pub(crate) const MAX_METADATA_SIZE: usize = 8 << 20;

/// Bytes of the definitions that a connection's cached statements may have had in all.
pub(crate) const MAX_CACHED_METADATA: usize = 32 << 20;

/// Bytes of a message, where the options say nothing else.
pub(crate) const DEFAULT_MAX_MESSAGE_SIZE: usize = 64 << 20;

/// After how many packets other tasks get a turn: a server that always has more to send leaves no other occasion.
const PACKETS_IN_A_TURN: u32 = 1024;

/// What has been received and not been handed out or dropped yet.
#[derive(Debug)]
pub(crate) struct Bounds {
    max: usize,
    held: usize,
    packets: u32,
    pub(crate) cached_metadata: usize,
}

impl Bounds {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, held: 0, packets: 0, cached_metadata: 0 }
    }

    /// What was received is handed out or dropped.
    pub(crate) fn release(&mut self) {
        self.held = 0;
    }

    /// Counts a packet that is about to be read. Errors: `Protocol` if more would be held than allowed.
    pub(crate) async fn admit(&mut self, size: usize) -> Result<(), Error> {
        self.held = self.held.saturating_add(size);
        if self.held > self.max {
            return Err(err_protocol!(
                "size limit: the server sends a message of more than {} bytes",
                self.max
            ));
        }
        self.packets = self.packets.wrapping_add(1);
        if self.packets % PACKETS_IN_A_TURN == 0 {
            crate::rt::yield_now().await;
        }
        Ok(())
    }

    /// The number of columns, if it is possible. Errors: `Protocol`.
    pub(crate) fn columns(count: u64) -> Result<usize, Error> {
        usize::try_from(count).ok().filter(|count| *count <= MAX_COLUMNS).ok_or_else(|| {
            err_protocol!("size limit: the server announces {count} columns, more than {MAX_COLUMNS}")
        })
    }

    /// Counts what the definitions of a statement took. Errors: `Protocol`.
    pub(crate) fn metadata(total: usize) -> Result<(), Error> {
        if total > MAX_METADATA_SIZE {
            return Err(err_protocol!(
                "size limit: the server sends column definitions of more than {MAX_METADATA_SIZE} bytes"
            ));
        }
        Ok(())
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }
}
