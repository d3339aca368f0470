//! The source: each complete line of a file becomes a record, and the offset is the byte behind it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator};
use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigReport, Datum, Error, OffsetValue, Plugin, Record, Result, Schema, SchemaType,
    SourceBatch, SourceConnector, SourceOffset, SourcePartition, SourcePosition, SourceTask,
    StoredOffsets, TaskPlan, Value, async_trait,
};

use crate::stdin::Stdin;
use crate::{failed, key, named, regular};

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

/// How often a file without anything new, or one that does not exist yet, is looked at.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes read from the file at once.
const CHUNK: u64 = 256 * 1024;
/// Bytes that a line may have.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// The source connector.
pub struct FileStreamSource {
    files: AllowedFiles,
}

impl FileStreamSource {
    /// A connector that reads these files only.
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
    /// One task, whatever `tasks.max` allows: a file has one order.
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

    fn check_positions(&self, positions: &[SourcePosition]) -> Result<()> {
        positions
            .iter()
            .filter_map(|at| Some((&at.partition, at.offset.as_ref()?)))
            .try_for_each(|(partition, offset)| {
                position(offset)?;
                match partition.get("filename") {
                    Some(_) => Ok(()),
                    None => Err(Error::config(
                        "Partition objects should contain the key 'filename'",
                    )),
                }
            })
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        let file = config
            .get("file")
            .map(str::trim)
            .filter(|file| !file.is_empty());
        if let Some(Err(error)) = file.map(|file| self.files.admit(file.as_ref())) {
            report.error("file", error.to_string());
        }
    }
}

/// The byte that a stored offset names. Errors: `Config`, with Kafka's texts.
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

/// Cuts bytes into lines.
struct LineBuffer {
    topic: Arc<str>,
    schema: Arc<Schema>,
    batch_size: usize,
    /// What was read and not handed out yet: whole lines, and the beginning of the next one.
    unread: Vec<u8>,
    /// Where in the file `unread` begins.
    position: u64,
}

impl LineBuffer {
    fn new(topic: Arc<str>, batch_size: usize) -> Self {
        Self {
            topic,
            schema: Arc::new(Schema::of(SchemaType::String)),
            batch_size,
            unread: Vec::new(),
            position: 0,
        }
    }

    /// The complete lines, at most a batch of them. A line ends with `\n`, `\r\n` or `\r`; a `\r` at the end of what is
    /// there may be the first half of `\r\n`.
    fn take(&mut self) -> Vec<Record> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let timestamp_ms = i64::try_from(now.as_millis()).ok();
        let (mut records, mut from) = (Vec::new(), 0);
        while records.len() < self.batch_size
            && let Some(length) = memchr::memchr2(b'\n', b'\r', &self.unread[from..])
        {
            let end = from + length;
            let next = match (self.unread[end], self.unread.get(end + 1)) {
                (b'\r', None) => break,
                (b'\r', Some(b'\n')) => end + 2,
                _ => end + 1,
            };
            let text = String::from_utf8_lossy(&self.unread[from..end])
                .into_owned()
                .into_boxed_str();
            records.push(Record {
                topic: self.topic.clone(),
                partition: None,
                key: Datum::NONE,
                value: Datum::new(self.schema.clone(), Value::Text(text)),
                timestamp_ms,
                headers: Vec::new(),
            });
            from = next;
        }
        self.unread.drain(..from);
        self.position += from as u64;
        records
    }

    /// Adds what was read. Errors: `Config` for a line without an end.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.unread.len() + bytes.len() > MAX_LINE {
            return Err(Error::config(format!(
                "the line that begins at byte {} has more than {MAX_LINE} bytes: is it a file of lines?",
                self.position
            )));
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
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
    /// The file, behind what was read of it; `None` while it does not exist.
    fn file(&mut self) -> Result<Option<&mut File>> {
        if self.open.is_none() {
            let path = self.files.admit(&self.path)?;
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => regular(
                    opened.map_err(|error| failed("opened", &path, error))?,
                    &path,
                )?,
            };
            let at = self.lines.position + self.lines.unread.len() as u64;
            file.seek(SeekFrom::Start(at))
                .map_err(|error| failed("read", &path, error))?;
            self.open = Some(file);
        }
        Ok(self.open.as_mut())
    }

    /// Looks for what an offset cannot follow: the file was cut, or another one has its name. Errors: `Config`.
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
            "{} {} after it was read up to byte {}: a file may only grow. Stop the connector and reset its offsets \
             (DELETE /connectors/NAME/offsets) to read what is there from its beginning",
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
    /// Never waits, so that it cannot be dropped half-way.
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
                // How far it came is not known: the next call opens the file again.
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

/// Reads standard input, which has no positions: what was read and not delivered when the worker ends is lost.
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
