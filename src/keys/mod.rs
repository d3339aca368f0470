//! The keys that every connector has in addition to those of its plug-in: names, defaults and
//! checks are Kafka Connect's.
//!
//! Tables only. Code that reads a key takes its default and its parser from here.

mod values;

use connector_api::ConfigKey;
use connector_api::config::{ConfigType, DefaultValue, Importance, KeyValidator, Width};

const COMMON_GROUP: &str = "Common";
const ERRORS_GROUP: &str = "Error Handling";
const TOPICS_GROUP: &str = "Topic Creation";
const EXACTLY_ONCE_GROUP: &str = "Exactly Once Support";

/// Maximum number of names in `transforms`, `predicates` or `topic.creation.groups`: each has keys of its own.
pub(crate) const ALIASES_MAX: usize = 256;

/// Returns the class of a converter that neither the connector nor the worker names: `key` is
/// `key.converter`, `value.converter` or `header.converter`.
pub(crate) fn default_converter(key: &str) -> Option<&'static str> {
    match key {
        "key.converter" | "value.converter" => Some("org.apache.kafka.connect.json.JsonConverter"),
        "header.converter" => Some("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        _ => None,
    }
}

/// The required version of the connector.
pub(crate) const CONNECTOR_VERSION: &str = "connector.plugin.version";

/// Maximum time without progress of a task; a key of the worker and of connectors.
pub(crate) const PROGRESS_TIMEOUT: &str = "task.progress.timeout.ms";

/// The label by which `rowferry apply --prune` finds the connectors that it may delete. The runtime
/// keeps it as it is.
pub(crate) const MANAGED: &str = "rowferry.managed";

const VERSION_DOC: &str = "Version of the plug-in: one version, such as 0.1.0, or a range, such as [0.1,1.0). Not set, \
     or `latest`: any version. Rowferry contains exactly one version of each plug-in; GET \
     /connector-plugins?connectorsOnly=false shows it.";

/// Keys of every connector (Kafka's `ConnectorConfig`).
pub(crate) const COMMON: &[ConfigKey] = &[
    ConfigKey::new(
        "name",
        ConfigType::String,
        DefaultValue::Required,
        COMMON_GROUP,
        "Name of the connector. Unique within the worker's group; also part of the consumer \
         group's name and of the transactional ids.",
    )
    .check(KeyValidator::By(values::connector_name))
    .importance(Importance::High)
    .form(Width::Medium, "Connector name")
    .order(1),
    ConfigKey::new(
        "connector.class",
        ConfigType::String,
        DefaultValue::Required,
        COMMON_GROUP,
        "Class of the connector: its full name, its simple name, or its simple name without the \
         suffix `Connector`, such as JdbcSource. Class names of other JDBC connectors are accepted \
         too.",
    )
    .importance(Importance::High)
    .form(Width::Long, "Connector class")
    .order(2),
    version(
        CONNECTOR_VERSION,
        "Connector version",
        Importance::Medium,
        Width::Medium,
        3,
    ),
    ConfigKey::new(
        "tasks.max",
        ConfigType::Int,
        DefaultValue::Text("1"),
        COMMON_GROUP,
        "Maximum number of tasks. A connector creates fewer tasks if there is less work to \
         distribute.",
    )
    .check(KeyValidator::AtLeast(1))
    .importance(Importance::High)
    .form(Width::Short, "Tasks max")
    .order(4),
    ConfigKey::new(
        "tasks.max.enforce",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        COMMON_GROUP,
        "Whether a connector fails if it creates more tasks than tasks.max. The built-in \
         connectors never do that.",
    )
    .importance(Importance::Low)
    .form(Width::Short, "Enforce tasks max")
    .order(5),
    converter("key.converter", "Key converter class", 6),
    version(
        "key.converter.plugin.version",
        "Key converter version",
        Importance::Low,
        Width::Short,
        7,
    ),
    converter("value.converter", "Value converter class", 8),
    version(
        "value.converter.plugin.version",
        "Value converter version",
        Importance::Low,
        Width::Short,
        9,
    ),
    converter("header.converter", "Header converter class", 10),
    version(
        "header.converter.plugin.version",
        "Header converter version",
        Importance::Low,
        Width::Short,
        11,
    ),
    ConfigKey::new(
        "transforms",
        ConfigType::List,
        DefaultValue::Text(""),
        "Transforms",
        "Freely chosen names of the transforms that are applied to each record, in this order. \
         Each name has its class in transforms.NAME.type, and its settings in other keys with the \
         same prefix.",
    )
    .check(KeyValidator::Distinct)
    .importance(Importance::Low)
    .form(Width::Long, "Transforms")
    .order(12),
    ConfigKey::new(
        "predicates",
        ConfigType::List,
        DefaultValue::Text(""),
        "Predicates",
        "Freely chosen names of the predicates that transforms may use. Each name has its class in \
         predicates.NAME.type.",
    )
    .check(KeyValidator::Distinct)
    .importance(Importance::Low)
    .form(Width::Long, "Predicates")
    .order(13),
    ConfigKey::new(
        "config.action.reload",
        ConfigType::String,
        DefaultValue::Text("restart"),
        COMMON_GROUP,
        "no config provider here reports changed values. Restart the connector after a change.",
    )
    .without_effect()
    .check(KeyValidator::OneOf(&["none", "restart"]))
    .importance(Importance::Low)
    .form(Width::Medium, "Reload Action")
    .order(14),
    errors(
        "errors.retry.timeout",
        ConfigType::Long,
        "0",
        "Retry Timeout for Errors",
        Width::Medium,
        1,
        "How long, in milliseconds, an operation is retried after transient errors, such as a lost \
         database connection. Values below 60000 count as 60000; -1: no limit.",
    ),
    errors(
        "errors.retry.delay.max.ms",
        ConfigType::Long,
        "60000",
        "Maximum Delay Between Retries for Errors",
        Width::Medium,
        2,
        "Maximum delay between two attempts, in milliseconds. The delay grows from attempt to \
         attempt up to this value; if it is not set, up to 5000.",
    ),
    errors(
        "errors.tolerance",
        ConfigType::String,
        "none",
        "Error Tolerance",
        Width::Short,
        3,
        "How to handle a record that cannot be processed: none: the task fails; all: the record is \
         skipped, and written to the dead-letter topic if there is one.",
    )
    .check(KeyValidator::OneOf(&["none", "all"])),
    errors(
        "errors.log.enable",
        ConfigType::Boolean,
        "false",
        "Log Errors",
        Width::Short,
        4,
        "Whether each skipped record is logged. Records that fail the task are always logged.",
    ),
    errors(
        "errors.log.include.messages",
        ConfigType::Boolean,
        "false",
        "Log Error Details",
        Width::Short,
        5,
        "the log line always names topic, partition and offset. Keys and values are never logged.",
    )
    .without_effect(),
];

