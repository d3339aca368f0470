//! The keys that every connector has besides those of its plug-in: names, defaults and checks are Kafka Connect's.
//!
//! Tables only. Who reads a key takes its default and its parsing from here.

mod values;

use connector_api::ConfigKey;
use connector_api::config::{ConfigType, DefaultValue, Importance, KeyValidator, Width};

const COMMON_GROUP: &str = "Common";
const ERRORS_GROUP: &str = "Error Handling";
const TOPICS_GROUP: &str = "Topic Creation";
const EXACTLY_ONCE_GROUP: &str = "Exactly Once Support";

/// Most names that `transforms`, `predicates` or `topic.creation.groups` may list: each stands for a form of its own.
pub const ALIASES_MAX: usize = 256;

/// Which version the connector must have.
pub const CONNECTOR_VERSION: &str = "connector.plugin.version";

/// How long a task may go without progress, of the worker and of a connector.
pub const PROGRESS_TIMEOUT: &str = "task.progress.timeout.ms";

const VERSION_DOC: &str = "The version that the plug-in must have: one, such as 0.1.0, or a range, such as [0.1,1.0). Absent, and `latest`: \
                           any. There is one version of each plug-in here; GET /connector-plugins?connectorsOnly=false tells it.";

/// Keys of every connector (Kafka's `ConnectorConfig`).
pub const COMMON: &[ConfigKey] = &[
    ConfigKey::new(
        "name",
        ConfigType::String,
        DefaultValue::Required,
        COMMON_GROUP,
        "The connector's name: unique on this worker and its group, and part of the names of its consumer group and \
         of its transactional ids.",
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
        "Which connector to run: its full class name, its simple name, or its simple name without the last \
         `Connector`, such as JdbcSource. Class names of other JDBC connectors are understood as well.",
    )
    .importance(Importance::High)
    .form(Width::Long, "Connector class")
    .order(2),
    version(CONNECTOR_VERSION, "Connector version", Importance::Medium, Width::Medium, 3),
    ConfigKey::new(
        "tasks.max",
        ConfigType::Int,
        DefaultValue::Text("1"),
        COMMON_GROUP,
        "How many tasks the work may be split into at most. A connector makes fewer where there is less to split.",
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
        "Whether a connector that makes more tasks than tasks.max fails. The built-in connectors never do.",
    )
    .importance(Importance::Low)
    .form(Width::Short, "Enforce tasks max")
    .order(5),
    converter("key.converter", "Key converter class", 6),
    version("key.converter.plugin.version", "Key converter version", Importance::Low, Width::Short, 7),
    converter("value.converter", "Value converter class", 8),
    version("value.converter.plugin.version", "Value converter version", Importance::Low, Width::Short, 9),
    converter("header.converter", "Header converter class", 10),
    version("header.converter.plugin.version", "Header converter version", Importance::Low, Width::Short, 11),
    ConfigKey::new(
        "transforms",
        ConfigType::List,
        DefaultValue::Text(""),
        "Transforms",
        "Names, chosen freely, of the transforms that each record passes, in order. Each name has its class in \
         transforms.NAME.type and its settings beside it.",
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
        "Names, chosen freely, of the predicates that transforms may refer to. Each name has its class in \
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
        "no config provider here tells that a value has changed. Restart the connector then.",
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
        "For how long, in milliseconds, an operation is tried again that fails over trouble that may pass, such as a lost \
         database: at least 60000, whatever is given; -1 without end.",
    ),
    errors(
        "errors.retry.delay.max.ms",
        ConfigType::Long,
        "60000",
        "Maximum Delay Between Retries for Errors",
        Width::Medium,
        2,
        "The longest wait between two tries, in milliseconds. Waits grow from try to try up to this one; where it is not \
         given, up to 5000.",
    ),
    errors(
        "errors.tolerance",
        ConfigType::String,
        "none",
        "Error Tolerance",
        Width::Short,
        3,
        "What a record that cannot be processed does: fail the task (none), or be skipped (all), and written to the \
         dead letter topic where one is set.",
    )
    .check(KeyValidator::OneOf(&["none", "all"])),
    errors(
        "errors.log.enable",
        ConfigType::Boolean,
        "false",
        "Log Errors",
        Width::Short,
        4,
        "Whether each record that is skipped is logged. Records that fail the task are logged in any case.",
    ),
    errors(
        "errors.log.include.messages",
        ConfigType::Boolean,
        "false",
        "Log Error Details",
        Width::Short,
        5,
        "that log line always names topic, partition and offset. Keys and values are never logged.",
    )
    .without_effect(),
];

