//! The file connectors as the runtime drives them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigReport, Datum, Error, ErrorKind, OffsetValue, Record, Result, Schema, SchemaType,
    SinkConnector, SinkRecord, SinkTask, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, TopicOffset, TopicPartition, Value, async_trait,
};
use connector_file::{FileStreamSink, FileStreamSource, SETTING};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "rowferry-file-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn allowed(&self) -> AllowedFiles {
        AllowedFiles::new(SETTING, vec![self.0.clone()], Vec::new())
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.0.join(name));
        file.unwrap().write_all(bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What the offsets topic holds: at most one position.
struct Stored(Option<SourcePosition>);

#[async_trait]
impl StoredOffsets for Stored {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let of =
            |partition: &SourcePartition| self.0.as_ref().filter(|at| at.partition == *partition);
        Ok(partitions
            .iter()
            .map(|partition| of(partition).and_then(|at| at.offset.clone()))
            .collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(self.0.iter().cloned().collect())
    }
}

async fn source(folder: &Folder, batch: &str, stored: &Stored) -> Box<dyn SourceTask> {
    let config = Config::from([
        ("file", &*folder.path("in")),
        ("topic", "t"),
        ("batch.size", batch),
    ]);
    FileStreamSource::new(folder.allowed())
        .open(&config, stored)
        .await
        .unwrap()
}

/// Everything that is there: the lines, and the last position.
async fn lines(task: &mut dyn SourceTask) -> Result<(Vec<String>, Option<SourcePosition>)> {
    let (mut lines, mut last) = (Vec::new(), None);
    loop {
        let batch = task.poll().await?;
        lines.extend(
            batch
                .records
                .iter()
                .map(|record| record.value.value.as_str().unwrap().to_owned()),
        );
        last = batch.positions.into_iter().next().or(last);
        if batch.idle_for.is_some() {
            return Ok((lines, last));
        }
    }
}

fn at(folder: &Folder, position: i64) -> SourcePosition {
    SourcePosition {
        partition: SourcePartition(vec![(
            "filename".into(),
            OffsetValue::Text(folder.path("in")),
        )]),
        offset: Some(SourceOffset(vec![(
            "position".into(),
            OffsetValue::Long(position),
        )])),
    }
}

#[tokio::test]
async fn a_line_is_read_once_it_is_complete_and_its_offset_counts_bytes() {
    let folder = Folder::new();
    let mut task = source(&folder, "2000", &Stored(None)).await;
    assert_eq!(
        lines(&mut *task).await.unwrap(),
        (vec![], None),
        "the file is not there yet"
    );
    folder.append("in", "one\nzwölf\r\n\nold mac\rhalf".as_bytes());
    let read = lines(&mut *task).await.unwrap();
    assert_eq!(
        read,
        (
            ["one", "zwölf", "", "old mac"].map(str::to_owned).into(),
            Some(at(&folder, 21))
        )
    );
    folder.append("in", b" whole\r");
    assert_eq!(
        lines(&mut *task).await.unwrap().0,
        [""; 0],
        "it may be the first half of the end of a line"
    );
    folder.append("in", b"\n");
    assert_eq!(
        lines(&mut *task).await.unwrap(),
        (vec!["half whole".into()], Some(at(&folder, 33)))
    );
}

#[tokio::test]
async fn a_batch_has_no_more_lines_than_asked_for_and_reading_goes_on_behind_each() {
    let folder = Folder::new();
    let all: Vec<_> = (0..20_000).map(|n| format!("line {n} ä")).collect();
    folder.append("in", (all.join("\n") + "\n").as_bytes());
    let (mut read, mut stored) = (Vec::new(), Stored(None));
    while read.len() < all.len() {
        let mut task = source(&folder, "777", &stored).await;
        for _ in 0..3 {
            let batch = task.poll().await.unwrap();
            assert!(batch.records.len() <= 777);
            read.extend(
                batch
                    .records
                    .iter()
                    .map(|record| record.value.value.as_str().unwrap().to_owned()),
            );
            stored = Stored(batch.positions.into_iter().next().or(stored.0));
        }
    }
    assert!(read == all, "{} lines", read.len());
}

#[tokio::test]
async fn a_file_that_was_cut_or_replaced_is_an_error_that_says_what_helps() {
    let folder = Folder::new();
    folder.append("in", b"one\ntwo\n");
    let mut task = source(&folder, "10", &Stored(None)).await;
    assert_eq!(lines(&mut *task).await.unwrap().0, ["one", "two"]);
    fs::rename(folder.path("in"), folder.path("in.1")).unwrap();
    folder.append("in", b"three\n");
    let error = lines(&mut *task).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("was replaced"),
        "{error}"
    );
    let mut task = source(&folder, "10", &Stored(Some(at(&folder, 8)))).await;
    let error = lines(&mut *task).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("became shorter"),
        "{error}"
    );
    assert!(error.message().contains("reset its offsets"), "{error}");
}

