//! Validates whole configs and compares texts and counts with Kafka Connect's.

use std::collections::BTreeMap;

use connector_api::Config;

use super::fixture;
use super::{ValidationError, Validator, WorkerFacts};
use crate::model::{ConfigInfos, ConfigValueInfo};
use crate::registry::Registry;

async fn validate(pairs: &[(&str, &str)]) -> Result<ConfigInfos, ValidationError> {
    validate_with(Registry::default(), pairs).await
}

/// Validates the fixture's valid config plus these keys, with all built-in transforms, predicates
/// and converters.
async fn validate_built_in(pairs: &[(&str, &str)]) -> ConfigInfos {
    let pairs = [
        &[("connector.class", "Rows"), ("name", "n"), ("url", "u")],
        pairs,
    ]
    .concat();
    validate_with(Registry::built_in(), &pairs).await.unwrap()
}

async fn validate_with(
    registry: Registry,
    pairs: &[(&str, &str)],
) -> Result<ConfigInfos, ValidationError> {
    let registry = registry.and(fixture::source());
    let worker = WorkerFacts {
        group_id: "g".into(),
        config: Config::new(),
        exactly_once_source: false,
        ..WorkerFacts::default()
    };
    let given: BTreeMap<_, _> = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())))
        .collect();
    Validator::new(registry, worker).validate(&given).await
}

fn value<'a>(infos: &'a ConfigInfos, name: &str) -> &'a ConfigValueInfo {
    &infos
        .configs
        .iter()
        .find(|config| config.value.name == name)
        .unwrap()
        .value
}

#[tokio::test]
async fn a_form_has_every_key_with_its_value_and_nothing_secret() {
    let infos = validate(&[
        ("name", "n"),
        ("connector.class", "Rows"),
        ("url", " u "),
        ("pass", "s3cret"),
        ("other", "x"),
    ])
    .await
    .unwrap();
    assert_eq!((infos.name.as_str(), infos.error_count), ("Rows", 0));
    let groups = [
        "Common",
        "Transforms",
        "Predicates",
        "Error Handling",
        "Topic Creation",
        "Exactly Once Support",
    ];
    assert_eq!(infos.groups[..6], groups);
    assert_eq!(infos.groups[7..], ["Database", "Mode"]);
    assert_eq!(value(&infos, "url").value.as_deref(), Some("u"));
    assert_eq!(value(&infos, "password").value.as_deref(), Some("[hidden]"));
    assert_eq!(
        value(&infos, "mode").recommended_values,
        ["found"],
        "what the database has beats what is declared"
    );
    assert!(!value(&infos, "b.only").visible);
    let names: Vec<_> = infos
        .configs
        .iter()
        .map(|c| c.value.name.as_str())
        .collect();
    assert!(!names.contains(&"task.part") && !names.contains(&"other"));
    let url = infos
        .configs
        .iter()
        .find(|c| c.value.name == "url")
        .unwrap()
        .definition
        .clone()
        .unwrap();
    assert_eq!(
        (url.required, url.order, url.default_value),
        (true, 1, None)
    );
}

/// Given keys, the key that is in error, and its errors.
type KeyErrors = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static [&'static str],
);

const ERRORS_BY_KEY: &[KeyErrors] = &[
    (
        &[("mode", "c")],
        "mode",
        &["Invalid value c for configuration mode: String must be one of: a, b"],
    ),
    (
        &[("url", "nowhere")],
        "url",
        &["Invalid value nowhere for configuration url: there is no such place"],
    ),
    (&[("url", "closed")], "url", &["Could not connect"]),
    (
        &[("b.only", "x")],
        "b.only",
        &[
            "Invalid value x for configuration b.only: Not a number of type INT",
            "Invalid value null for configuration b.only: Value must be non-null",
        ],
    ),
    (
        &[("name", "")],
        "name",
        &["Invalid value  for configuration name: String may not be empty"],
    ),
    (
        &[("name", "a\u{7f}\nb")],
        "name",
        &[
            "Invalid value a\u{7f}\nb for configuration name: String may not contain control sequences but had the \
             following ASCII chars: 127, 10",
        ],
    ),
    (
        &[("transforms", "t, t"), ("transforms.t.type", "no.T")],
        "transforms",
        &["Invalid value [t, t] for configuration transforms: Duplicate alias provided."],
    ),
    (
        &[("transforms", "t"), ("transforms.t.type", "no.T")],
        "transforms.t.type",
        &["Invalid value no.T for configuration transforms.t.type: Class no.T could not be found."],
    ),
    (
        &[("transforms", "t")],
        "transforms.t.type",
        &["Missing required configuration \"transforms.t.type\" which has no default value."],
    ),
    (
        &[("value.converter", "no.C")],
        "value.converter",
        &["Invalid value no.C for configuration value.converter: Class no.C could not be found."],
    ),
    (
        &[("exactly.once.support", "REQUIRED")],
        "exactly.once.support",
        &["This worker does not have exactly-once source support enabled."],
    ),
    (
        &[("topic.creation.default.partitions", "0")],
        "topic.creation.default.partitions",
        &[
            "Invalid value 0 for configuration topic.creation.default.partitions: Value must be -1 or at least 1",
        ],
    ),
];

