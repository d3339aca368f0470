//! Batches of records become chunks of bytes for the thread that writes them. Batches that come one right after the
//! other share a chunk: each hand-over costs as much as many records.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use connector_api::{Batch, Record, Result};
use tokio::sync::mpsc::Sender;

use super::codec::{Chunk, Codec};
use super::deliver::replace;
use super::policy::{Policy, Verdict};

/// Bytes of one chunk: large enough to be worth a hand-over, small enough for the processor's cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// Encodes what a source polls.
pub struct Encoder {
    codec: Codec,
    policy: Policy,
    chunks: Sender<Chunk>,
    /// Chunks that were written, whose buffers are used again.
    spares: Receiver<Chunk>,
    chunk: Chunk,
    /// The writer waits for the rest of what it was given.
    unfinished: bool,
}

impl Encoder {
    /// One that sends to `chunks`, and takes buffers from `spares`.
    pub fn new(codec: Codec, policy: Policy, chunks: Sender<Chunk>, spares: Receiver<Chunk>) -> Self {
        let chunk = spares.try_recv().unwrap_or_default();
        Self { codec, policy, chunks, spares, chunk, unfinished: false }
    }

    /// Encodes a batch; sends chunks that are full, and after the last batch for now the rest. `false`: nobody takes
    /// them any more. Dropped in the middle it leaves a batch in halves, which can only end in giving all of it up.
    /// Errors: that of a record, unless it is to be left out.
    pub async fn take(&mut self, batch: Batch) -> Result<bool> {
        let Batch { records, positions, idle_for } = batch;
        self.chunk.complete = false;
        for record in records {
            self.encode(record)?;
            if self.chunk.len() >= CHUNK_BYTES && !self.send().await {
                return Ok(false);
            }
        }
        replace(&mut self.chunk.positions, positions);
        self.chunk.complete = true;
        self.chunk.last = idle_for.is_some();
        let due = if self.chunk.last { self.holds_news() || self.unfinished } else { self.chunk.len() >= CHUNK_BYTES };
        Ok(!due || self.send().await)
    }

    /// Whether something waits here for more to come.
    pub fn holds_news(&self) -> bool {
        !(self.chunk.is_empty() && self.chunk.positions.is_empty())
    }

    /// Sends what there is. `false`: nobody takes it any more. Cancel safe.
    pub async fn send(&mut self) -> bool {
        let Ok(room) = self.chunks.reserve().await else { return false };
        self.unfinished = !self.chunk.last;
        room.send(std::mem::replace(&mut self.chunk, self.spares.try_recv().unwrap_or_default()));
        true
    }

    fn encode(&mut self, record: Record) -> Result<()> {
        let topic = Arc::clone(&record.topic);
        let Err((stage, class, error)) = self.codec.encode(record, &mut self.chunk) else { return Ok(()) };
        let error = error.context(format_args!("topic {topic}, {} ({class})", stage.name()));
        match self.policy.judge(error.kind(), stage, 1, Duration::ZERO) {
            Verdict::Skip => {
                tracing::warn!(%error, "record left out");
                Ok(())
            }
            Verdict::Retry(_) | Verdict::Fail => Err(error),
        }
    }
}
