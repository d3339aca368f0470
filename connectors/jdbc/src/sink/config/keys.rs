//! The sink's configuration keys: names, defaults, checks, forms and documentation. [`super`] has
//! their meaning in code.
//!
//! Names, groups and order are those of Kafka Connect's JDBC sinks; `aliases` are the spellings of
//! other sinks.

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator, Width};

const CONNECTION: &str = "Connection";
const WRITES: &str = "Writes";
const MAPPING: &str = "Data Mapping";
const DDL: &str = "DDL Support";
const DML: &str = "DML Support";
const RETRIES: &str = "Retries";

/// Accepts one of `allowed` in all lower or all upper case, as other JDBC sinks do.
fn enumerator(text: &str, allowed: &[&str]) -> Result<(), String> {
    let known = allowed
        .iter()
        .any(|a| *a == text || a.to_uppercase() == text);
    if known {
        Ok(())
    } else {
        Err("Invalid enumerator".to_owned())
    }
}

fn insert_mode(text: &str) -> Result<(), String> {
    enumerator(text, &["insert", "upsert", "update", "multi", "statement"])
}

fn pk_mode(text: &str) -> Result<(), String> {
    if text == "record_header" {
        Ok(())
    } else {
        enumerator(text, super::PK_MODES)
    }
}

/// The coordinates that `kafka.columns` can name.
pub(super) const ORIGINS: &[&str] = &["topic", "partition", "offset", "timestamp"];

/// Splits items `name` or `name:column`.
pub(super) fn column_items(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items.map(|item| {
        item.split_once(':').map_or((item, None), |(name, column)| {
            (name.trim(), Some(column.trim()))
        })
    })
}

fn origins(text: &str) -> Result<(), String> {
    column_items(text).try_for_each(|(origin, column)| match column {
        Some("") => Err(format!("{origin} has no column name after its colon")),
        _ if ORIGINS.contains(&origin) => Ok(()),
        _ => Err(format!("{origin} is none of {}", ORIGINS.join(", "))),
    })
}

fn header_columns(text: &str) -> Result<(), String> {
    let sound = |(header, column): (&str, Option<&str>)| !header.is_empty() && column != Some("");
    if column_items(text).all(sound) {
        Ok(())
    } else {
        Err("Expected items header or header:column".to_owned())
    }
}

fn table_types(text: &str) -> Result<(), String> {
    text.split(',')
        .try_for_each(|item| enumerator(item.trim(), &["table", "partitioned table", "view"]))
}

fn topic_table_pairs(text: &str) -> Result<(), String> {
    let sound = |item: &str| {
        item.split_once(':')
            .is_some_and(|(topic, table)| !topic.is_empty() && !table.is_empty())
    };
    let bad = text
        .split(',')
        .map(str::trim)
        .any(|item| !item.is_empty() && !sound(item));
    if bad {
        Err("Invalid topics to tables mapping".to_owned())
    } else {
        Ok(())
    }
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

const fn count(
    name: &'static str,
    default: &'static str,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(
        name,
        ConfigType::Int,
        DefaultValue::Text(default),
        group,
        doc,
    )
    .check(KeyValidator::AtLeast(0))
}

