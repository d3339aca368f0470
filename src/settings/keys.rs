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
        "taken from existing files.",
    )
    .without_effect()
    .importance(Importance::Low)
}

/// All worker keys with a fixed name.
pub const KEYS: &[ConfigKey] = &[
    list("bootstrap.servers", "localhost:9092", KAFKA, "Kafka brokers, `host:port` with commas between.")
        .importance(Importance::High),
    text("group.id", "rowferry", KAFKA, "Name of this group of workers: the first part of its transactional ids.")
        .importance(Importance::High),
    text("client.id", "", KAFKA, "Prefix of the client ids shown to Kafka."),
    text("key.converter", "org.apache.kafka.connect.json.JsonConverter", WORKER, "Converter of record keys.")
        .importance(Importance::High),
    text("value.converter", "org.apache.kafka.connect.json.JsonConverter", WORKER, "Converter of record values.")
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
        "How long tasks together may take to finish their batch, commit and close before they are cut off.",
    ),
    millis(
        "task.progress.timeout.ms",
        "300000",
        WORKER,
        "How long a task that has work may stand still, waiting for its source, Kafka, its database, a converter or the \
         dead-letter topic, until it is cut off, FAILED with the reason, and started anew; after a fifth of it, its \
         status warns. A statement that a database still works on, a try that is put off, and a pause do not count. 0 is \
         for ever. A connector's own key of that name comes before it.",
    ),
    millis(
        "offset.flush.interval.ms",
        "10000",
        WORKER,
        "How often offsets are committed where they are not part of each transaction. Kafka Connect's own default is \
         60000, the files it ships say 10000.",
    ),
    text(
        "exactly.once.source.support",
        "enabled",
        WORKER,
        "Whether sources write records and their offsets in one Kafka transaction. Kafka Connect's default is disabled.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["disabled", "preparing", "enabled"])),
    text(
        "connector.client.config.override.policy",
        "All",
        WORKER,
        "Which client settings a connector may override: All (of the safe ones), Principal (how it logs in), None, or \
         Allowlist (those that the next key names).",
    ),
    list(
        "connector.client.config.override.allowlist",
        "",
        WORKER,
        "Names of client settings that a connector may override, with the policy Allowlist.",
    ),
    ConfigKey::new(
        "rowferry.tasks.max",
        ConfigType::Int,
        DefaultValue::Text("1000"),
        WORKER,
        "Most tasks that one connector may have: a larger tasks.max is refused, and a stored one fails its connector. Each \
         task has threads and clients of its own.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.worker.tasks.max",
        ConfigType::Int,
        DefaultValue::Text("4000"),
        WORKER,
        "Most tasks that run on this worker at once. Further ones are FAILED, and tried again by themselves. A task needs some \
         half a megabyte, six threads and eleven open files or more.",
    )
    .check(KeyValidator::AtLeast(1)),
    flag("topic.tracking.enable", "true", WORKER, "Whether the topics that a connector uses are kept."),
    flag("topic.tracking.allow.reset", "true", WORKER, "Whether the list of used topics may be reset over REST."),
    flag("topic.creation.enable", "true", WORKER, "Whether sources may create topics."),
    list(
        "config.providers",
        "",
        WORKER,
        "Names of the providers of `${NAME:key}` and `${NAME:path:key}` in values of the worker and of connectors; none \
         unless named here. `config.providers.NAME.class` is Kafka's EnvVarConfigProvider, FileConfigProvider or \
         DirectoryConfigProvider (not needed when NAME is env, file or directory). What one may give out has to be said: \
         `config.providers.NAME.param.allowlist.pattern`, a regular expression of names of variables, or \
         `config.providers.NAME.param.allowed.paths`, files and folders with commas between.",
    ),
    text("offset.storage.topic", "connect-offsets", TOPICS, "Compacted topic that holds the offsets of sources."),
    ConfigKey::new(
        "offset.storage.partitions",
        ConfigType::Int,
        DefaultValue::Text("25"),
        TOPICS,
        "Partitions of the offsets topic when it has to be created; -1 is the broker's default.",
    )
    .check(KeyValidator::AtLeast(-1)),
    ConfigKey::new(
        "offset.storage.replication.factor",
        ConfigType::Short,
        DefaultValue::Text("-1"),
        TOPICS,
        "Replicas of the offsets topic when it has to be created; -1 is the broker's default. Kafka Connect's default \
         is 3.",
    )
    .check(KeyValidator::AtLeast(-1)),
    list(
        "listeners",
        "http://127.0.0.1:8083",
        REST,
        "Where REST listens: `http://host:port` or `https://host:port`; an empty host is every interface.",
    )
    .importance(Importance::High),
    maybe("rest.host.name", ConfigType::String, REST, "Host of the listener, when `listeners` is not set."),
    maybe("rest.port", ConfigType::Int, REST, "Port of the listener, when `listeners` is not set."),
    maybe("rest.advertised.host.name", ConfigType::String, REST, "Host that others reach this worker under."),
    maybe("rest.advertised.port", ConfigType::Int, REST, "Port that others reach this worker under."),
    maybe(
        "admin.listeners",
        ConfigType::List,
        REST,
        "Empty: `/admin` is not served. Anything else is taken from existing files: `/admin` is served where the rest is.",
    ),
    text("access.control.allow.origin", "", REST, "Web pages of this origin may call REST (CORS); empty is none."),
    text("access.control.allow.methods", "", REST, "Methods such pages may use; empty is GET, POST and HEAD."),
    text("response.http.headers.config", "", REST, "Extra response headers: `[add|set] name:value`, commas between."),
    list(
        "rowferry.allowed.hosts",
        "",
        REST,
        "Further names under which requests may reach a worker without a file of users, so that no web page can make its own \
         name point here: `connect.example.org`, `.example.org` for all below it, `*` for every name. Addresses, \
         localhost, the machine's own names, those of the listeners and rest.advertised.host.name are allowed anyway.",
    ),
    ConfigKey::new(
        "rowferry.rest.connections",
        ConfigType::Int,
        DefaultValue::Text("1024"),
        REST,
        "Connections at once, on all listeners. Beyond them only `/health` and `/livez` are answered; whoever has kept the \
         worker waiting longest makes room for the next.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.rest.connections.per.address",
        ConfigType::Int,
        DefaultValue::Text("512"),
        REST,
        "Connections at once from one address (IPv6: one /64 network).",
    )
    .check(KeyValidator::AtLeast(1)),
    text("rest.extension.classes", "", REST, "Java extensions; refused unless empty, use `rowferry.auth.file`.")
        .importance(Importance::Low),
    text("rowferry.data.dir", "./rowferry-data", OWN, "Folder of the embedded metadata store."),
    maybe(
        "rowferry.store.url",
        ConfigType::Password,
        OWN,
        "Metadata store: `sqlite:path`, `mysql://user:password@host/db` or `postgres://user:password@host/db`. \
         Without it, an SQLite file in `rowferry.data.dir`.",
    ),
    maybe(
        "file.allowed.paths",
        ConfigType::List,
        OWN,
        "Folders (or files) below which FileStreamSource and FileStreamSink may use files, commas between; links are followed \
         first. Without it, `rowferry.data.dir`, and with `rowferry dev` the working folder too. The worker's own files are \
         never given out.",
    ),
    maybe(
        "sqlite.allowed.paths",
        ConfigType::List,
        OWN,
        "Folders (or files) below which connectors may use SQLite files, commas between; links are followed first. Without it, \
         `rowferry.data.dir`, and with `rowferry dev` the working folder too. The worker's own files are never given out.",
    ),
    maybe(
        "rowferry.secrets.key",
        ConfigType::Password,
        OWN,
        "Key that configs are encrypted with in the metadata store: 32 random bytes in base64, or `file:PATH` of a file that \
         holds them. Without it, the key file `secrets.key`, made at the first start beside an SQLite store or else in \
         `rowferry.data.dir`; on a database server it encrypts the history alone. Workers that share a store need the same \
         key. A key in the key file is still read, and what it encrypts is encrypted anew.",
    ),
    maybe(
        "rowferry.secrets.forget",
        ConfigType::String,
        OWN,
        "Id of a key that is lost, as the error at the start names it: configs that only it could read are forgotten.",
    ),
    ConfigKey::new(
        "rowferry.history.versions",
        ConfigType::Int,
        DefaultValue::Text("100"),
        OWN,
        "Earlier configs kept of each connector, the one in force included.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "rowferry.history.total",
        ConfigType::Int,
        DefaultValue::Text("10000"),
        OWN,
        "Earlier configs kept of all connectors together; the oldest are forgotten first, those in force never.",
    )
    .check(KeyValidator::AtLeast(0)),
    millis(
        "rowferry.history.deleted.retention.ms",
        "2592000000",
        OWN,
        "How long the configs of a deleted connector are kept, so that it can be restored: 30 days.",
    ),
    maybe("rowferry.auth.file", ConfigType::String, REST, "File of users and tokens that may call REST; none: everybody."),
    maybe(
        "rowferry.tls.certificate",
        ConfigType::String,
        REST,
        "PEM file with the certificate that https listeners show, and those between it and its authority. Without it, \
         `ssl.keystore.location` in PEM form.",
    ),
    maybe("rowferry.tls.key", ConfigType::String, REST, "PEM file with its private key; none: the same file."),
    maybe(
        "rowferry.tls.client.authorities",
        ConfigType::String,
        REST,
        "PEM file with the authorities of clients' certificates; with it, a client has to show one.",
    ),
    text("rowferry.log.level", "info", OWN, "Log level, or levels by module: `info,rowferry::worker=debug`."),
    text("rowferry.log.format", "auto", OWN, "Log lines as text or json; auto is text on a terminal, json otherwise.")
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
    idle("session.timeout.ms"),
    idle("heartbeat.interval.ms"),
    idle("rebalance.timeout.ms"),
    idle("worker.sync.timeout.ms"),
    idle("worker.unsync.backoff.ms"),
    idle("connect.protocol"),
    idle("scheduled.rebalance.max.delay.ms"),
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
pub fn nearest(name: &str) -> Option<&'static str> {
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
