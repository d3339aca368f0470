//! Lines are read once, from where the last task stopped.

use std::fs;

use connector_api::{
    Config, ErrorKind, OffsetValue, Result, SinkConnector, SourceConnector, SourceOffset,
    SourcePartition, SourcePosition, SourceTask, StoredOffsets, async_trait,
};
use connector_file::{FileStreamSink, FileStreamSource};

use crate::Folder;

/// What the offsets topic holds: at most one position.
pub(crate) struct Stored(pub Option<SourcePosition>);

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
    // an offset that was set by hand, at which no file can be read
    let mut task = source(&folder, "10", &Stored(Some(at(&folder, i64::MAX)))).await;
    let error = lines(&mut *task).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("became shorter"),
        "{error}"
    );
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
    for make in ["mkdir", "mkfifo"] {
        for name in ["in", "out"] {
            let path = folder.path(name);
            assert!(
                std::process::Command::new(make)
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let config = Config::from([("file", &*folder.path("out"))]);
        let errors = [
            lines(&mut *source(&folder, "10", &Stored(None)).await)
                .await
                .unwrap_err(),
            FileStreamSink::new(folder.allowed())
                .open(&config, false)
                .await
                .err()
                .unwrap(),
        ];
        for error in errors {
            assert!(
                error.kind() == ErrorKind::Config && error.message().contains("not a regular file"),
                "{error}"
            );
        }
        for name in ["in", "out"] {
            let path = folder.path(name);
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
        }
    }
}

#[test]
fn offsets_set_by_hand_are_checked_with_kafkas_texts() {
    let folder = Folder::new();
    let source = FileStreamSource::new(folder.allowed());
    let check = |partition: &str, offset: Option<(&str, OffsetValue)>| {
        let partition = SourcePartition(vec![(partition.into(), OffsetValue::Text("x".into()))]);
        let offset = offset.map(|(name, value)| SourceOffset(vec![(name.into(), value)]));
        let position = SourcePosition { partition, offset };
        source
            .check_positions(&Config::from([("file", "x")]), &[position])
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        check("filename", Some(("position", OffsetValue::Long(3)))),
        Ok(true)
    );
    assert_eq!(check("anything", None), Ok(true));
    let error = source.check_positions(&Config::new(), &[]).unwrap_err();
    assert!(
        error
            .message()
            .starts_with("Offsets cannot be modified if the 'file' configuration is unspecified.")
    );
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
