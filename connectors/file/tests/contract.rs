//! The contract that the runtime relies on, checked by `connector_api::suite`.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::files::AllowedFiles;
use connector_api::suite::{SinkFixture, SourceFixture, check_sink, check_source};
use connector_api::{
    Config, Datum, Record, Schema, SchemaType, SinkConnector, SourceConnector, TopicPartition,
    Value, async_trait, fail_point,
};
use connector_file::{FileStreamSink, FileStreamSource, SETTING};

/// A folder of its own with a file that a connector may use.
struct Place {
    folder: PathBuf,
    topics: usize,
    source: FileStreamSource,
    sink: FileStreamSink,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rowferry-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = AllowedFiles::new(SETTING, vec![folder.clone()], Vec::new());
        Self {
            folder,
            topics: 0,
            source: FileStreamSource::new(files.clone()),
            sink: FileStreamSink::new(files),
        }
    }

    fn file(&self) -> String {
        self.folder.join("lines").display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

#[async_trait]
impl SourceFixture for Place {
    fn source(&self) -> &dyn SourceConnector {
        &self.source
    }

    fn config(&self) -> Config {
        Config::from([("file", &*self.file()), ("topic", "t"), ("batch.size", "7")])
    }

    async fn write(&mut self, rows: Range<u64>) {
        let lines: String = rows.map(|row| format!("row {row}\n")).collect();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file());
        file.unwrap().write_all(lines.as_bytes()).unwrap();
    }

    fn row(&self, record: &Record) -> u64 {
        record
            .value
            .value
            .as_str()
            .unwrap()
            .trim_start_matches("row ")
            .parse()
            .unwrap()
    }

    async fn pause(&mut self) {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl SinkFixture for Place {
    fn sink(&self) -> &dyn SinkConnector {
        &self.sink
    }

    fn config(&self) -> Config {
        Config::from([
            ("file", &*self.file()),
            ("name", "c"),
            ("task.cluster", "k"),
        ])
    }

    fn topic(&mut self) -> TopicPartition {
        self.topics += 1;
        TopicPartition {
            topic: format!("topic-{}", self.topics).into(),
            partition: 3,
        }
    }

    fn record(&self, at: &TopicPartition, number: i64) -> Record {
        let text = format!("{} {number}", at.topic);
        Record {
            topic: at.topic.clone(),
            partition: Some(at.partition),
            key: Datum::NONE,
            value: Datum::new(
                Arc::new(Schema::of(SchemaType::String)),
                Value::Text(text.into()),
            ),
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }

    async fn written(&mut self, at: &TopicPartition) -> Vec<i64> {
        let mut numbers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for line in fs::read_to_string(self.file()).unwrap().lines() {
            let (topic, number) = line.split_once(' ').unwrap();
            numbers
                .entry(topic.to_owned())
                .or_default()
                .push(number.parse().unwrap());
        }
        let mut numbers = numbers.remove(&*at.topic).unwrap_or_default();
        numbers.sort_unstable();
        numbers
    }

    fn lose_the_answer_to_the_next_commit(&mut self) {
        fail_point::configure("file-sink.after-commit", "1*return(the answer is lost)").unwrap();
    }
}

/// One after the other: fail points are the process's.
#[tokio::test]
async fn the_connectors_keep_the_contract() {
    check_source(&mut Place::new("source-contract")).await;
    check_sink(&mut Place::new("sink-contract")).await;
}
