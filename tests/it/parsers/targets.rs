//! One function for each parser of outside input: whatever the bytes are, it returns. What it reads is used, too: written,
//! run, asked for. `fuzz/` looks for bytes with which one does not; the tests beside it play those that were found.

use std::collections::BTreeMap;

use connector_api::{Config, ConfigReport, Datum, Record};
use connector_jdbc::url::ConnectionTarget;
use rowferry::model;
use rowferry::registry::{ConverterRole, Registry};
use rowferry::settings::{properties, references};
use rowferry::worker::{ConnectorOffsetsReader, trial};
use serde::de::DeserializeOwned;

use crate::golden::inputs;

/// Takes one input.
pub type Target = fn(&[u8]);

/// Each target with its name, which is that of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("avro", |input| registered(0, input)),
    ("binlog", binlog),
    ("converters", converters),
    ("dates", dates),
    ("expressions", expressions),
    ("json_schema", |input| registered(2, input)),
    ("offsets", offsets),
    ("pgoutput", pgoutput),
    ("properties", properties_file),
    ("protobuf", |input| registered(1, input)),
    ("references", config_references),
    ("rest", rest),
    ("schedules", schedules),
    ("statements", statements),
    ("tables", tables),
    ("topics", topics),
    ("transforms", transforms),
    ("urls", urls),
    ("wire", inputs::wire),
];

thread_local! {
    static REGISTRY: Registry = Registry::built_in();
}

/// A file of MariaDB's binary log; its events of at most 1 MiB. What is read is used: each value of each row.
fn binlog(input: &[u8]) {
    drop(connector_jdbc::binlog::decode_file(input, 1 << 20));
}

/// Messages of PostgreSQL's logical replication, each after its length. What is read is used, as above.
fn pgoutput(input: &[u8]) {
    drop(connector_jdbc::pgoutput::decode_all(input));
}

/// A record, see [`inputs::plain`].
fn converters(input: &[u8]) {
    inputs::plain(input);
}

/// A schema and a payload, see [`inputs::registered`].
fn registered(format: u8, input: &[u8]) {
    inputs::registered(&[&[format], input].concat());
}

/// The texts of an input that zero bytes separate; `None` where there are not so many, or they are none.
fn texts<const N: usize>(input: &[u8]) -> Option<[&str; N]> {
    let parts = input
        .splitn(N, |byte| *byte == 0)
        .map(|part| std::str::from_utf8(part).ok());
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Validates a config of a connector as REST does it without the database.
fn validated(class: &str, config: &[(&str, &str)]) -> ConfigReport {
    REGISTRY.with(|registry| {
        let connector = registry.connector(class).expect("a connector");
        let config = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<Config>();
        let plugin = connector.plugin();
        let mut report = ConfigReport::default();
        for key in plugin.keys() {
            let (_, errors) = key.evaluate(config.get(key.name));
            errors
                .into_iter()
                .for_each(|error| report.error(key.name, error));
        }
        plugin.check(&config, &mut report);
        report
    })
}

const SOURCE: &str = "io.confluent.connect.jdbc.JdbcSourceConnector";
const SINK: &str = "io.confluent.connect.jdbc.JdbcSinkConnector";
const URLS: [&str; 4] = [
    "jdbc:mysql://h/d",
    "jdbc:mariadb://h/d",
    "jdbc:postgresql://h/d",
    "jdbc:sqlite:/tmp/f",
];

/// A URL of a database.
fn urls(input: &[u8]) {
    let Ok(url) = std::str::from_utf8(input) else {
        return;
    };
    connector_api::shown::without_passwords(url);
    if let Ok(target) = ConnectionTarget::parse(url) {
        let _shown = (target.place(), target.database_kind());
    }
    validated(
        SOURCE,
        &[
            ("connection.url", url),
            ("mode", "bulk"),
            ("topic.prefix", "p"),
        ],
    );
    validated(SINK, &[("connection.url", url), ("topics", "t")]);
}

/// A cron expression.
fn schedules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for now in [0, 1_700_000_000, 253_402_300_799] {
        let _none = connector_jdbc::source::schedule::wait_in_utc(text, now);
    }
}

/// The lists and expressions of tables, and the mappings of their columns.
fn tables(input: &[u8]) {
    let Some([include, exclude, stamps]) = texts(input) else {
        return;
    };
    for key in ["table.whitelist", "table.include.list"] {
        validated(
            SOURCE,
            &[
                ("connection.url", URLS[0]),
                ("mode", "timestamp"),
                ("topic.prefix", "p"),
                (key, include),
                ("table.exclude.list", exclude),
                ("timestamp.columns.mapping", stamps),
            ],
        );
    }
}

