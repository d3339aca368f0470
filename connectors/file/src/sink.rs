//! The sink connector: its key, its tasks, and changes of the offsets stored next to the file.

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance};
use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigReport, Plugin, Result, SinkConnector, SinkTask, TopicPartition, async_trait,
};

use crate::journal::JournalOwner;
use crate::sink_task::{FileSinkTask, SinkFile};
use crate::{check_allowed, key, named};

const KEYS: &[ConfigKey] = &[key(
    "file",
    ConfigType::String,
    DefaultValue::Null,
    Importance::High,
    "Destination filename. If not specified, the standard output will be used",
)];

/// The FileStreamSink connector.
pub struct FileStreamSink {
    files: AllowedFiles,
}

impl FileStreamSink {
    /// Creates a connector that may write only to the files in `files`.
    pub fn new(files: AllowedFiles) -> Self {
        Self { files }
    }

    fn read(&self, config: &Config) -> Result<FileSinkTask> {
        let file = config.read(KEYS, |keys| named(keys.text_opt("file")))?;
        let place = file.map(|path| SinkFile {
            files: self.files.clone(),
            path: path.into(),
        });
        let of_the_runtime = |name| config.get(name).unwrap_or_default().to_owned();
        let owner = JournalOwner {
            cluster: of_the_runtime("task.cluster"),
            connector: of_the_runtime("name"),
        };
        Ok(FileSinkTask::new(place, owner))
    }
}

impl Plugin for FileStreamSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSinkConnector"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }
}

#[async_trait]
impl SinkConnector for FileStreamSink {
    async fn open(&self, task: &Config, _tolerate: bool) -> Result<Box<dyn SinkTask>> {
        let task = self.read(task)?;
        task.journal()?;
        Ok(Box::new(task))
    }

    async fn alter_offsets(
        &self,
        config: &Config,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<bool> {
        let task = self.read(config)?;
        if let Some(mut journal) = task.journal()? {
            for (at, next) in offsets {
                journal.claim(task.owner(), at);
                journal.set(task.owner(), at, *next);
            }
            journal.store()?;
        }
        Ok(true)
    }

    async fn reset_offsets(&self, config: &Config) -> Result<bool> {
        let task = self.read(config)?;
        if let Some(mut journal) = task.journal()? {
            journal.reset(task.owner());
            journal.store()?;
        }
        Ok(true)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        check_allowed(&self.files, config, report);
    }
}