/// Further keys of sources (Kafka's `SourceConnectorConfig`).
pub(crate) const SOURCE: &[ConfigKey] = &[
    ConfigKey::new(
        "topic.creation.groups",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Names of groups of topics that are created with their own settings, \
         topic.creation.GROUP.*. A topic belongs to the first group that matches it; the group \
         `default` is always the last one.",
    )
    .check(KeyValidator::Distinct)
    .importance(Importance::Low)
    .form(Width::Long, "Topic Creation Groups")
    .order(1),
    ConfigKey::new(
        "exactly.once.support",
        ConfigType::String,
        DefaultValue::Text("requested"),
        EXACTLY_ONCE_GROUP,
        "required: the connector runs only if the worker guarantees exactly-once delivery. \
         requested: it also runs without that guarantee.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["REQUIRED", "REQUESTED"]))
    .form(Width::Short, "Exactly once support")
    .order(2),
    ConfigKey::new(
        "transaction.boundary",
        ConfigType::String,
        DefaultValue::Text("poll"),
        EXACTLY_ONCE_GROUP,
        "When Kafka transactions are committed: after each batch that was read (poll; with a \
         backlog, several batches share one transaction), or after a time (interval).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&[
        "INTERVAL",
        "POLL",
        "CONNECTOR",
    ]))
    .form(Width::Short, "Transaction Boundary")
    .order(3),
    ConfigKey::new(
        "transaction.boundary.interval.ms",
        ConfigType::Long,
        DefaultValue::Null,
        EXACTLY_ONCE_GROUP,
        "Time between two commits of Kafka transactions in milliseconds, with \
         transaction.boundary=interval. Not set: the worker's offset.flush.interval.ms.",
    )
    .importance(Importance::Low)
    .form(Width::Short, "Transaction boundary interval")
    .order(4),
    ConfigKey::new(
        "offsets.storage.topic",
        ConfigType::String,
        DefaultValue::Null,
        "offsets.topic",
        "Topic for this connector's offsets. Not set: the worker's offset.storage.topic.",
    )
    .check(KeyValidator::NonEmpty)
    .importance(Importance::Low)
    .form(Width::Long, "Offsets topic")
    .order(1),
];