#[tokio::test]
async fn what_is_no_file_of_lines_is_refused() {
    let folder = Folder::new();
    folder.append("in", &vec![b'x'; 17 * 1024 * 1024]);
    let error = lines(&mut *source(&folder, "10", &Stored(None)).await)
        .await
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("16777216"),
        "{error}"
    );
    fs::remove_file(folder.path("in")).unwrap();
    fs::create_dir(folder.path("in")).unwrap();
    let error = lines(&mut *source(&folder, "10", &Stored(None)).await)
        .await
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("not a regular file"),
        "{error}"
    );
}

#[test]
fn offsets_set_by_hand_are_checked_with_kafkas_texts() {
    let folder = Folder::new();
    let source = FileStreamSource::new(folder.allowed());
    let check = |partition: &str, offset: Option<(&str, OffsetValue)>| {
        let partition = SourcePartition(vec![(partition.into(), OffsetValue::Text("x".into()))]);
        let offset = offset.map(|(name, value)| SourceOffset(vec![(name.into(), value)]));
        source
            .check_positions(&[SourcePosition { partition, offset }])
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        check("filename", Some(("position", OffsetValue::Long(3)))),
        Ok(())
    );
    assert_eq!(check("anything", None), Ok(()));
    for (partition, offset, want) in [
        (
            "filename",
            ("line", OffsetValue::Long(3)),
            "Offset objects should either be null or contain the key 'position'",
        ),
        (
            "filename",
            ("position", OffsetValue::Text("3".into())),
            "The value for the 'position' key in the offset is expected to be a Long value",
        ),
        (
            "filename",
            ("position", OffsetValue::Long(-3)),
            "The value for the 'position' key in the offset should be a non-negative value",
        ),
        (
            "file",
            ("position", OffsetValue::Long(3)),
            "Partition objects should contain the key 'filename'",
        ),
    ] {
        assert_eq!(check(partition, Some(offset)), Err(want.to_owned()));
    }
}

#[tokio::test]
async fn a_file_outside_of_the_allowed_folders_is_neither_read_nor_made() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.append("there", b"secret\n");
    std::os::unix::fs::symlink(outside.path("there"), folder.path("link")).unwrap();
    for file in [
        outside.path("there"),
        outside.path("new"),
        folder.path("link"),
        folder.path("../new"),
    ] {
        let config = Config::from([("file", &*file), ("topic", "t")]);
        let (source, sink) = (
            FileStreamSource::new(folder.allowed()),
            FileStreamSink::new(folder.allowed()),
        );
        let mut report = ConfigReport::default();
        source.probe(&config, &mut report).await;
        SinkConnector::probe(&sink, &config, &mut report).await;
        let mut task = SourceConnector::open(&source, &config, &Stored(None))
            .await
            .unwrap();
        let errors = [
            task.poll().await.unwrap_err(),
            SinkConnector::open(&sink, &config, false)
                .await
                .err()
                .unwrap(),
        ];
        let texts: Vec<_> = report
            .errors
            .iter()
            .map(|problem| problem.message.clone())
            .collect();
        for text in errors
            .iter()
            .map(Error::message)
            .chain(texts.iter().map(String::as_str))
        {
            assert!(
                text.contains(&file) && text.contains("file.allowed.paths"),
                "{text}"
            );
        }
        assert_eq!(texts.len(), 2);
    }
    assert!(!fs::exists(outside.path("new")).unwrap());
}

async fn sink(folder: &Folder) -> Box<dyn SinkTask> {
    let config = Config::from([
        ("file", &*folder.path("out")),
        ("name", "c"),
        ("task.cluster", "k"),
    ]);
    FileStreamSink::new(folder.allowed())
        .open(&config, false)
        .await
        .unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition {
        topic: "t".into(),
        partition: 0,
    }
}

fn next(offset: i64) -> [TopicOffset; 1] {
    [TopicOffset {
        topic: "t".into(),
        partition: 0,
        offset,
    }]
}

fn records(offsets: std::ops::Range<i64>) -> Vec<SinkRecord> {
    let schema = Arc::new(Schema::of(SchemaType::String));
    let record = |offset: i64| Record {
        topic: "t".into(),
        partition: Some(0),
        key: Datum::NONE,
        value: Datum::new(schema.clone(), Value::Text(format!("line {offset}").into())),
        timestamp_ms: None,
        headers: Vec::new(),
    };
    let at = |offset| TopicOffset {
        topic: "t".into(),
        partition: 0,
        offset,
    };
    offsets
        .map(|offset| SinkRecord {
            record: record(offset),
            at: at(offset),
        })
        .collect()
}