/// All keys of the sink, in the order of forms.
pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey::new(
        "connection.url",
        ConfigType::String,
        DefaultValue::Required,
        CONNECTION,
        "Address of the target database: `jdbc:mariadb://host:3306/db`, `jdbc:mysql://…`, \
         `jdbc:postgresql://host:5432/db` or `jdbc:sqlite:/path/file.db`. The prefix `jdbc:` is \
         optional.",
    )
    .importance(Importance::High)
    .form(Width::Long, "JDBC URL"),
    ConfigKey::new("connection.user", ConfigType::String, DefaultValue::Null, CONNECTION,
        "Database user that writes the rows.")
        .importance(Importance::High)
        .form(Width::Medium, "JDBC User")
        .aliases(&["connection.username"]),
    ConfigKey::new("connection.password", ConfigType::Password, DefaultValue::Null, CONNECTION,
        "Password of that user.")
        .importance(Importance::High)
        .form(Width::Medium, "JDBC Password")
        .aliases(&["connection.pass"]),
    ConfigKey::new(
        "jdbc.credentials.provider.class",
        ConfigType::Class,
        DefaultValue::Text("io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider"),
        CONNECTION,
        "only the default exists, which uses connection.user and connection.password.",
    )
    .without_effect()
    .importance(Importance::Low)
    .form(Width::Long, "JDBC Credentials Provider Class"),
    text(
        "dialect.name",
        "",
        CONNECTION,
        "the URL determines the database.",
    )
    .without_effect()
    .importance(Importance::Low)
    .form(Width::Long, "Database Dialect"),
    ConfigKey::new(
        "connection.attempts",
        ConfigType::Int,
        DefaultValue::Text("3"),
        CONNECTION,
        "Number of attempts to open a connection before it counts as failed.",
    )
    .check(KeyValidator::AtLeast(1))
    .importance(Importance::Low)
    .form(Width::Short, "JDBC connection attempts"),
    ConfigKey::new(
        "connection.backoff.ms",
        ConfigType::Long,
        DefaultValue::Text("10000"),
        CONNECTION,
        "Milliseconds between two attempts to connect.",
    )
    .importance(Importance::Low)
    .form(Width::Short, "JDBC connection backoff in milliseconds"),
    text(
        "insert.mode",
        "insert",
        WRITES,
        "How a record is written: `insert` inserts a row; `upsert` inserts it or updates the row \
         with the same key; `update` only updates existing rows; `statement` runs the SQL of the \
         key `statement`.",
    )
    .check(KeyValidator::By(insert_mode))
    .importance(Importance::High)
    .form(Width::Medium, "Insert Mode"),
    count("batch.size", "3000", WRITES,
        "Maximum number of rows per SQL statement. The database's own limits may be lower.")
        .form(Width::Short, "Batch Size"),
    flag(
        "delete.enabled",
        "false",
        WRITES,
        "Whether a record without a value (a tombstone) deletes the row with its key. Needs \
         `pk.mode=record_key`.",
    )
    .form(Width::Short, "Enable deletes")
    .recommended(&["true", "false"]),
    text(
        "statement",
        "",
        WRITES,
        "SQL that `insert.mode=statement` runs once for each record, in order. It runs in the \
         transaction that also stores the offsets, so it takes effect exactly once. Several \
         statements are separated by `;`. Parameters are named, and always bound, never inserted \
         into the text. `:qty` is a field of the value, or else of the key; `:value.qty` and \
         `:key.id` select one of them (nested: `:value.after.qty`); `:key` and `:value` are a key \
         or value that is not a struct; `:header.x` is a header; `:topic`, `:partition`, `:offset` \
         and `:timestamp` (a date-time) describe the record; `:{value.odd name}` is a form for any \
         name. A record without one of the parameters is an error of that record.",
    )
    .own()
        .form(Width::Long, "Statement"),
    text(
        "delete.statement",
        "",
        WRITES,
        "SQL for records without a value (tombstones) with `insert.mode=statement`. If it is \
         empty, such a record is an error.",
    )
    .own()
        .form(Width::Long, "Delete Statement"),
    list("table.types", "TABLE", WRITES,
        "Kinds of relations that can be the target: TABLE, VIEW, PARTITIONED TABLE.")
        .check(KeyValidator::ByText(table_types))
        .importance(Importance::Low)
        .form(Width::Medium, "Table Types"),
    flag(
        "replace.null.with.default",
        "true",
        WRITES,
        "Whether null in a field with a default in its schema is written as that default. Key \
         fields always are. The converter has a key of the same name, which is applied first.",
    )
    .importance(Importance::Low)
    .form(Width::Medium, "Replace null value with default value"),
    text(
        "delivery.guarantee",
        "exactly_once",
        WRITES,
        "`exactly_once` stores the offsets in the table rowferry_offsets of the target database, \
         in the same transaction as the rows, so no record is written twice. `at_least_once` does \
         not use that table: after a failure some records are written again.",
    )
    .check(KeyValidator::OneOf(&["exactly_once", "at_least_once"]))
    .own()
    .form(Width::Medium, "Delivery Guarantee"),
    flag(
        "truncate.enabled",
        "false",
        WRITES,
        "Whether Debezium's truncate events (`op` t) empty the table. If false, they are ignored.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Enable truncates"),
    text(
        "behavior.on.null.values",
        "fail",
        WRITES,
        "How to handle a record without a value while `delete.enabled` is false: `fail` the task, \
         or `ignore` the record.",
    )
    .check(KeyValidator::OneOf(&["fail", "ignore"]))
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Behavior on null values"),
    flag(
        "handle.tombstone",
        "false",
        WRITES,
        "For Aiven's sink: whether a record without a value is skipped, as with \
         `behavior.on.null.values=ignore`.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Skip tombstones"),
    text(
        "table.name.format",
        "${topic}",
        MAPPING,
        "Name of the target table. `${topic}` is replaced by the topic, `${topic.suffix}` by the \
         part after its last dot, and `${source.table}` by the field `table` (or another one) of \
         the struct `source` in a change event; records without a value are skipped then. Dots \
         separate database (or schema) and table, except in quoted parts.",
    )
    .check(KeyValidator::By(super::naming::check_format))
    .form(Width::Long, "Table Name Format")
    .aliases(&["collection.name.format"]),
    text(
        "pk.mode",
        "none",
        MAPPING,
        "Source of the key columns: `none`, `kafka` (topic, partition and offset), `record_key`, \
         `record_value`, or `record_header` (the headers of `pk.fields`, as text).",
    )
    .check(KeyValidator::By(pk_mode))
    .importance(Importance::High)
    .form(Width::Medium, "Primary Key Mode")
    .recommended(super::PK_MODES)
    .aliases(&["primary.key.mode"]),
    list(
        "pk.fields",
        "",
        MAPPING,
        "Names of the key columns. `kafka`: empty or three names; `record_key`: the column for a \
         primitive key, or the fields of a struct key to use (empty: all); `record_value`: the \
         fields to use (empty: all).",
    )
    .form(Width::Long, "Primary Key Fields")
    .aliases(&["primary.key.fields"]),
    list("fields.whitelist", "", MAPPING,
        "Fields of the value to write; empty: all. Key columns are always written.")
        .form(Width::Long, "Fields Whitelist"),
    text("db.timezone", "UTC", MAPPING,
        "Time zone in which Time and Timestamp values are written into columns without a zone.")
        .check(KeyValidator::By(crate::zone::check))
        .form(Width::Medium, "DB Time Zone")
        .aliases(&["use.time.zone", "database.time_zone"]),
    text("date.timezone", "DB_TIMEZONE", MAPPING,
        "Time zone in which Date values are written: that of `db.timezone`, or UTC.")
        .check(KeyValidator::OneOfIgnoreCase(&["DB_TIMEZONE", "UTC"]))
        .importance(Importance::Low)
        .form(Width::Medium, "Time Zone used for Date")
        .recommended(&["db_timezone", "utc"]),
    list(
        "timestamp.fields.list",
        "",
        MAPPING,
        "Fields with points in time as integers or as text (digits or ISO 8601), which are written \
         as date-times.",
    )
    .form(Width::Medium, "Timestamp Fields Whitelist"),
    text("timestamp.precision.mode", "MICROSECONDS", MAPPING,
        "Unit of the integers in `timestamp.fields.list`.")
        .check(KeyValidator::OneOfIgnoreCase(&["MICROSECONDS", "NANOSECONDS"]))
        .importance(Importance::Low)
        .form(Width::Medium, "Sink Timestamp Precision mode")
        .recommended(&["microseconds", "nanoseconds"]),
    text(
        "date.calendar.system",
        "LEGACY",
        MAPPING,
        "Calendar for days before 15 October 1582: LEGACY, as in Java's old calendar (Julian \
         before that day), or PROLEPTIC_GREGORIAN, as in SQL and ISO 8601.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["LEGACY", "PROLEPTIC_GREGORIAN"]))
    .importance(Importance::Low)
    .form(Width::Medium, "Date Calendar System"),
    text("string.output.value.column.name", "record_value", MAPPING,
        "Column for values that are plain text instead of structs.")
        .check(KeyValidator::NonEmpty)
        .importance(Importance::Low)
        .form(Width::Medium, "String Value Column Name"),
    flag("table.name.normalize", "false", MAPPING,
        "Whether every character of a table's name except letters, digits and _ is replaced by _.")
        .form(Width::Short, "Table Name Normalize"),
    text(
        "collection.naming.strategy",
        "",
        MAPPING,
        "How `${topic}` is inserted into a table's name: unchanged (empty, or Debezium's \
         PassthroughCollectionNamingStrategy), or with _ instead of dots \
         (DefaultCollectionNamingStrategy, the default of Debezium's class).",
    )
    .check(KeyValidator::By(super::naming::check_strategy))
    .importance(Importance::Low)
    .own()
    .form(Width::Long, "Collection Naming Strategy")
    .aliases(&["table.naming.strategy"]),
    list(
        "topics.to.tables.mapping",
        "",
        MAPPING,
        "Pairs `topic:table`. If set, only this list determines the tables, and a topic that is \
         not in the list is an error.",
    )
    .check(KeyValidator::ByText(topic_table_pairs))
    .form(Width::Long, "Topics To Tables Mapping"),
    list(
        "field.include.list",
        "",
        MAPPING,
        "Like `fields.whitelist`; an item may be `topic:field`, which applies to that topic only.",
    )
    .own()
    .form(Width::Long, "Include Fields"),
    list(
        "field.exclude.list",
        "",
        MAPPING,
        "Fields of the value that are not written, as `field` or `topic:field`. Key columns are \
         always written.",
    )
    .own()
    .form(Width::Long, "Exclude Fields"),
    list(
        "kafka.columns",
        "",
        MAPPING,
        "Columns for the origin of a record: any of `topic`, `partition`, `offset` and \
         `timestamp`, each optionally followed by a colon and the column's name; the default names \
         are `__connect_topic` and so on.",
    )
    .check(KeyValidator::ByText(origins))
    .importance(Importance::Low)
    .own()
    .form(Width::Long, "Kafka Columns"),
    list(
        "headers.columns",
        "",
        MAPPING,
        "Headers that become text columns: `header`, or `header:column` for another column name. A \
         record without the header has NULL there.",
    )
    .check(KeyValidator::ByText(header_columns))
    .importance(Importance::Low)
    .own()
    .form(Width::Long, "Header Columns"),
    flag(
        "envelope.unwrap",
        "true",
        MAPPING,
        "Whether Debezium's change events are unwrapped: the row after the change is written, and \
         a deletion (`op` d) deletes the row with the record's key if `delete.enabled` is true. A \
         change event is a value whose schema is named `…Envelope`, or an object without a schema \
         that has `op`, `before` or `after`, and a `source` with its `connector`.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Short, "Unwrap change events"),
    flag(
        "debezium.types",
        "false",
        MAPPING,
        "Whether Debezium's types (`io.debezium.time.MicroTimestamp`, `io.debezium.data.Json` and \
         others) are understood in every record, and tables are created with matching columns. In \
         change events they always are, and so are Debezium's dates and times in existing columns \
         of dates and times.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Debezium types"),
    text(
        "unavailable.value.placeholder",
        "__debezium_unavailable_value",
        MAPPING,
        "Text that Debezium writes instead of a large value that did not change and that the \
         database's log does not contain (the key of the same name of its source). A column with \
         this text, its bytes, or a list of it or of its bytes as numbers is not written and keeps \
         its value; `insert.mode=statement` refuses the record. Empty: everything is written.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Medium, "Placeholder of unavailable values"),
    text(
        "delete.marker.field",
        "__deleted",
        MAPPING,
        "With `delete.enabled`: field of the value that marks the row as deleted (`true`, or \
         Debezium's `d`). It is not written as a column then.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Medium, "Delete Marker Field"),
    text(
        "nested.mode",
        "fail",
        MAPPING,
        "How to handle structs, maps and lists: `fail` refuses the record; `json` writes them as \
         JSON text (created columns are JSON or JSONB); `flatten` creates a column for each member \
         of a struct, and JSON for the rest. PostgreSQL's array columns always accept lists of \
         single values.",
    )
    .check(KeyValidator::OneOf(&["fail", "json", "flatten"]))
    .own()
    .form(Width::Short, "Nested Values"),
    text("nested.delimiter", "_", MAPPING,
        "With `nested.mode=flatten`: text between the name of a struct and that of its member.")
        .importance(Importance::Low)
        .own()
        .form(Width::Short, "Nested Delimiter"),
    flag("auto.create", "true", DDL,
        "Whether a missing table is created from the record's schema.")
        .form(Width::Short, "Auto-Create"),
    flag(
        "auto.evolve",
        "false",
        DDL,
        "Whether columns that are in a record's schema but not in the table are added. `widen` \
         also widens existing columns: longer texts and bytes, wider integers, floats and \
         decimals, and NULL if the field is optional. Nothing is ever dropped, renamed or narrowed.",
    )
    .also(&["widen"])
    .form(Width::Short, "Auto-Evolve"),
    text("quote.sql.identifiers", "ALWAYS", DDL, "Whether names are quoted in SQL: ALWAYS or NEVER.")
        .form(Width::Medium, "Quote Identifiers")
        .recommended(&["always", "never"])
        .aliases(&["sql.quote.identifiers", "quote.identifiers"]),
    ConfigKey::new(
        "schema.evolution",
        ConfigType::String,
        DefaultValue::Null,
        DDL,
        "Debezium's form of the two keys above, used if they are not set: `none` neither creates \
         nor changes tables; `basic` does both; `validate-only` is like none, and a task only \
         starts if its tables exist.",
    )
    .check(KeyValidator::OneOf(&["none", "basic", "validate-only"]))
    .importance(Importance::Low)
    .own()
    .form(Width::Short, "Schema Evolution"),
    flag("mssql.use.merge.holdlock", "true", DML, "SQL Server is not supported as a target.")
        .without_effect()
        .importance(Importance::Low)
        .form(Width::Medium, "SQL Server - Use HOLDLOCK in MERGE"),
    count(
        "max.retries",
        "10",
        RETRIES,
        "How often a batch that the database refused is retried before the task fails. If this key \
         is not set, data errors fail the task (or reject the record) at once, and lost \
         connections, deadlocks and timeouts are retried without limit.",
    )
    .form(Width::Short, "Maximum Retries")
    .aliases(&["flush.max.retries"]),
    count("retry.backoff.ms", "3000", RETRIES,
        "Milliseconds between two attempts to write a batch.")
        .form(Width::Short, "Retry Backoff (millis)")
        .aliases(&["flush.retry.delay.ms"]),
    flag("trim.sensitive.log", "false", "", "row values are never logged.")
        .without_effect()
        .importance(Importance::Low)
        .form(Width::None, "trim.sensitive.log")
        .order(-1),
];
