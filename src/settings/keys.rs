//! Declares every worker key once: Kafka Connect's names first, then our own under `rowferry.`. The
//! settings, the warnings about unknown keys and the generated reference are derived from this
//! table.

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator};

use crate::kafka::settings as kafka_client;

const KAFKA: &str = "Kafka";
const WORKER: &str = "Worker";
const REST: &str = "REST";
const TOPICS: &str = "Internal topics";
/// Group of keys that are accepted but not read.
const WITHOUT_EFFECT: &str = "Accepted, without effect";
const OWN: &str = "Rowferry";

const fn text(
    name: &'static str,
    default: &'static str,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::String,
        DefaultValue::Text(default),
        group,
        doc,
    )
}

const fn list(
    name: &'static str,
    default: &'static str,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::List,
        DefaultValue::Text(default),
        group,
        doc,
    )
}

const fn flag(
    name: &'static str,
    default: &'static str,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::Boolean,
        DefaultValue::Text(default),
        group,
        doc,
    )
}

const fn millis(
    name: &'static str,
    default: &'static str,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::Long,
        DefaultValue::Text(default),
        group,
        doc,
    )
    .check(KeyValidator::AtLeast(0))
}

const fn maybe(
    name: &'static str,
    ty: ConfigType,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, DefaultValue::Null, group, doc)
}

/// Declares a key of Kafka Connect that has no meaning here; it is accepted so that existing files
/// work unchanged.
const fn idle(name: &'static str) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::String,
        DefaultValue::Null,
        WITHOUT_EFFECT,
        "accepted so that existing files work.",
    )
    .without_effect()
    .importance(Importance::Low)
}