#[tokio::test]
async fn each_error_is_on_its_key_once() {
    for (pairs, key, want) in ERRORS_BY_KEY {
        let mut given = vec![("connector.class", "Rows")];
        for default in [("name", "n"), ("url", "u")] {
            if !pairs.iter().any(|(key, _)| *key == default.0) {
                given.push(default);
            }
        }
        given.extend_from_slice(pairs);
        let infos = validate(&given).await.unwrap();
        assert_eq!(value(&infos, key).errors, *want, "{pairs:?}");
    }
}

#[tokio::test]
async fn a_value_that_no_client_of_kafka_takes_and_a_name_that_no_topic_has_are_refused() {
    for (key, text, error) in [
        ("producer.override.compression.type", "foo", true),
        ("producer.override.compression.type", "lz4", false),
        ("producer.override.linger.ms", "abc", true),
        ("producer.override.linger.ms", "20", false),
        ("producer.override.linger.ms", "${env:LINGER}", false),
        ("admin.override.security.protocol", "FOO", true),
        ("offsets.storage.topic", "a b", true),
        ("offsets.storage.topic", "a-b", false),
    ] {
        let infos = validate_built_in(&[(key, text)]).await;
        let errors = &value(&infos, key).errors;
        assert_eq!(!errors.is_empty(), error, "{key}={text}: {errors:?}");
    }
}

#[cfg(feature = "avro")]
/// The names that a transform gives or looks for, empty: at the first record it would fail.
const EMPTY_NAMES: [(&str, &str, &str); 17] = [
    ("HoistField$Value", "field", ""),
    ("HoistField$Key", "field", " "),
    ("ExtractField$Value", "field", ""),
    ("InsertField$Value", "topic.field", ""),
    ("InsertField$Value", "partition.field", "!"),
    ("InsertField$Key", "offset.field", "?"),
    ("InsertField$Value", "timestamp.field", " "),
    ("InsertField$Value", "static.field", "?"),
    ("ReplaceField$Value", "renames", "a:b,:c"),
    ("ReplaceField$Key", "renames", "a:"),
    ("ValueToKey", "fields", "id,"),
    ("ValueToKey", "fields", ""),
    ("HeaderFrom$Value", "fields", "a,,b"),
    ("ByLogicalTableRouter", "key.field.name", ""),
    ("ExtractNewRecordState", "add.fields", "op,:x"),
    ("ExtractNewRecordState", "add.fields", "op:"),
    ("ExtractNewRecordState", "add.headers", "op:,source.db"),
];

#[tokio::test]
async fn empty_names_in_transforms_are_refused_and_the_key_is_named() {
    for (class, key, value) in EMPTY_NAMES {
        let full = format!("transforms.t.{key}");
        let infos = validate_built_in(&[
            ("name", "x"),
            ("connector.class", "FileStreamSink"),
            ("file", "/tmp/x"),
            ("topics", "t"),
            ("transforms", "t"),
            ("transforms.t.type", class),
            (&full, value),
        ])
        .await;
        let errors = &self::value(&infos, &full).errors;
        assert!(
            errors.iter().any(|text| text.contains(&full)),
            "{class} {key}={value:?}: {errors:?}"
        );
    }
}

