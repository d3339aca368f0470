//! The offsets that a sink stores beside its file, in `FILE.offsets`: the next offset of each
//! partition, and the append in progress. A file system has no transactions; the journal makes
//! lines and offsets durable together:
//!
//! 1. the journal records the byte at which the append starts;
//! 2. the lines are appended and synced;
//! 3. the journal records the new offsets and removes the append: this is the commit.
//!
//! A task that finds step 1 without step 3 truncates the file to that byte. Each step replaces the
//! whole journal (a new file is written, synced and renamed), under a lock on the data file. Each
//! partition has an epoch that every new owner raises; an owner that finds an epoch other than its
//! own is fenced.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_api::files::AllowedFiles;
use connector_api::{Error, Result, TopicPartition, fail_point};
use serde::{Deserialize, Serialize};

use crate::{failed, regular};

/// Number of attempts to take a lock that another task holds, and the pause between them.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
/// Maximum size of a journal, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A data file and its journal, locked. Dropping it releases the lock.
pub(crate) struct OffsetJournal {
    path: PathBuf,
    file: File,
    file_path: PathBuf,
    kept: StoredEntries,
}

#[derive(Default, Serialize, Deserialize)]
struct StoredEntries {
    /// The append in progress; it is truncated unless it is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    appending: Option<PendingAppend>,
    partitions: Vec<PartitionEntry>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct PendingAppend {
    from: u64,
    bytes: u64,
}

/// The state of one partition whose records were written to the file.
#[derive(Serialize, Deserialize)]
struct PartitionEntry {
    cluster: String,
    connector: String,
    topic: String,
    partition: i32,
    epoch: u64,
    /// Next offset to read; `None` until lines of the partition were committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// Identifies the entries of one connector: `task.cluster` and the connector's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalOwner {
    pub cluster: String,
    pub connector: String,
}

impl OffsetJournal {
    /// Locks the file, creating it if it does not exist, and truncates an append that was not
    /// committed.
    /// Errors: `Config`, `Denied`; `Retry` while another task holds the lock.
    pub(crate) fn open(files: &AllowedFiles, path: &Path) -> Result<Self> {
        let file_path = files.admit(path)?;
        let journal = files.admit_beside(&file_path, ".offsets")?;
        regular(&file_path)?;
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file_path);
        let file = opened.map_err(|error| failed("opened", &file_path, error))?;
        // Lock before reading: another task may be about to replace the journal.
        lock(&file, &file_path)?;
        let mut journal = Self {
            kept: read(&journal)?,
            path: journal,
            file,
            file_path,
        };
        journal.recover()?;
        Ok(journal)
    }

    fn recover(&mut self) -> Result<()> {
        let Some(PendingAppend { from, bytes }) = self.kept.appending.take() else {
            return Ok(());
        };
        let length = self.length()?;
        // Never truncate lines that are not ours.
        if length > from.saturating_add(bytes) {
            return Err(Error::config(format!(
                "another program appended to {} while lines were being written after byte {from}, \
                 as {} shows; remove `appending` from it to keep the file as it is",
                self.file_path.display(),
                self.path.display()
            )));
        }
        if length > from {
            let cut = self.file.set_len(from).and_then(|()| self.file.sync_data());
            cut.map_err(|error| failed("cut back", &self.file_path, error))?;
        }
        self.store()
    }

    fn length(&self) -> Result<u64> {
        self.file
            .metadata()
            .map(|found| found.len())
            .map_err(|error| failed("examined", &self.file_path, error))
    }

    fn entry(&mut self, owner: &JournalOwner, at: &TopicPartition) -> &mut PartitionEntry {
        let is_at = |entry: &PartitionEntry| {
            entry.partition == at.partition
                && *entry.topic == *at.topic
                && entry.cluster == owner.cluster
                && entry.connector == owner.connector
        };
        let found = self
            .kept
            .partitions
            .iter()
            .position(is_at)
            .unwrap_or_else(|| {
                self.kept.partitions.push(PartitionEntry {
                    cluster: owner.cluster.clone(),
                    connector: owner.connector.clone(),
                    topic: at.topic.to_string(),
                    partition: at.partition,
                    epoch: 0,
                    next: None,
                });
                self.kept.partitions.len() - 1
            });
        &mut self.kept.partitions[found]
    }

