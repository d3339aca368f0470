//! Records of some bytes that would take gigabytes: they are bad records, and the worker stays small. Against a database,
//! since the longest texts would be made for its statements. And what configs of transforms may make of records.

use connector_api::{Config, Datum, Field, Record, Schema, SchemaType, Value};
use rowferry::registry::Registry;
use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Rowferry, Settings, Usage, for_condition, unique};

use crate::{SOON, lab};

/// Memory that such records may take on top of what the worker needs anyway.
const GROWTH: u64 = 300 << 20;

const DECIMAL: &str = r#""name":"org.apache.kafka.connect.data.Decimal","version":1"#;

/// A record with an `int32` id and a Decimal of that scale, in a field, in a list of one, or in a map.
fn record(id: i32, scale: i64, shape: &str) -> String {
    let decimal = format!(
        r#"{{"type":"bytes","optional":true,{DECIMAL},"parameters":{{"scale":"{scale}"}}}}"#
    );
    let (schema, payload) = match shape {
        "field" => (decimal, r#""AQ==""#.to_owned()),
        "list" => (
            format!(r#"{{"type":"array","items":{decimal}}}"#),
            r#"["AQ==","AQ=="]"#.to_owned(),
        ),
        _ => (
            format!(r#"{{"type":"map","keys":{{"type":"string"}},"values":{decimal}}}"#),
            r#"{"k":"AQ=="}"#.to_owned(),
        ),
    };
    let fields = format!(
        r#"{{"field":"id","type":"int32"}},{{"field":"d",{}"#,
        &schema[1..]
    );
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{fields}]}},"payload":{{"id":{id},"d":{payload}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn extreme_scales_are_bad_records_in_every_place_and_take_no_memory() {
    let (server, database) = (lab().mariadb(), unique("bombs"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, d TEXT, h TEXT)",
    )
    .await;
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("bombs"), lab().kafka().brokers()),
    );
    let (rest, topics) = (worker.rest(), lab().kafka().topics());
    let (topic, dead, name) = (unique("bombs"), unique("dead"), unique("bombs"));
    topics.create(&topic, 1).await;
    let mut bad: Vec<String> = Vec::new();
    for scale in [
        -2_000_000_000,
        2_000_000_000,
        i64::from(i32::MIN),
        i64::from(i32::MAX),
        1001,
    ] {
        for shape in ["field", "list", "map"] {
            bad.push(record(i32::try_from(bad.len()).unwrap(), scale, shape));
        }
    }
    let good = [
        record(1000, 2, "field"),
        record(1001, 2, "list"),
        record(1002, -900, "field"),
    ];
    for record in bad.iter().chain(&good) {
        topics.produce(
            &topic,
            &[(Some(r#"{"k":1e2000000000}"#), Some(record.as_str()))],
        );
    }
    let before = Usage::of(worker.pid()).resident;
    let config = json!({
        "connector.class": "JdbcSink", "connection.url": server.jdbc_url(&database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "topics": topic, "table.name.format": "t", "nested.mode": "json",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1", "errors.deadletterqueue.context.headers.enable": "true",
    });
    rest.create(&name, &config).await;
    let letters = topics.wait_for(&dead, bad.len(), SOON).await;
    for letter in &letters {
        let message = letter
            .headers
            .iter()
            .find(|(key, _)| key.ends_with("exception.message"));
        let message = message
            .and_then(|(_, value)| value.clone())
            .map(String::from_utf8)
            .unwrap()
            .unwrap();
        assert!(message.contains("Decimal::MAX_SCALE"), "{message}");
    }
    for_condition("the good ones are written", SOON, async || {
        count(&mut connection, "SELECT COUNT(*) FROM t").await == 3
    })
    .await;
    let peak = Usage::of(worker.pid()).peak;
    assert!(peak < before + GROWTH, "{before} bytes grew to {peak}");
    rest.wait_state(&name, "RUNNING", SOON).await;
    assert_eq!(worker.stop(SOON), Some(0));
}

/// What a transform of that class makes of a record, or says against its config.
fn transformed(
    class: &str,
    config: &[(&str, &str)],
    topic: &str,
    value: Datum,
) -> Result<Option<Record>, String> {
    let config = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect::<Config>();
    let class = format!("org.apache.kafka.connect.transforms.{class}");
    let mut transform = Registry::built_in()
        .transform(&class, &config)
        .map_err(|error| error.to_string())?;
    let record = Record {
        topic: topic.into(),
        partition: None,
        key: Datum::NONE,
        value,
        timestamp_ms: Some(0),
        headers: vec![],
    };
    transform
        .apply(record, None)
        .map_err(|error| error.to_string())
}

#[test]
fn configs_of_transforms_that_multiply_what_a_record_holds_are_refused() {
    let (letters, groups, names) = (
        "y".repeat(70_000),
        "$1".repeat(501),
        vec!["a"; 1001].join(","),
    );
    let (topics, long) = ("${topic}".repeat(126), "x".repeat(4097));
    for (class, config, limit) in [
        (
            "TimestampRouter",
            vec![("timestamp.format", letters.as_str())],
            "MAX_PATTERN",
        ),
        (
            "TimestampRouter",
            vec![("topic.format", topics.as_str())],
            "MAX_TEMPLATE",
        ),
        (
            "RegexRouter",
            vec![("regex", "(.*)"), ("replacement", groups.as_str())],
            "MAX_TEMPLATE",
        ),
        (
            "TimestampConverter$Value",
            vec![("target.type", "string"), ("format", letters.as_str())],
            "MAX_PATTERN",
        ),
        (
            "MaskField$Value",
            vec![("fields", "a"), ("replacement", long.as_str())],
            "MAX_REPLACEMENT",
        ),
        (
            "HeaderFrom$Value",
            vec![
                ("fields", names.as_str()),
                ("headers", names.as_str()),
                ("operation", "copy"),
            ],
            "MAX_HEADERS",
        ),
    ] {
        let refused = transformed(class, &config, "t", Datum::NONE).unwrap_err();
        assert!(
            refused.contains(limit),
            "{class}: {}",
            &refused[..refused.len().min(500)]
        );
    }
}

#[test]
fn an_expression_that_goes_back_and_back_over_a_name_ends() {
    let name = format!("{}!", "a".repeat(200));
    let began = std::time::Instant::now();
    let config = [
        ("regex", "(?:a|a)*(?=b)(?<x>.)\\k<x>"),
        ("replacement", "x"),
    ];
    let undecided = transformed("RegexRouter", &config, &name, Datum::NONE).unwrap_err();
    assert!(undecided.contains("cannot be evaluated"), "{undecided}");
    assert!(
        began.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn names_that_grow_with_each_level_are_refused() {
    let name = "n".repeat(400);
    let mut schema = Schema::of(SchemaType::Int8);
    let (mut value, mut plain) = (Value::I8(1), Value::I8(1));
    for _ in 0..4 {
        schema = Schema::structure(None, vec![Field::new(name.as_str(), schema)]);
        value = Value::Struct([value].into());
        plain = Value::Map([(Value::Text(name.as_str().into()), plain)].into());
    }
    for datum in [
        Datum::new(std::sync::Arc::new(schema), value),
        Datum {
            schema: None,
            value: plain,
        },
    ] {
        let refused = transformed("Flatten$Value", &[], "t", datum).unwrap_err();
        assert!(refused.contains("MAX_NAME"), "{refused}");
    }
}
