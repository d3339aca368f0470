//! The source connector: its keys, its one task, and the offsets that it accepts.

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator};
use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigReport, Error, OffsetValue, Plugin, Result, SourceConnector, SourceOffset,
    SourcePartition, SourcePosition, SourceTask, StoredOffsets, TaskPlan, async_trait,
};

use crate::lines::LineBuffer;
use crate::source_task::{FileSourceTask, StdinSourceTask};
use crate::stdin::Stdin;
use crate::{check_allowed, key, named};

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
            return Ok(Box::new(StdinSourceTask::new(Stdin::open(), lines)));
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
        let files = self.files.clone();
        Ok(Box::new(FileSourceTask::new(
            files,
            file.into(),
            partition,
            lines,
        )))
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
