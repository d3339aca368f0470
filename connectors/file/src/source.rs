//! The source: each complete line of a file becomes a record; the source offset is the byte after
//! it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator};
use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigReport, Error, OffsetValue, Plugin, Result, SourceBatch, SourceConnector,
    SourceOffset, SourcePartition, SourcePosition, SourceTask, StoredOffsets, TaskPlan,
    async_trait,
};

use crate::lines::LineBuffer;
use crate::stdin::Stdin;
use crate::{check_allowed, failed, key, named, regular};

const KEYS: &[ConfigKey] = &[
    key(
        "file",
        ConfigType::String,
        DefaultValue::Null,
        Importance::High,
        "Source filename. If not specified, the standard input will be used",
    ),
    key(
        "topic",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "The topic to publish data to",
    )
    .check(KeyValidator::NonEmpty),
    key(
        "batch.size",
        ConfigType::Int,
        DefaultValue::Text("2000"),
        Importance::Low,
        "The maximum number of records the source task can read from the file each time it is polled",
    ),
];

/// Polling interval for a file that has no new data or does not exist yet.
const IDLE: Duration = Duration::from_secs(1);
/// Maximum number of bytes per read.
const CHUNK: u64 = 256 * 1024;

/// The FileStreamSource connector.
pub struct FileStreamSource {
    files: AllowedFiles,
}

impl FileStreamSource {
    /// Creates a connector that may read only the files in `files`.
    pub fn new(files: AllowedFiles) -> Self {
        Self { files }
    }
}

impl Plugin for FileStreamSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSourceConnector"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }
}

#[async_trait]
impl SourceConnector for FileStreamSource {
    /// Plans one task whatever `tasks.max` allows, because the lines of a file are read in order.
    async fn plan(&self, config: &Config, _max_tasks: usize) -> Result<TaskPlan> {
        Ok(TaskPlan {
            tasks: vec![config.clone()],
            again_after: None,
        })
    }

    async fn open(&self, task: &Config, stored: &dyn StoredOffsets) -> Result<Box<dyn SourceTask>> {
        let (file, topic, batch_size) = task.read(KEYS, |keys| {
            (
                named(keys.text_opt("file")),
                keys.text("topic"),
                keys.unsigned("batch.size"),
            )
        })?;
        let mut lines = LineBuffer::new(
            topic.into(),
            usize::try_from(batch_size).unwrap_or(usize::MAX).max(1),
        );
        let Some(file) = file else {
            return Ok(Box::new(StdinSourceTask {
                stdin: Stdin::open(),
                lines,
            }));
        };
        let partition = SourcePartition(vec![(
            "filename".to_owned(),
            OffsetValue::Text(file.clone()),
        )]);
        let stored = stored
            .read(std::slice::from_ref(&partition))
            .await?
            .pop()
            .flatten();
        lines.position = stored
            .as_ref()
            .map(position)
            .transpose()?
            .unwrap_or_default();
        Ok(Box::new(FileSourceTask {
            files: self.files.clone(),
            path: file.into(),
            partition,
            lines,
            open: None,
        }))
    }

    fn check_positions(&self, config: &Config, positions: &[SourcePosition]) -> Result<bool> {
        if named(config.get("file").map(|file| file.trim().to_owned())).is_none() {
            return Err(Error::config(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is because stdin is used for \
                 input and offsets are not tracked.",
            ));
        }
        for (partition, offset) in positions
            .iter()
            .filter_map(|at| Some((&at.partition, at.offset.as_ref()?)))
        {
            position(offset)?;
            if partition.get("filename").is_none() {
                return Err(Error::config(
                    "Partition objects should contain the key 'filename'",
                ));
            }
        }
        Ok(true)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        check_allowed(&self.files, config, report);
    }
}

/// Returns the byte position in a stored offset.
/// Errors: `Config`, with Kafka's texts.
fn position(offset: &SourceOffset) -> Result<u64> {
    match offset.get("position") {
        Some(OffsetValue::Long(position)) => u64::try_from(*position).map_err(|_| {
            Error::config(
                "The value for the 'position' key in the offset should be a non-negative value",
            )
        }),
        Some(_) => Err(Error::config(
            "The value for the 'position' key in the offset is expected to be a Long value",
        )),
        None => Err(Error::config(
            "Offset objects should either be null or contain the key 'position'",
        )),
    }
}

struct FileSourceTask {
    files: AllowedFiles,
    path: PathBuf,
    partition: SourcePartition,
    lines: LineBuffer,
    open: Option<File>,
}

impl FileSourceTask {
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
        })
    }

    async fn close(self: Box<Self>) {}
}

/// Reads standard input, which has no positions: lines that were read but not delivered when the
/// worker ends are lost.
struct StdinSourceTask {
    stdin: Stdin,
    lines: LineBuffer,
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