/// All worker keys with a fixed name.
pub const KEYS: &[ConfigKey] = &[
    list(
        "bootstrap.servers",
        "localhost:9092",
        KAFKA,
        "Kafka brokers as `host:port`, separated by commas.",
    )
    .importance(Importance::High),
    text(
        "group.id",
        "rowferry",
        KAFKA,
        "Name of this group of workers, and prefix of its transactional ids.",
    )
    .importance(Importance::High),
    text(
        "client.id",
        "",
        KAFKA,
        "Prefix of the client ids that Kafka sees.",
    ),
    text(
        "key.converter",
        "org.apache.kafka.connect.json.JsonConverter",
        WORKER,
        "Converter of record keys.",
    )
    .importance(Importance::High),
    text(
        "value.converter",
        "org.apache.kafka.connect.json.JsonConverter",
        WORKER,
        "Converter of record values.",
    )
    .importance(Importance::High),
    text(
        "header.converter",
        "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        WORKER,
        "Converter of header values.",
    ),
    millis(
        "task.shutdown.graceful.timeout.ms",
        "5000",
        WORKER,
        "How long all tasks together have to finish their batch, commit and close during shutdown. \
         Then they are cut off.",
    ),
    millis(
        "task.progress.timeout.ms",
        "300000",
        WORKER,
        "Maximum time that a task with work to do may go without progress while it waits for its \
         source, Kafka, its database, a converter or the dead-letter topic. Then the task is cut \
         off, is FAILED with the reason, and is restarted. After a fifth of this time its status \
         has a warning. A statement on which the database is still working, a delayed retry and a \
         pause do not count. 0: no limit. A connector's own key of the same name takes precedence.",
    ),
    millis(
        "offset.flush.interval.ms",
        "10000",
        WORKER,
        "How often offsets are committed if they are not part of each transaction. Kafka Connect's \
         built-in default is 60000; its sample files set 10000.",
    ),
    text(
        "exactly.once.source.support",
        "enabled",
        WORKER,
        "Whether sources write records and source offsets in one Kafka transaction. Kafka \
         Connect's default is disabled.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&[
        "disabled",
        "preparing",
        "enabled",
    ])),
    text(
        "connector.client.config.override.policy",
        "All",
        WORKER,
        "Which client settings a connector may override: All (all safe ones), Principal (those for \
         authentication), None, or Allowlist (those in connector.client.config.override.allowlist).",
    ),
    list(
        "connector.client.config.override.allowlist",
        "",
        WORKER,
        "Names of the client settings that a connector may override with the policy Allowlist.",
    ),
    ConfigKey::new(
        "rowferry.tasks.max",
        ConfigType::Int,
        DefaultValue::Text("1000"),
        WORKER,
        "Maximum number of tasks per connector. A larger tasks.max is refused, and fails a \
         connector that is already stored. Each task has its own threads and clients.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.worker.tasks.max",
        ConfigType::Int,
        DefaultValue::Text("4000"),
        WORKER,
        "Maximum number of tasks that run on this worker at the same time. Further tasks are \
         FAILED and retried automatically. A task needs about half a megabyte, six threads and at \
         least eleven open files.",
    )
    .check(KeyValidator::AtLeast(1)),
    flag(
        "topic.tracking.enable",
        "true",
        WORKER,
        "Whether the worker records the topics that a connector uses.",
    ),
    flag(
        "topic.tracking.allow.reset",
        "true",
        WORKER,
        "Whether the list of used topics can be reset over REST.",
    ),
    flag(
        "topic.creation.enable",
        "true",
        WORKER,
        "Whether sources may create topics.",
    ),
    list(
        "config.providers",
        "",
        WORKER,
        "Names of the providers that resolve `${NAME:key}` and `${NAME:path:key}` in values of the \
         worker and of connectors; none by default. `config.providers.NAME.class` is Kafka's \
         EnvVarConfigProvider, FileConfigProvider or DirectoryConfigProvider (not needed if NAME \
         is env, file or directory). What a provider may read must be listed: \
         `config.providers.NAME.param.allowlist.pattern` is a regular expression for names of \
         variables, `config.providers.NAME.param.allowed.paths` lists files and folders, separated \
         by commas.",
    ),
    text(
        "offset.storage.topic",
        "connect-offsets",
        TOPICS,
        "Compacted topic for source offsets.",
    ),
    ConfigKey::new(
        "offset.storage.partitions",
        ConfigType::Int,
        DefaultValue::Text("25"),
        TOPICS,
        "Number of partitions of the offsets topic if it has to be created; -1: the broker's \
         default.",
    )
    .check(KeyValidator::AtLeast(-1)),
    ConfigKey::new(
        "offset.storage.replication.factor",
        ConfigType::Short,
        DefaultValue::Text("-1"),
        TOPICS,
        "Number of replicas of the offsets topic if it has to be created; -1: the broker's \
         default. Kafka Connect's default is 3.",
    )
    .check(KeyValidator::AtLeast(-1)),
    list(
        "listeners",
        "http://127.0.0.1:8083",
        REST,
        "Addresses on which the REST API listens: `http://host:port` or `https://host:port`. An \
         empty host means all interfaces.",
    )
    .importance(Importance::High),
    maybe(
        "rest.host.name",
        ConfigType::String,
        REST,
        "Host of the listener if `listeners` is not set.",
    ),
    maybe(
        "rest.port",
        ConfigType::Int,
        REST,
        "Port of the listener if `listeners` is not set.",
    ),
    maybe(
        "rest.advertised.host.name",
        ConfigType::String,
        REST,
        "Host name under which others reach this worker.",
    ),
    maybe(
        "rest.advertised.port",
        ConfigType::Int,
        REST,
        "Port under which others reach this worker.",
    ),
    maybe(
        "admin.listeners",
        ConfigType::List,
        REST,
        "Empty: `/admin` is not served. Other values are accepted so that existing files work: \
         `/admin` is served on `listeners`.",
    ),
    text(
        "access.control.allow.origin",
        "",
        REST,
        "Origin whose web pages may call the REST API (CORS). Empty: none.",
    ),
    text(
        "access.control.allow.methods",
        "",
        REST,
        "HTTP methods that such pages may use. Empty: GET, POST and HEAD.",
    ),
    text(
        "response.http.headers.config",
        "",
        REST,
        "Additional response headers: `[add|set] name:value`, separated by commas.",
    ),
    list(
        "rowferry.allowed.hosts",
        "",
        REST,
        "Additional host names that a worker without a file of users accepts in requests: \
         `connect.example.org`, `.example.org` for all its subdomains, `*` for all names. This \
         check prevents web pages from reaching the worker through a host name of their own (DNS \
         rebinding). Always accepted are IP addresses, localhost, the machine's names, the hosts \
         in `listeners` and rest.advertised.host.name.",
    ),
    ConfigKey::new(
        "rowferry.rest.connections",
        ConfigType::Int,
        DefaultValue::Text("1024"),
        REST,
        "Maximum number of connections on all listeners together. When it is reached, the \
         connection that has been idle longest is closed for the next one; if none can be closed, \
         only `/health`, `/livez` and `/readyz` are answered.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.rest.connections.per.address",
        ConfigType::Int,
        DefaultValue::Text("512"),
        REST,
        "Maximum number of connections from one address (IPv6: one /64 network).",
    )
    .check(KeyValidator::AtLeast(1)),
    maybe(
        "metrics.listener",
        ConfigType::String,
        REST,
        "Additional address that serves `/metrics` alone and without credentials: \
         `http://127.0.0.1:9404`. A bare port is one on 127.0.0.1. It shares the limits of the \
         other listeners. Not set: `/metrics` is served on `listeners` only, to the role viewer.",
    ),
    list(
        "metrics.spellings",
        "rowferry,confluent,strimzi,debezium",
        REST,
        "Names under which `/metrics` shows figures: `rowferry` (documented in docs/metrics.md), \
         and those that ready dashboards for Kafka Connect and Debezium read.",
    ),
    ConfigKey::new(
        "metrics.tables.max",
        ConfigType::Int,
        DefaultValue::Text("200"),
        REST,
        "Maximum number of tables or topics of a task that metrics show by name; the rest is added \
         up as `other`.",
    )
    .check(KeyValidator::AtLeast(1)),
    text(
        "rest.extension.classes",
        "",
        REST,
        "Java extensions. Must be empty; use `rowferry.auth.file` instead.",
    )
    .importance(Importance::Low),
    text(
        "rowferry.data.dir",
        "./rowferry-data",
        OWN,
        "Folder of the embedded metadata store.",
    ),
    maybe(
        "rowferry.store.url",
        ConfigType::Password,
        OWN,
        "Metadata store: `sqlite:path`, `mysql://user:password@host/db` or \
         `postgres://user:password@host/db`. Not set: an SQLite file in `rowferry.data.dir`.",
    ),
    flag(
        "rowferry.store.shared",
        "false",
        OWN,
        "True if several workers with the same `group.id` use the metadata store, which must be on \
         MariaDB, MySQL or PostgreSQL. Connectors and tasks are spread over them, and each answers \
         every call. All of them need this setting.",
    ),
    millis(
        "rowferry.store.poll.ms",
        "500",
        OWN,
        "How often a worker reads what others have changed in a shared store.",
    )
    .check(KeyValidator::AtLeast(10)),
    millis(
        "rowferry.store.patience.ms",
        "60000",
        OWN,
        "How long a worker keeps its tasks that does not reach the shared store, while another \
         worker does. After that it leaves the group, so that the others take over.",
    )
    .check(KeyValidator::AtLeast(1000)),
    text(
        "rowferry.balance",
        "work",
        OWN,
        "What decides where tasks run if there are several workers: `work`, how busy tasks are; \
         `count`, only how many tasks each worker has; `off`, tasks move only when their worker \
         ends or is drained.",
    )
    .check(KeyValidator::OneOf(&["work", "count", "off"])),
    millis(
        "rowferry.balance.interval.ms",
        "60000",
        OWN,
        "The least time between two moves because of work; the same task moves at most once in ten \
         times this. How busy a task is, is an average over about five times this.",
    )
    .check(KeyValidator::AtLeast(1000)),
    millis(
        "rowferry.slots",
        "64",
        OWN,
        "Number of parts in which the work of several workers is divided; it is fixed when the \
         first worker starts.",
    )
    .check(KeyValidator::Between(1, 10_000)),
    millis(
        "session.timeout.ms",
        "10000",
        WORKER,
        "With several workers: how long, in milliseconds, a worker may be silent before the others \
         take over. Brokers allow 6000 to 1800000.",
    ),
    millis(
        "heartbeat.interval.ms",
        "1000",
        WORKER,
        "With several workers: how often each shows Kafka that it is alive.",
    ),
    millis(
        "rebalance.timeout.ms",
        "60000",
        WORKER,
        "With several workers: how long a worker may take to give its tasks up.",
    ),
    millis(
        "scheduled.rebalance.max.delay.ms",
        "0",
        WORKER,
        "With several workers: how long the tasks of a worker that was lost wait for its return, \
         after `session.timeout.ms`. The others run them if it does not come back. Tasks of a \
         worker that is stopped in good order do not wait.",
    ),
    text(
        "group.instance.id",
        "",
        WORKER,
        "With several workers: a name that is the same after a restart, so that the tasks of a \
         worker wait for its return for `session.timeout.ms`. Empty: others take over at once.",
    ),
    maybe(
        "file.allowed.paths",
        ConfigType::List,
        OWN,
        "Folders (or files) in which FileStreamSource and FileStreamSink may use files, separated \
         by commas. Symbolic links are resolved first. Not set: `rowferry.data.dir`, and with \
         `rowferry dev` also the working directory. The worker's own files are never accessible.",
    ),
    maybe(
        "sqlite.allowed.paths",
        ConfigType::List,
        OWN,
        "Folders (or files) in which connectors may use SQLite files, separated by commas. \
         Symbolic links are resolved first. Not set: `rowferry.data.dir`, and with `rowferry dev` \
         also the working directory. The worker's own files are never accessible.",
    ),
    maybe(
        "rowferry.secrets.key",
        ConfigType::Password,
        OWN,
        "Key that encrypts configs in the metadata store: 32 random bytes in base64, or \
         `file:PATH` of a file with them. Not set: the key file `secrets.key`, which is created at \
         the first start, next to an SQLite store or else in `rowferry.data.dir`; with a database \
         server that file only encrypts the history. Workers that share a store need the same key. \
         A key in the key file is still read, and configs encrypted with it are encrypted again \
         with this key.",
    ),
    maybe(
        "rowferry.secrets.forget",
        ConfigType::String,
        OWN,
        "Id of a lost key, as named in the error at the start. Configs that only this key can \
         decrypt are deleted.",
    ),
    ConfigKey::new(
        "rowferry.history.versions",
        ConfigType::Int,
        DefaultValue::Text("100"),
        OWN,
        "Number of configs kept per connector, including the current one.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.history.total",
        ConfigType::Int,
        DefaultValue::Text("10000"),
        OWN,
        "Number of earlier configs kept for all connectors together. The oldest are deleted first, \
         current ones never.",
    )
    .check(KeyValidator::AtLeast(0)),
    millis(
        "rowferry.history.deleted.retention.ms",
        "2592000000",
        OWN,
        "How long, in milliseconds, the configs of a deleted connector are kept so that it can be \
         restored. The default is 30 days.",
    ),
    maybe(
        "rowferry.auth.file",
        ConfigType::String,
        REST,
        "File with the users and tokens that may call the REST API. Not set: everybody may.",
    ),
    maybe(
        "rowferry.tls.certificate",
        ConfigType::String,
        REST,
        "PEM file with the certificate of https listeners and its intermediate certificates. Not \
         set: `ssl.keystore.location`, if it is a PEM file.",
    ),
    maybe(
        "rowferry.tls.key",
        ConfigType::String,
        REST,
        "PEM file with the private key. Not set: the file of the certificate.",
    ),
    maybe(
        "rowferry.tls.client.authorities",
        ConfigType::String,
        REST,
        "PEM file with the authorities of client certificates. If it is set, clients must present \
         a certificate.",
    ),
    text(
        "rowferry.log.level",
        "info",
        OWN,
        "Log level, or levels by module: `info,rowferry::worker=debug`.",
    ),
    text(
        "rowferry.log.format",
        "auto",
        OWN,
        "Format of log lines: text or json; auto is text on a terminal, json otherwise.",
    )
    .check(KeyValidator::OneOf(&["auto", "text", "json"])),
    idle("config.storage.topic"),
    idle("rest.advertised.listener"),
    idle("config.storage.replication.factor"),
    idle("status.storage.topic"),
    idle("status.storage.replication.factor"),
    idle("status.storage.partitions"),
    idle("offset.storage.file.filename"),
    idle("offset.flush.timeout.ms"),
    idle("plugin.path"),
    idle("plugin.discovery"),
    idle("metrics.sample.window.ms"),
    idle("metrics.num.samples"),
    idle("metrics.recording.level"),
    idle("metric.reporters"),
    idle("auto.include.jmx.reporter"),
    idle("worker.sync.timeout.ms"),
    idle("worker.unsync.backoff.ms"),
    idle("connect.protocol"),
    idle("inter.worker.key.generation.algorithm"),
    idle("inter.worker.key.size"),
    idle("inter.worker.key.ttl.ms"),
    idle("inter.worker.signature.algorithm"),
    idle("inter.worker.verification.algorithms"),
    idle("internal.key.converter"),
    idle("internal.value.converter"),
];

/// Prefixes of open-ended groups of keys.
const FAMILIES: &[&str] = &[
    "admin.",
    "config.providers.",
    "config.storage.",
    "consumer.",
    "header.converter.",
    "internal.key.converter.",
    "internal.value.converter.",
    "key.converter.",
    "listeners.https.",
    "metrics.context.",
    "offset.storage.",
    "producer.",
    "sasl.",
    "ssl.",
    "status.storage.",
    "value.converter.",
];

/// True if a worker accepts this key.
pub fn is_known(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
        || kafka_client::RULES.iter().any(|rule| rule.java == name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Returns the known key most similar to an unknown one, if any is similar.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    const ALIKE: f64 = 0.9;
    let known = KEYS
        .iter()
        .map(|key| key.name)
        .chain(kafka_client::RULES.iter().map(|rule| rule.java));
    known
        .map(|key| (strsim::jaro_winkler(key, name), key))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}
