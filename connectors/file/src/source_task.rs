//! The source task: each complete line of a file becomes a record; the source offset is the byte
//! after it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use connector_api::files::AllowedFiles;
use connector_api::{
    Error, OffsetValue, Result, SourceBatch, SourceOffset, SourcePartition, SourcePosition,
    SourceTask, async_trait,
};

use crate::lines::LineBuffer;
use crate::stdin::Stdin;
use crate::{failed, regular};

/// Polling interval for a file that has no new data or does not exist yet.
const IDLE: Duration = Duration::from_secs(1);
/// Maximum number of bytes per read.
const CHUNK: u64 = 256 * 1024;

/// Reads the lines of a file.
pub(crate) struct FileSourceTask {
    files: AllowedFiles,
    path: PathBuf,
    partition: SourcePartition,
    lines: LineBuffer,
    open: Option<File>,
}

impl FileSourceTask {
    /// `partition` and the position of `lines` are where the task continues.
    pub(crate) fn new(
        files: AllowedFiles,
        path: PathBuf,
        partition: SourcePartition,
        lines: LineBuffer,
    ) -> Self {
        Self {
            files,
            path,
            partition,
            lines,
            open: None,
        }
    }

    /// Returns the file, opened at the first byte not yet read; `None` while it does not exist.
    fn file(&mut self) -> Result<Option<&mut File>> {
        if self.open.is_none() {
            let path = self.files.admit(&self.path)?;
            regular(&path)?;
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => opened.map_err(|error| failed("opened", &path, error))?,
            };
            self.check_unchanged(&file)?;
            let at = self.lines.position + self.lines.unread.len() as u64;
            file.seek(SeekFrom::Start(at))
                .map_err(|error| failed("read", &path, error))?;
            self.open = Some(file);
        }
        Ok(self.open.as_mut())
    }

    /// Detects changes after which the offset is invalid: the file was truncated, or replaced by
    /// another one.
    /// Errors: `Config`.
    fn check_unchanged(&self, file: &File) -> Result<()> {
        let found = file
            .metadata()
            .map_err(|error| failed("examined", &self.path, error))?;
        let named = fs::metadata(&self.path).ok();
        let replaced =
            named.is_some_and(|named| (named.dev(), named.ino()) != (found.dev(), found.ino()));
        if !replaced && found.len() >= self.lines.position + self.lines.unread.len() as u64 {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} {} after it was read up to byte {}: the file may only grow. Stop the connector and \
             reset its offsets (DELETE /connectors/NAME/offsets) to read the file from its \
             beginning",
            self.path.display(),
            if replaced {
                "was replaced"
            } else {
                "became shorter"
            },
            self.lines.position
        )))
    }
}

#[async_trait]
impl SourceTask for FileSourceTask {
    /// Contains no await point, so that a dropped future cannot lose lines.
    async fn poll(&mut self) -> Result<SourceBatch> {
        let mut records = self.lines.take();
        let mut read = 1;
        if records.is_empty() {
            let Some(file) = self.file()? else {
                return Ok(SourceBatch {
                    idle_for: Some(IDLE),
                    ..SourceBatch::default()
                });
            };
            let mut bytes = Vec::new();
            if let Err(error) = file.take(CHUNK).read_to_end(&mut bytes) {
                // The file position is unknown after an error: the next call opens the file again.
                self.open = None;
                return Err(failed("read", &self.path, error));
            }
            read = bytes.len();
            self.lines.add(&bytes)?;
            records = self.lines.take();
        }
        if let (0, Some(file)) = (read, &self.open) {
            self.check_unchanged(file)?;
        }
        let offset = SourceOffset(vec![(
            "position".to_owned(),
            OffsetValue::Long(self.lines.position.cast_signed()),
        )]);
        let position = SourcePosition {
            partition: self.partition.clone(),
            offset: Some(offset),
        };
        let positions = if records.is_empty() {
            Vec::new()
        } else {
            vec![position]
        };
        Ok(SourceBatch {
            records,
            positions,
            idle_for: (read == 0).then_some(IDLE),
            is_partial: false,
        })
    }

    async fn close(self: Box<Self>) {}
}

/// Reads standard input, which has no positions: lines that were read but not delivered when the
/// worker ends are lost.
pub(crate) struct StdinSourceTask {
    stdin: Stdin,
    lines: LineBuffer,
}

impl StdinSourceTask {
    pub(crate) fn new(stdin: Stdin, lines: LineBuffer) -> Self {
        Self { stdin, lines }
    }
}

#[async_trait]
impl SourceTask for StdinSourceTask {
    async fn poll(&mut self) -> Result<SourceBatch> {
        let mut records = self.lines.take();
        if records.is_empty() {
            match self.stdin.read() {
                Some(bytes) => self.lines.add(&bytes)?,
                None => {
                    return Ok(SourceBatch {
                        idle_for: Some(IDLE),
                        ..SourceBatch::default()
                    });
                }
            }
            records = self.lines.take();
        }
        Ok(SourceBatch {
            records,
            ..SourceBatch::default()
        })
    }

    async fn close(self: Box<Self>) {}
}
