//! Records are written once, whatever is put again.

use std::fs;
use std::sync::Arc;

use connector_api::{
    Config, Datum, ErrorKind, Field, Record, Schema, SchemaType, SinkConnector, SinkRecord,
    SinkTask, TopicOffset, TopicPartition, Value,
};
use connector_file::FileStreamSink;

use crate::Folder;

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

#[tokio::test]
async fn values_are_written_as_javas_to_string_has_them() {
    let folder = Folder::new();
    let mut task = sink(&folder).await;
    task.assign(&[partition()]).await.unwrap();
    let field = |name: &str, ty| Field {
        name: name.into(),
        schema: Arc::new(Schema::of(ty)),
    };
    let row = Schema {
        fields: [
            field("id", SchemaType::Int32),
            field("name", SchemaType::String),
        ]
        .into(),
        ..Schema::of(SchemaType::Struct)
    };
    let list = Schema {
        values: Some(Arc::new(Schema::of(SchemaType::Float64))),
        ..Schema::of(SchemaType::Array)
    };
    let date = Schema {
        name: Some("org.apache.kafka.connect.data.Date".into()),
        ..Schema::of(SchemaType::Int32)
    };
    let values = [
        (None, Value::Null),
        (Some(Schema::of(SchemaType::Boolean)), Value::Bool(true)),
        (
            Some(row),
            Value::Struct([Value::I32(1), Value::Text("Ann".into())].into()),
        ),
        (
            Some(list),
            Value::Array([Value::F64(1.0), Value::F64(1e7)].into()),
        ),
        (Some(date), Value::I32(1)),
        (
            Some(Schema::of(SchemaType::Bytes)),
            Value::Bytes([0xff, b'x'].into()),
        ),
    ];
    let mut batch = records(0..6);
    for (record, (schema, value)) in batch.iter_mut().zip(values) {
        record.record.value = Datum {
            schema: schema.map(Arc::new),
            value,
        };
    }
    task.put(&batch, &next(6)).await.unwrap();
    task.commit().await.unwrap();
    let want =
        b"null\ntrue\nStruct{id=1,name=Ann}\n[1.0, 1.0E7]\nFri Jan 02 00:00:00 UTC 1970\n\xffx\n";
    assert_eq!(fs::read(folder.path("out")).unwrap(), want);
}