    /// Takes a partition over and raises its epoch; returns the new epoch and the next offset.
    /// Takes effect with [`OffsetJournal::store`].
    pub(crate) fn claim(
        &mut self,
        owner: &JournalOwner,
        at: &TopicPartition,
    ) -> (u64, Option<i64>) {
        let entry = self.entry(owner, at);
        entry.epoch += 1;
        (entry.epoch, entry.next)
    }

    /// Returns the next offset of a partition.
    /// Errors: `Fenced` if its epoch is not `epoch`.
    pub(crate) fn next(
        &mut self,
        owner: &JournalOwner,
        at: &TopicPartition,
        epoch: u64,
    ) -> Result<Option<i64>> {
        let entry = self.entry(owner, at);
        match entry.epoch == epoch {
            true => Ok(entry.next),
            false => Err(Error::fenced(format!(
                "another task has taken over {}-{}",
                at.topic, at.partition
            ))),
        }
    }

    /// Sets the next offset of a partition; takes effect with [`OffsetJournal::store`].
    pub(crate) fn set(&mut self, owner: &JournalOwner, at: &TopicPartition, next: Option<i64>) {
        self.entry(owner, at).next = next;
    }

    /// Deletes all offsets of a connector. Its epochs are raised rather than deleted, so that
    /// earlier tasks are fenced.
    pub(crate) fn reset(&mut self, owner: &JournalOwner) {
        let own = |entry: &&mut PartitionEntry| {
            entry.cluster == owner.cluster && entry.connector == owner.connector
        };
        for entry in self.kept.partitions.iter_mut().filter(own) {
            entry.epoch += 1;
            entry.next = None;
        }
    }

    /// Appends lines and stores the offsets, either both or neither.
    /// Errors: `Retry`, with the commit in doubt.
    pub(crate) fn commit(
        mut self,
        lines: &[u8],
        next: impl IntoIterator<Item = (JournalOwner, TopicPartition, i64)>,
    ) -> Result<()> {
        if !lines.is_empty() {
            // Record the append before it starts: after a crash, the next owner truncates the file
            // to `from`.
            self.kept.appending = Some(PendingAppend {
                from: self.length()?,
                bytes: lines.len() as u64,
            });
            self.store()?;
            fail_point::reach("file-sink.before-append")?;
            let written = self
                .file
                .write_all(lines)
                .and_then(|()| self.file.sync_data());
            written.map_err(|error| failed("written", &self.file_path, error))?;
            fail_point::reach("file-sink.before-commit")?;
        }
        // The commit: one replacement of the journal stores the offsets and ends the append. Until
        // then the lines do not count, although they are already synced.
        for (owner, at, offset) in next {
            self.set(&owner, &at, Some(offset));
        }
        self.kept.appending = None;
        self.store()?;
        fail_point::reach("file-sink.after-commit")
    }

    /// Replaces the journal on disk.
    /// Errors: `Retry`, `Denied`.
    pub(crate) fn store(&self) -> Result<()> {
        let text = serde_json::to_vec(&self.kept).map_err(|error| {
            Error::fatal("the journal cannot be written as JSON").caused_by(error)
        })?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        // Remove what a killed task left behind. `create_new` below does not follow a link.
        drop(fs::remove_file(&beside));
        // Sync before the rename, so that a crash leaves either the old journal or the complete new
        // one; sync the folder after it, so that the rename itself is durable.
        let replaced = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&beside)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| File::open(self.path.parent().unwrap_or(Path::new("."))))
            .and_then(|folder| folder.sync_all());
        replaced.map_err(|error| failed("replaced", &self.path, error))
    }
}

fn lock(file: &File, path: &Path) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(failed("locked", path, error)),
        }
    }
    Err(Error::retry(format!(
        "{} is locked by another task or worker",
        path.display()
    )))
}

fn read(path: &Path) -> Result<StoredEntries> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(StoredEntries::default());
        }
        Err(error) => return Err(failed("read", path, error)),
    }
    serde_json::from_slice(&text).map_err(|error| {
        let text = format!(
            "{} is not a file that FileStreamSink wrote: restore it, or move it away to start from \
             the offsets of the consumer group",
            path.display()
        );
        Error::config(text).caused_by(error)
    })
}