/// Statements of the user's own; the first byte chooses the database.
fn statements(input: &[u8]) {
    let Some((choice, sql)) = input.split_first() else {
        return;
    };
    let Ok(sql) = std::str::from_utf8(sql) else {
        return;
    };
    let url = URLS[usize::from(*choice) % URLS.len()];
    validated(
        SINK,
        &[
            ("connection.url", url),
            ("topics", "t"),
            ("insert.mode", "statement"),
            ("statement", sql),
            ("delete.statement", sql),
            ("delete.enabled", "true"),
            ("pk.mode", "record_key"),
        ],
    );
    validated(
        SOURCE,
        &[
            ("connection.url", url),
            ("mode", "incrementing"),
            ("topic.prefix", "p"),
            ("query", sql),
        ],
    );
}

/// A transform over one record without a schema, whose value is a text.
fn transformed(class: &str, config: &[(&str, &str)], topic: &str, value: &str) {
    let config = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect::<Config>();
    let value = Datum {
        schema: None,
        value: connector_api::Value::Text(value.into()),
    };
    let record = Record {
        topic: topic.into(),
        partition: None,
        key: Datum::NONE,
        value,
        timestamp_ms: Some(0),
        headers: vec![],
    };
    REGISTRY.with(|registry| {
        if let Ok(mut transform) = registry.transform(class, &config) {
            let _refused = transform.apply(record, None);
        }
    });
}

/// A pattern of dates, and a date.
fn dates(input: &[u8]) {
    let Some([pattern, date]) = texts(input) else {
        return;
    };
    for to in ["Timestamp", "unix", "string"] {
        let config = [("target.type", to), ("format", pattern)];
        transformed(
            "org.apache.kafka.connect.transforms.TimestampConverter$Value",
            &config,
            "t",
            date,
        );
    }
    let config = [
        ("topic.format", "${topic}-${timestamp}"),
        ("timestamp.format", pattern),
    ];
    transformed(
        "org.apache.kafka.connect.transforms.TimestampRouter",
        &config,
        "t",
        date,
    );
}

/// An expression over topics, what its match becomes, and a topic.
fn topics(input: &[u8]) {
    let Some([regex, replacement, topic]) = texts(input) else {
        return;
    };
    let config = [("regex", regex), ("replacement", replacement)];
    transformed(
        "org.apache.kafka.connect.transforms.RegexRouter",
        &config,
        topic,
        "",
    );
    REGISTRY.with(|registry| {
        let class = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches";
        let _refused = registry.predicate(class, &Config::from([("pattern", regex)]));
    });
}

/// An expression, and a record in JSON.
fn expressions(input: &[u8]) {
    let Some([expression, json]) = texts(input) else {
        return;
    };
    let config = Config::from([("filter", expression), ("max.operations", "1000")]);
    REGISTRY.with(|registry| {
        let Ok(mut transform) = registry.transform("rowferry.transforms.Expression", &config)
        else {
            return;
        };
        let form = Config::from([("schemas.enable", "false")]);
        let json_class = "org.apache.kafka.connect.json.JsonConverter";
        let mut converter = registry
            .converter(json_class, ConverterRole::Value, &form)
            .expect("a converter");
        let Ok(value) = converter.decode("t", Some(json.as_bytes())) else {
            return;
        };
        let key = Datum::NONE;
        let record = Record {
            topic: "t".into(),
            partition: None,
            key,
            value,
            timestamp_ms: None,
            headers: vec![],
        };
        let _refused = transform.apply(record, None);
    });
}

/// Transforms and records, as `POST /v1/transforms/try` takes them.
fn transforms(input: &[u8]) {
    let Ok(given) = serde_json::from_slice(input) else {
        return;
    };
    REGISTRY.with(|registry| {
        if let Ok(tried) = trial::transforms(registry, &given) {
            let _shown = serde_json::to_string(&tried);
        }
    });
}

/// A file of settings in Java's syntax.
fn properties_file(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _refused = properties::parse(text);
    }
}

/// References to secrets in a value.
fn config_references(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for reference in references::of(text) {
        assert!(
            text[reference.range.clone()].starts_with("${") && text[reference.range].ends_with('}')
        );
    }
}

/// Records of the offsets topic: keys and values in turn.
fn offsets(input: &[u8]) {
    let parts: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    let table: BTreeMap<_, _> = parts
        .chunks_exact(2)
        .map(|pair| (pair[0].to_vec(), pair[1].to_vec()))
        .collect();
    let mut stored = ConnectorOffsetsReader::of("c", &table);
    for position in stored.positions() {
        let (key, value) = stored.record(&position);
        let again =
            ConnectorOffsetsReader::of("c", &BTreeMap::from([(key, value.unwrap_or_default())]));
        assert_eq!(again.positions().len(), 1, "what is stored is read again");
    }
}

/// A body that comes over REST; the first byte chooses what it is for.
fn rest(input: &[u8]) {
    fn read<T: DeserializeOwned>(body: &[u8]) {
        let _refused = serde_json::from_slice::<T>(body);
    }
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    match choice % 6 {
        0 => read::<model::CreateConnector>(body),
        1 => read::<model::RawConfig>(body),
        2 => read::<model::ConnectorOffsets>(body),
        3 => read::<model::TryConverter>(body),
        4 => read::<model::NewLevel>(body),
        _ => read::<model::TryTransforms>(body),
    }
}