/// Keys of one topic group, after `topic.creation.GROUP.` (Kafka's `TopicCreationConfig`).
pub(crate) const TOPIC_GROUP: &[ConfigKey] = &[
    ConfigKey::new(
        "replication.factor",
        ConfigType::Short,
        DefaultValue::Required,
        TOPICS_GROUP,
        "Number of replicas of each partition; -1: the broker's default.",
    )
    .check(KeyValidator::By(values::at_least_one_or_minus_one))
    .importance(Importance::Low)
    .form(Width::Long, "Replication factor"),
    ConfigKey::new(
        "partitions",
        ConfigType::Int,
        DefaultValue::Required,
        TOPICS_GROUP,
        "Number of partitions of a new topic; -1: the broker's default.",
    )
    .check(KeyValidator::By(values::at_least_one_or_minus_one))
    .importance(Importance::Low)
    .form(Width::Long, "Partitions"),
    ConfigKey::new(
        "include",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Regular expressions. A topic belongs to the group if one of them matches its whole name.",
    )
    .check(KeyValidator::By(connector_api::config::regexes))
    .importance(Importance::Low)
    .form(Width::Long, "Included topics"),
    ConfigKey::new(
        "exclude",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Regular expressions. A topic does not belong to the group if one of them matches its \
         whole name.",
    )
    .check(KeyValidator::By(connector_api::config::regexes))
    .importance(Importance::Low)
    .form(Width::Long, "Excluded topics"),
];

/// Further keys of sinks (Kafka's `SinkConnectorConfig`).
pub(crate) const SINK: &[ConfigKey] = &[
    ConfigKey::new(
        "topics",
        ConfigType::List,
        DefaultValue::Text(""),
        COMMON_GROUP,
        "Topics to read, separated by commas. Set either this key or topics.regex.",
    )
    .importance(Importance::High)
    .form(Width::Long, "Topics")
    .order(4),
    ConfigKey::new(
        "topics.regex",
        ConfigType::String,
        DefaultValue::Text(""),
        COMMON_GROUP,
        "Regular expression. The sink reads all topics whose whole name it matches, also topics \
         that are created later.",
    )
    .check(KeyValidator::By(values::regex))
    .importance(Importance::High)
    .form(Width::Long, "Topics regex")
    .order(4),
    errors(
        "errors.deadletterqueue.topic.name",
        ConfigType::String,
        "",
        "Dead Letter Queue Topic Name",
        Width::Medium,
        6,
        "Topic for records that cannot be processed, with errors.tolerance=all. Empty: no such \
         topic.",
    ),
    errors(
        "errors.deadletterqueue.topic.replication.factor",
        ConfigType::Short,
        "3",
        "Dead Letter Queue Topic Replication Factor",
        Width::Medium,
        7,
        "Number of replicas of the dead-letter topic if it has to be created. Not set, or -1: the \
         broker's default.",
    ),
    errors(
        "errors.deadletterqueue.context.headers.enable",
        ConfigType::Boolean,
        "false",
        "Enable Error Context Headers",
        Width::Medium,
        8,
        "Whether records in the dead-letter topic get headers with their origin and the error.",
    ),
];

/// Keys of one transform, after `transforms.NAME.`, in addition to those of its class.
pub(crate) const TRANSFORM: &[ConfigKey] = &[
    class(
        "type",
        "Class of the transform: its full name or its simple name.",
    ),
    alias_version(),
    ConfigKey::new(
        "predicate",
        ConfigType::String,
        DefaultValue::Null,
        "",
        "Name of a predicate. The transform is only applied to records for which the predicate is \
         true.",
    )
    .form(Width::None, "predicate"),
    ConfigKey::new(
        "negate",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        "",
        "Inverts the predicate: the transform is only applied to records for which the predicate \
         is false.",
    )
    .form(Width::None, "negate"),
];

/// Keys of one predicate, after `predicates.NAME.`, in addition to those of its class.
pub(crate) const PREDICATE: &[ConfigKey] = &[
    class(
        "type",
        "Class of the predicate: its full name or its simple name.",
    ),
    alias_version(),
];

const fn class(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Class, DefaultValue::Required, "", doc)
        .importance(Importance::High)
        .form(Width::None, name)
}

const fn alias_version() -> ConfigKey {
    ConfigKey::new(
        "plugin.version",
        ConfigType::String,
        DefaultValue::Null,
        "",
        VERSION_DOC,
    )
    .importance(Importance::Low)
    .form(Width::None, "plugin.version")
}

const fn version(
    name: &'static str,
    label: &'static str,
    importance: Importance,
    width: Width,
    order: i32,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::String,
        DefaultValue::Null,
        COMMON_GROUP,
        VERSION_DOC,
    )
    .importance(importance)
    .form(width, label)
    .order(order)
}

const fn converter(name: &'static str, label: &'static str, order: i32) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::Class,
        DefaultValue::Null,
        COMMON_GROUP,
        "Converter between values and the bytes in Kafka. Not set: the worker's converter. Keys \
         with this key's name and a dot as prefix are its settings.",
    )
    .importance(Importance::Low)
    .form(Width::Short, label)
    .order(order)
}

const fn errors(
    name: &'static str,
    ty: ConfigType,
    default: &'static str,
    label: &'static str,
    width: Width,
    order: i32,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, DefaultValue::Text(default), ERRORS_GROUP, doc)
        .form(width, label)
        .order(order)
}