fn text(offsets: std::ops::Range<i64>) -> String {
    offsets.map(|offset| format!("line {offset}\n")).collect()
}

#[tokio::test]
async fn what_was_put_and_not_committed_is_not_in_the_file() {
    let folder = Folder::new();
    folder.append("out", b"before\n");
    let mut task = sink(&folder).await;
    assert_eq!(task.assign(&[partition()]).await.unwrap(), []);
    task.put(&records(0..3), &next(3)).await.unwrap();
    task.rollback().await.unwrap();
    task.put(&records(0..2), &next(2)).await.unwrap();
    drop(task);
    let mut task = sink(&folder).await;
    assert_eq!(task.assign(&[partition()]).await.unwrap(), []);
    task.put(&records(0..3), &next(3)).await.unwrap();
    task.commit().await.unwrap();
    assert_eq!(
        fs::read_to_string(folder.path("out")).unwrap(),
        format!("before\n{}", text(0..3))
    );
    assert_eq!(
        sink(&folder).await.assign(&[partition()]).await.unwrap(),
        next(3)
    );
}

#[tokio::test]
async fn a_batch_that_turns_out_to_be_durable_is_not_written_again() {
    let folder = Folder::new();
    let mut task = sink(&folder).await;
    task.assign(&[partition()]).await.unwrap();
    for (batch, behind) in [(0..3, 3), (0..3, 3), (1..5, 5)] {
        task.put(&records(batch), &next(behind)).await.unwrap();
        task.commit().await.unwrap();
    }
    assert_eq!(fs::read_to_string(folder.path("out")).unwrap(), text(0..5));
}

#[tokio::test]
async fn a_half_written_batch_is_cut_off_when_the_file_is_opened_next() {
    let folder = Folder::new();
    let mut task = sink(&folder).await;
    task.assign(&[partition()]).await.unwrap();
    task.put(&records(0..2), &next(2)).await.unwrap();
    task.commit().await.unwrap();
    // What a task leaves that is killed after half of its lines.
    let journal = fs::read_to_string(folder.path("out.offsets")).unwrap();
    let appending = journal.replacen('{', r#"{"appending":{"from":14,"bytes":70},"#, 1);
    fs::write(folder.path("out.offsets"), &appending).unwrap();
    folder.append("out", b"line 2\nli");
    let mut task = sink(&folder).await;
    assert_eq!(task.assign(&[partition()]).await.unwrap(), next(2));
    assert_eq!(fs::read_to_string(folder.path("out")).unwrap(), text(0..2));
    // More than it had begun to write is somebody else's.
    drop(task);
    fs::write(folder.path("out.offsets"), &appending).unwrap();
    folder.append("out", &[b'x'; 71]);
    let config = Config::from([("file", &*folder.path("out"))]);
    let error = FileStreamSink::new(folder.allowed())
        .open(&config, false)
        .await
        .err()
        .unwrap();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("another program"),
        "{error}"
    );
}

#[tokio::test]
async fn a_task_whose_partition_was_taken_over_writes_nothing_more() {
    let folder = Folder::new();
    let mut old = sink(&folder).await;
    old.assign(&[partition()]).await.unwrap();
    old.put(&records(0..2), &next(2)).await.unwrap();
    let mut new = sink(&folder).await;
    new.assign(&[partition()]).await.unwrap();
    assert_eq!(old.commit().await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(
        old.put(&records(0..2), &next(2)).await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
    new.put(&records(0..2), &next(2)).await.unwrap();
    new.commit().await.unwrap();
    assert_eq!(fs::read_to_string(folder.path("out")).unwrap(), text(0..2));
}

#[tokio::test]
async fn offsets_of_the_file_can_be_set_and_forgotten() {
    let folder = Folder::new();
    let config = Config::from([
        ("file", &*folder.path("out")),
        ("name", "c"),
        ("task.cluster", "k"),
    ]);
    let connector = FileStreamSink::new(folder.allowed());
    assert!(
        connector
            .alter_offsets(&config, &[(partition(), Some(7))])
            .await
            .unwrap()
    );
    assert_eq!(
        sink(&folder).await.assign(&[partition()]).await.unwrap(),
        next(7)
    );
    assert!(connector.reset_offsets(&config).await.unwrap());
    assert_eq!(
        sink(&folder).await.assign(&[partition()]).await.unwrap(),
        []
    );
}
