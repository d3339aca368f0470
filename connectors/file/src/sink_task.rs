//! The sink task: each record becomes a line appended to a file. Lines and offsets are committed
//! together (`journal`).

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use connector_api::files::AllowedFiles;
use connector_api::{
    Datum, Error, PutReport, Rejected, Result, SinkRecord, SinkTask, TopicOffset, TopicPartition,
    Value, async_trait, java,
};

use crate::journal::{JournalOwner, OffsetJournal};

/// A file, and the files that the worker allows.
pub(crate) struct SinkFile {
    pub files: AllowedFiles,
    pub path: PathBuf,
}

/// Writes to a file, or to standard output if `place` is `None`; only a file stores offsets.
#[derive(Default)]
pub(crate) struct FileSinkTask {
    place: Option<SinkFile>,
    owner: JournalOwner,
    /// The epoch of each partition that this task owns; another epoch in the journal means that the
    /// task is fenced.
    epochs: HashMap<TopicPartition, u64>,
    /// Lines that were put but not committed. `next` holds the offsets to commit with them.
    lines: Vec<u8>,
    next: Vec<TopicOffset>,
}

impl FileSinkTask {
    pub(crate) fn new(place: Option<SinkFile>, owner: JournalOwner) -> Self {
        Self {
            place,
            owner,
            ..Self::default()
        }
    }

    pub(crate) fn owner(&self) -> &JournalOwner {
        &self.owner
    }

    /// Opens the offsets stored next to the file; `None` for standard output.
    pub(crate) fn journal(&self) -> Result<Option<OffsetJournal>> {
        self.place
            .as_ref()
            .map(|place| OffsetJournal::open(&place.files, &place.path))
            .transpose()
    }

    /// Returns the first offset of a partition that is not yet durable; records below it are
    /// skipped.
    /// Errors: `Fenced`.
    fn durable(
        &self,
        journal: &mut Option<OffsetJournal>,
        at: &TopicPartition,
    ) -> Result<Option<i64>> {
        let Some(journal) = journal else {
            return Ok(None);
        };
        let epoch = self.epochs.get(at);
        let epoch = epoch.ok_or_else(|| {
            Error::fatal(format!("{}-{} is not assigned", at.topic, at.partition))
        })?;
        journal.next(&self.owner, at, *epoch)
    }
}

#[async_trait]
impl SinkTask for FileSinkTask {
    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        let Some(mut journal) = self.journal()? else {
            return Ok(Vec::new());
        };
        let mut stored = Vec::new();
        for at in partitions {
            let (epoch, next) = journal.claim(&self.owner, at);
            self.epochs.insert(at.clone(), epoch);
            let next = next.map(|offset| TopicOffset {
                topic: at.topic.clone(),
                partition: at.partition,
                offset,
            });
            stored.extend(next);
        }
        // The raised epochs must be durable before the offsets are returned: from here on, a put or
        // commit of an earlier owner is fenced.
        journal.store()?;
        Ok(stored)
    }

    async fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.epochs.retain(|at, _| !partitions.contains(at));
        Ok(())
    }

    /// Buffers the lines for [`SinkTask::commit`], except those that an earlier commit, then in
    /// doubt, turns out to have written.
    async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport> {
        self.lines.clear();
        self.next = next.to_vec();
        let mut journal = self.journal()?;
        let mut durable = Vec::with_capacity(next.len());
        for TopicOffset {
            topic, partition, ..
        } in next
        {
            let at = TopicPartition {
                topic: topic.clone(),
                partition: *partition,
            };
            durable.extend(self.durable(&mut journal, &at)?.map(|from| (at, from)));
        }
        let (mut report, mut text) = (PutReport::default(), String::new());
        for (index, SinkRecord { record, at }) in batch.iter().enumerate() {
            let is_of = |from: &&(TopicPartition, i64)| {
                from.0.partition == at.partition && from.0.topic == at.topic
            };
            if durable
                .iter()
                .find(is_of)
                .is_some_and(|(_, from)| at.offset < *from)
            {
                continue;
            }
            let written = write_line(&record.value, &mut self.lines, &mut text);
            report
                .rejected
                .extend(written.err().map(|error| Rejected { index, error }));
        }
        Ok(report)
    }

    async fn commit(&mut self) -> Result<()> {
        let mut journal = self.journal()?;
        let lines = std::mem::take(&mut self.lines);
        let mut next = Vec::new();
        for TopicOffset {
            topic,
            partition,
            offset,
        } in std::mem::take(&mut self.next)
        {
            let at = TopicPartition { topic, partition };
            // Check the epoch again under the lock: another task may have taken over since the put.
            self.durable(&mut journal, &at)?;
            next.push((self.owner.clone(), at, offset));
        }
        match journal {
            Some(journal) => journal.commit(&lines, next),
            None => {
                let mut out = std::io::stdout().lock();
                let written = out.write_all(&lines).and_then(|()| out.flush());
                written.map_err(|error| Error::retry(format!("standard output: {error}")))
            }
        }
    }

    async fn rollback(&mut self) -> Result<()> {
        self.lines.clear();
        self.next.clear();
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

/// Appends a value and a line end. Text is written as by Kafka's file sink, which uses Java's
/// `toString`; bytes, which have no text form in Java, are written as they are.
/// Errors: `Record` for bytes nested in other values.
fn write_line(value: &Datum, lines: &mut Vec<u8>, text: &mut String) -> Result<()> {
    match &value.value {
        Value::Text(text) => lines.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => lines.extend_from_slice(bytes),
        other => {
            text.clear();
            java::write_text(value.schema.as_deref(), other, text)?;
            lines.extend_from_slice(text.as_bytes());
        }
    }
    lines.push(b'\n');
    Ok(())
}