/// Further keys of sources (Kafka's `SourceConnectorConfig`).
pub const SOURCE: &[ConfigKey] = &[
    ConfigKey::new(
        "topic.creation.groups",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Names of groups of topics that are created with settings of their own, topic.creation.GROUP.*. The first \
         group that a topic matches counts, the group `default` is always the last.",
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
        "Whether the connector may run only where each record is delivered exactly once (required), or also where \
         the worker does not promise that (requested).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["REQUIRED", "REQUESTED"]))
    .form(Width::Short, "Exactly once support")
    .order(2),
    ConfigKey::new(
        "transaction.boundary",
        ConfigType::String,
        DefaultValue::Text("poll"),
        EXACTLY_ONCE_GROUP,
        "Where Kafka transactions end: after each batch that was read (poll; under a backlog, several batches share \
         one), or after a time (interval).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["INTERVAL", "POLL", "CONNECTOR"]))
    .form(Width::Short, "Transaction Boundary")
    .order(3),
    ConfigKey::new(
        "transaction.boundary.interval.ms",
        ConfigType::Long,
        DefaultValue::Null,
        EXACTLY_ONCE_GROUP,
        "Time between the ends of Kafka transactions in milliseconds, where transaction.boundary is interval. \
         Absent: the worker's offset.flush.interval.ms.",
    )
    .importance(Importance::Low)
    .form(Width::Short, "Transaction boundary interval")
    .order(4),
    ConfigKey::new(
        "offsets.storage.topic",
        ConfigType::String,
        DefaultValue::Null,
        "offsets.topic",
        "The topic that keeps this connector's offsets. Absent: the worker's offset.storage.topic.",
    )
    .check(KeyValidator::NonEmpty)
    .importance(Importance::Low)
    .form(Width::Long, "Offsets topic")
    .order(1),
];

/// Keys of one topic group, after `topic.creation.GROUP.` (Kafka's `TopicCreationConfig`).
pub const TOPIC_GROUP: &[ConfigKey] = &[
    ConfigKey::new(
        "replication.factor",
        ConfigType::Short,
        DefaultValue::Required,
        TOPICS_GROUP,
        "Copies of each partition; -1 leaves it to the broker.",
    )
    .check(KeyValidator::By(values::at_least_one_or_minus_one))
    .importance(Importance::Low)
    .form(Width::Long, "Replication factor"),
    ConfigKey::new(
        "partitions",
        ConfigType::Int,
        DefaultValue::Required,
        TOPICS_GROUP,
        "Partitions of a new topic; -1 leaves it to the broker.",
    )
    .check(KeyValidator::By(values::at_least_one_or_minus_one))
    .importance(Importance::Low)
    .form(Width::Long, "Partitions"),
    ConfigKey::new(
        "include",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Regular expressions; topics that one of them matches whole belong to the group.",
    )
    .check(KeyValidator::By(connector_api::config::regexes))
    .importance(Importance::Low)
    .form(Width::Long, "Included topics"),
    ConfigKey::new(
        "exclude",
        ConfigType::List,
        DefaultValue::Text(""),
        TOPICS_GROUP,
        "Regular expressions; topics that one of them matches whole do not belong to the group.",
    )
    .check(KeyValidator::By(connector_api::config::regexes))
    .importance(Importance::Low)
    .form(Width::Long, "Excluded topics"),
];

/// Further keys of sinks (Kafka's `SinkConnectorConfig`).
pub const SINK: &[ConfigKey] = &[
    ConfigKey::new(
        "topics",
        ConfigType::List,
        DefaultValue::Text(""),
        COMMON_GROUP,
        "The topics to read, separated by commas. Either this or topics.regex has to be set.",
    )
    .importance(Importance::High)
    .form(Width::Long, "Topics")
    .order(4),
    ConfigKey::new(
        "topics.regex",
        ConfigType::String,
        DefaultValue::Text(""),
        COMMON_GROUP,
        "A regular expression; all topics that it matches whole are read, new ones too.",
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
        "The topic that records go to which cannot be processed, where errors.tolerance is all. Empty: none.",
    ),
    errors(
        "errors.deadletterqueue.topic.replication.factor",
        ConfigType::Short,
        "3",
        "Dead Letter Queue Topic Replication Factor",
        Width::Medium,
        7,
        "Copies of the dead letter topic's partition where it has to be created; -1, and where it is not given, leaves \
         it to the broker.",
    ),
    errors(
        "errors.deadletterqueue.context.headers.enable",
        ConfigType::Boolean,
        "false",
        "Enable Error Context Headers",
        Width::Medium,
        8,
        "Whether records in the dead letter topic get headers that tell where they came from and what was wrong.",
    ),
];

/// Keys of one transform, after `transforms.NAME.`, beside those of its class.
pub const TRANSFORM: &[ConfigKey] = &[
    class(
        "type",
        "The transform's class: its full name, or its simple name.",
    ),
    alias_version(),
    ConfigKey::new(
        "predicate",
        ConfigType::String,
        DefaultValue::Null,
        "",
        "Name of a predicate: only records that it holds for are transformed.",
    )
    .form(Width::None, "predicate"),
    ConfigKey::new(
        "negate",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        "",
        "Turns the predicate round: only records that it does not hold for are transformed.",
    )
    .form(Width::None, "negate"),
];

/// Keys of one predicate, after `predicates.NAME.`, beside those of its class.
pub const PREDICATE: &[ConfigKey] = &[
    class(
        "type",
        "The predicate's class: its full name, or its simple name.",
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
        "The converter between values and the bytes in Kafka. Absent: the worker's. Its settings are keys that begin \
         with this key's name and a dot.",
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