#[tokio::test]
async fn an_offset_field_is_refused_on_a_source_and_accepted_on_a_sink() {
    for (class, topic, refused) in [
        ("FileStreamSource", "topic", true),
        ("FileStreamSink", "topics", false),
    ] {
        let infos = validate_built_in(&[
            ("name", "x"),
            ("connector.class", class),
            ("file", "/tmp/x"),
            (topic, "t"),
            ("transforms", "hoist,at"),
            ("transforms.hoist.type", "HoistField$Value"),
            ("transforms.hoist.field", "line"),
            ("transforms.at.type", "InsertField$Value"),
            ("transforms.at.offset.field", "position!"),
        ])
        .await;
        let errors = &value(&infos, "transforms.at.offset.field").errors;
        assert_eq!(errors.len(), usize::from(refused), "{class}: {errors:?}");
        assert!(
            errors
                .iter()
                .all(|text| text.contains("set it on the sink")),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn a_schema_registry_whose_authorities_cannot_be_read_is_an_error_of_their_key() {
    let validated = async |url: &str, file: &str| {
        validate_built_in(&[
            ("value.converter", "io.confluent.connect.avro.AvroConverter"),
            ("value.converter.schema.registry.url", url),
            (
                "value.converter.schema.registry.ssl.truststore.location",
                file,
            ),
        ])
        .await
    };
    let infos = validated("https://registry:8081", "/nowhere/ca.pem").await;
    let errors = &value(
        &infos,
        "value.converter.schema.registry.ssl.truststore.location",
    )
    .errors;
    assert!(
        errors.len() == 1 && errors[0].contains("/nowhere/ca.pem"),
        "{errors:?}"
    );
    assert_eq!(infos.error_count, 1);
    // over plain HTTP they are not used
    let plain = validated("http://registry:8081", "/nowhere/ca.pem").await;
    assert_eq!(plain.error_count, 0);
}

#[tokio::test]
async fn an_error_about_an_unknown_class_lists_the_known_ones() {
    assert_eq!(
        validate(&[("name", "n")]).await.unwrap_err(),
        ValidationError::NoClass
    );
    let Err(ValidationError::Class(class, available)) =
        validate(&[("connector.class", "no.Such")]).await
    else {
        panic!("it was found");
    };
    assert_eq!(
        (class.as_str(), available[0].class.as_str()),
        ("no.Such", "a.b.RowsConnector")
    );
}

#[tokio::test]
async fn client_overrides_are_refused_one_by_one() {
    let given = [
        ("connector.class", "Rows"),
        ("name", "n"),
        ("url", "u"),
        ("producer.override.linger.ms", "5"),
        ("producer.override.plugin.library.paths", "/tmp/x.so"),
        ("consumer.override.nope", "1"),
    ];
    let infos = validate(&given).await.unwrap();
    assert_eq!(infos.error_count, 2);
    assert_eq!(
        value(&infos, "producer.override.linger.ms")
            .value
            .as_deref(),
        Some("5")
    );
    let refused = &value(&infos, "producer.override.plugin.library.paths").errors[0];
    assert!(
        refused
            .starts_with("The 'producer.override.plugin.library.paths' override is not supported"),
        "{refused}"
    );
}

const ROUTED: [(&str, &str); 6] = [
    ("transforms", "t"),
    ("transforms.t.type", "TimestampRouter"),
    ("transforms.t.predicate", "p"),
    ("predicates", "p"),
    ("predicates.p.type", "RecordIsTombstone"),
    ("value.converter", "JsonConverter"),
];

#[tokio::test]
async fn a_plug_in_of_another_version_is_an_error_of_its_class_and_of_its_version() {
    let there = env!("CARGO_PKG_VERSION");
    for (key, class_key, class, there) in [
        (
            "connector.plugin.version",
            "connector.class",
            "a.b.RowsConnector",
            "1.2.3",
        ),
        (
            "transforms.t.plugin.version",
            "transforms.t.type",
            "org.apache.kafka.connect.transforms.TimestampRouter",
            there,
        ),
        (
            "predicates.p.plugin.version",
            "predicates.p.type",
            "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
            there,
        ),
        (
            "value.converter.plugin.version",
            "value.converter",
            "org.apache.kafka.connect.json.JsonConverter",
            there,
        ),
    ] {
        for (asked, errors) in [
            (
                "9.9",
                vec![format!(
                    "Plugin {class} not found that matches the version range [9.9,9.9], available versions: [{there}]"
                )],
            ),
            ("latest", vec![]),
            (there, vec![]),
            ("(0.0.1,9.8]", vec![]),
        ] {
            let infos = validate_built_in(&[&ROUTED[..], &[(key, asked)]].concat()).await;
            assert_eq!(value(&infos, key).errors, errors, "{key}={asked}");
            assert_eq!(value(&infos, class_key).errors, errors, "{key}={asked}");
            assert_eq!(infos.error_count, 2 * errors.len(), "{key}={asked}");
            assert_eq!(value(&infos, key).recommended_values, [there]);
        }
        let infos = validate_built_in(&[&ROUTED[..], &[(key, "[1.0")]].concat()).await;
        assert_eq!(
            value(&infos, key).errors,
            ["Unbounded range: [1.0"],
            "{key}"
        );
    }
}

/// As in Kafka Connect, a converter version without a class is not checked here: the worker's
/// converter is used, and its version is the worker's concern.
#[tokio::test]
async fn the_version_of_a_converter_counts_only_beside_its_class() {
    let infos = validate_built_in(&[("key.converter.plugin.version", "9.9")]).await;
    assert_eq!(infos.error_count, 0);
    let infos = validate_built_in(&[("key.converter.plugin.version", "[1.0")]).await;
    assert_eq!(
        (
            infos.error_count,
            &*value(&infos, "key.converter.plugin.version").errors[0]
        ),
        (1, "Unbounded range: [1.0")
    );
}

#[tokio::test]
async fn more_tasks_names_or_keys_than_can_be_are_refused_and_the_limit_is_named() {
    fn config<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [
            &[("connector.class", "Rows"), ("name", "n"), ("url", "u")],
            pairs,
        ]
        .concat()
    }
    let infos = validate(&config(&[("tasks.max", "2147483647")]))
        .await
        .unwrap();
    let text = "Invalid value 2147483647 for configuration tasks.max: Value must be no more than 1000, which \
                rowferry.tasks.max of the worker allows";
    assert_eq!(value(&infos, "tasks.max").errors, [text]);
    assert_eq!(infos.error_count, 1);
    let listed = |count: usize| {
        (0..count)
            .map(|n| format!("a{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    for key in ["transforms", "predicates", "topic.creation.groups"] {
        let names = listed(257);
        let mut pairs = config(&[(key, names.as_str())]);
        pairs.push(("topic.creation.default.partitions", "1"));
        let infos = validate(&pairs).await.unwrap();
        let text = format!(
            "Invalid value for configuration {key}: it lists 257 names, but at most 256 are allowed"
        );
        assert_eq!(value(&infos, key).errors, [text]);
        assert!(
            infos.configs.len() < 100,
            "no forms are made of names that are too many"
        );
    }
    let large = "x".repeat(1024 * 1024);
    let Err(ValidationError::TooLarge(why)) = validate(&config(&[("other", &large)])).await else {
        panic!("it is taken")
    };
    assert!(why.contains("at most 1048576"), "{why}");
}

/// Uses every list of every plug-in at once, and the maximum number of transforms and predicates.
#[tokio::test]
async fn the_time_of_a_validation_grows_with_the_config_and_no_faster() {
    let registry = Registry::built_in();
    let listed = |name: &str, count: usize| {
        (0..count)
            .map(|n| format!("{name}{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let began = std::time::Instant::now();
    for connector in registry.connectors() {
        let tables = [
            connector.plugin().keys(),
            crate::keys::COMMON,
            crate::keys::SOURCE,
            crate::keys::SINK,
        ];
        let keys = tables.into_iter().flatten();
        for key in keys.filter(|key| key.ty == connector_api::config::ConfigType::List) {
            let long = listed("t", 40_000);
            let pairs = [
                ("connector.class", connector.plugin().class()),
                ("name", "n"),
                (key.name, long.as_str()),
            ];
            validate_with(Registry::built_in(), &pairs).await.unwrap();
        }
    }
    let (transforms, predicates, topics) =
        (listed("t", 256), listed("p", 256), listed("topic", 60_000));
    let mut pairs = vec![
        ("transforms".to_owned(), transforms),
        ("predicates".to_owned(), predicates),
        ("topics".to_owned(), topics),
    ];
    for n in 0..256 {
        pairs.push((
            format!("transforms.t{n}.type"),
            "ReplaceField$Value".to_owned(),
        ));
        pairs.push((format!("transforms.t{n}.predicate"), format!("p{n}")));
        pairs.push((
            format!("predicates.p{n}.type"),
            "RecordIsTombstone".to_owned(),
        ));
        pairs.push((format!("producer.override.key{n}"), "x".to_owned()));
    }
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let infos = validate_built_in(&pairs).await;
    assert!(infos.configs.len() > 256 * 5);
    // A step of quadratic cost over one of these would take minutes.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}
