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
        Some("") => Err(format!("{origin} has no column name behind its colon")),
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
pub const KEYS: &[ConfigKey] = &[
    ConfigKey::new(
        "connection.url",
        ConfigType::String,
        DefaultValue::Required,
        CONNECTION,
        "Where the target database is: `jdbc:mariadb://host:3306/db`, `jdbc:mysql://…`, `jdbc:postgresql://host:5432/db` \
         or `jdbc:sqlite:/path/file.db`. The same URLs without `jdbc:` work too.",
    )
    .importance(Importance::High)
    .form(Width::Long, "JDBC URL"),
    ConfigKey::new("connection.user", ConfigType::String, DefaultValue::Null, CONNECTION, "The database account that writes the rows.")
        .importance(Importance::High)
        .form(Width::Medium, "JDBC User")
        .aliases(&["connection.username"]),
    ConfigKey::new("connection.password", ConfigType::Password, DefaultValue::Null, CONNECTION, "Password of that account.")
        .importance(Importance::High)
        .form(Width::Medium, "JDBC Password")
        .aliases(&["connection.pass"]),
    ConfigKey::new(
        "jdbc.credentials.provider.class",
        ConfigType::Class,
        DefaultValue::Text("io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider"),
        CONNECTION,
        "only the default is there, which takes user and password from the keys above.",
    )
    .without_effect()
    .importance(Importance::Low)
    .form(Width::Long, "JDBC Credentials Provider Class"),
    text(
        "dialect.name",
        "",
        CONNECTION,
        "the URL names the database.",
    )
    .without_effect()
    .importance(Importance::Low)
    .form(Width::Long, "Database Dialect"),
    ConfigKey::new(
        "connection.attempts",
        ConfigType::Int,
        DefaultValue::Text("3"),
        CONNECTION,
        "How often a connection is tried before the attempt counts as failed.",
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
        "What a record does: `insert` adds a row, `upsert` adds it or changes the row of the same key, `update` only \
         changes rows that exist, `statement` runs the SQL of the key `statement`.",
    )
    .check(KeyValidator::By(insert_mode))
    .importance(Importance::High)
    .form(Width::Medium, "Insert Mode"),
    count("batch.size", "3000", WRITES, "Most rows in one SQL statement. The database's own limits may ask for fewer.")
        .form(Width::Short, "Batch Size"),
    flag(
        "delete.enabled",
        "false",
        WRITES,
        "Whether a record without a value (a tombstone) deletes the row of its key. Needs `pk.mode=record_key`.",
    )
    .form(Width::Short, "Enable deletes")
    .recommended(&["true", "false"]),
    text(
        "statement",
        "",
        WRITES,
        "SQL that `insert.mode=statement` runs once for each record, in order, in the transaction that also stores the \
         offsets, so that it takes effect exactly once. Several statements are separated by `;`. Values come in by name \
         and are always bound, never put into the text: `:qty` is a field of the value, else of the key; `:value.qty` \
         and `:key.id` say which (deeper: `:value.after.qty`); `:key` and `:value` are a key or value that is no \
         struct; `:header.x` a header; `:topic`, `:partition`, `:offset` and `:timestamp` (a date-time) the record's \
         place; `:{value.odd name}` takes any name. A record that lacks one is an error of that record.",
    )
    .own()
        .form(Width::Long, "Statement"),
    text(
        "delete.statement",
        "",
        WRITES,
        "The same for records without a value (tombstones) under `insert.mode=statement`. When it is empty, such a \
         record is an error.",
    )
    .own()
        .form(Width::Long, "Delete Statement"),
    list("table.types", "TABLE", WRITES, "Which kinds of relation count as an existing target: TABLE, VIEW, PARTITIONED TABLE.")
        .check(KeyValidator::ByText(table_types))
        .importance(Importance::Low)
        .form(Width::Medium, "Table Types"),
    flag(
        "replace.null.with.default",
        "true",
        WRITES,
        "Whether a null in a field whose schema has a default is written as that default. Key fields always are. The \
         converter has a key of the same name that acts first.",
    )
    .importance(Importance::Low)
    .form(Width::Medium, "Replace null value with default value"),
    text(
        "delivery.guarantee",
        "exactly_once",
        WRITES,
        "`exactly_once` writes the offsets into the table rowferry_offsets of the target database, in the same \
         transaction as the rows, so that nothing is written twice whatever fails. `at_least_once` does without that \
         table: after a failure some records are written again.",
    )
    .check(KeyValidator::OneOf(&["exactly_once", "at_least_once"]))
    .own()
    .form(Width::Medium, "Delivery Guarantee"),
    flag(
        "truncate.enabled",
        "false",
        WRITES,
        "Whether Debezium's truncate events (`op` t) empty the table. Without, they mean nothing.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Enable truncates"),
    text(
        "behavior.on.null.values",
        "fail",
        WRITES,
        "What a record without a value does while `delete.enabled` is false: `fail` the task, or `ignore` it.",
    )
    .check(KeyValidator::OneOf(&["fail", "ignore"]))
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Behavior on null values"),
    flag(
        "handle.tombstone",
        "false",
        WRITES,
        "Aiven's sink: whether a record without a value is skipped, as by `behavior.on.null.values=ignore`.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Skip tombstones"),
    text(
        "table.name.format",
        "${topic}",
        MAPPING,
        "Name of the target table; `${topic}` stands for the topic, `${topic.suffix}` for what follows its last dot, \
         `${source.table}` for the field `table` (or another one) of the struct `source` in a change event; records without \
         a value are skipped then. Dots separate database (or schema) and table unless the part is quoted.",
    )
    .check(KeyValidator::By(super::naming::check_format))
    .form(Width::Long, "Table Name Format")
    .aliases(&["collection.name.format"]),
    text(
        "pk.mode",
        "none",
        MAPPING,
        "Where the key columns come from: `none`, `kafka` (topic, partition and offset), `record_key`, `record_value`, or \
         `record_header` (the headers that `pk.fields` names, as text).",
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
        "Names of the key columns. `kafka`: empty or three names; `record_key`: the column of a primitive key, or the \
         fields to take of a struct key (empty: all); `record_value`: the fields to take (empty: all).",
    )
    .form(Width::Long, "Primary Key Fields")
    .aliases(&["primary.key.fields"]),
    list("fields.whitelist", "", MAPPING, "Fields of the value that are written; empty: all. Key columns are always written.")
        .form(Width::Long, "Fields Whitelist"),
    text("db.timezone", "UTC", MAPPING, "Time zone in which Time and Timestamp values are written into columns without a zone.")
        .check(KeyValidator::By(crate::zone::check))
        .form(Width::Medium, "DB Time Zone")
        .aliases(&["use.time.zone", "database.time_zone"]),
    text("date.timezone", "DB_TIMEZONE", MAPPING, "Time zone in which Date values are written: that of `db.timezone`, or UTC.")
        .check(KeyValidator::OneOfIgnoreCase(&["DB_TIMEZONE", "UTC"]))
        .importance(Importance::Low)
        .form(Width::Medium, "Time Zone used for Date")
        .recommended(&["db_timezone", "utc"]),
    list(
        "timestamp.fields.list",
        "",
        MAPPING,
        "Fields holding points in time as whole numbers, or as text (digits or ISO 8601), that are written as date-times.",
    )
    .form(Width::Medium, "Timestamp Fields Whitelist"),
    text("timestamp.precision.mode", "MICROSECONDS", MAPPING, "Unit of the whole numbers in `timestamp.fields.list`.")
        .check(KeyValidator::OneOfIgnoreCase(&["MICROSECONDS", "NANOSECONDS"]))
        .importance(Importance::Low)
        .form(Width::Medium, "Sink Timestamp Precision mode")
        .recommended(&["microseconds", "nanoseconds"]),
    text(
        "date.calendar.system",
        "LEGACY",
        MAPPING,
        "How days before 15 October 1582 are counted: LEGACY as Java's old calendar (Julian before that day), or \
         PROLEPTIC_GREGORIAN as SQL and ISO 8601.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["LEGACY", "PROLEPTIC_GREGORIAN"]))
    .importance(Importance::Low)
    .form(Width::Medium, "Date Calendar System"),
    text("string.output.value.column.name", "record_value", MAPPING, "Column for values that are plain text, not structs.")
        .check(KeyValidator::NonEmpty)
        .importance(Importance::Low)
        .form(Width::Medium, "String Value Column Name"),
    flag("table.name.normalize", "false", MAPPING, "Whether every character of a table's name but letters, digits and _ becomes _.")
        .form(Width::Short, "Table Name Normalize"),
    text(
        "collection.naming.strategy",
        "",
        MAPPING,
        "How `${topic}` enters a table's name: as it is (empty, or Debezium's PassthroughCollectionNamingStrategy), or with \
         its dots made `_` (DefaultCollectionNamingStrategy, the default of Debezium's class).",
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
        "Pairs `topic:table`. When given, they alone name the tables, and a topic that is not in the list is an error.",
    )
    .check(KeyValidator::ByText(topic_table_pairs))
    .form(Width::Long, "Topics To Tables Mapping"),
    list(
        "field.include.list",
        "",
        MAPPING,
        "Like `fields.whitelist`; an item may be `topic:field`, which concerns that topic alone.",
    )
    .own()
    .form(Width::Long, "Include Fields"),
    list(
        "field.exclude.list",
        "",
        MAPPING,
        "Fields of the value that are not written, as `field` or `topic:field`. Key columns are always written.",
    )
    .own()
    .form(Width::Long, "Exclude Fields"),
    list(
        "kafka.columns",
        "",
        MAPPING,
        "Columns that hold where a record came from: any of `topic`, `partition`, `offset` and `timestamp`, each with \
         the column's name behind a colon; without one they are `__connect_topic` and so on.",
    )
    .check(KeyValidator::ByText(origins))
    .importance(Importance::Low)
    .own()
    .form(Width::Long, "Kafka Columns"),
    list(
        "headers.columns",
        "",
        MAPPING,
        "Headers that become columns of text: `header`, or `header:column` for another name. A record without the \
         header has NULL there.",
    )
    .check(KeyValidator::ByText(header_columns))
    .importance(Importance::Low)
    .own()
    .form(Width::Long, "Header Columns"),
    flag(
        "envelope.unwrap",
        "true",
        MAPPING,
        "Whether Debezium's change events (a value whose schema is named `…Envelope`, or an object without a schema with \
         `op`, `before` or `after`, and a `source` that names its `connector`) are taken apart: the row after the \
         change is written, and a deletion (`op` d) deletes the row of the record's key where `delete.enabled` is true.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Short, "Unwrap change events"),
    flag(
        "debezium.types",
        "false",
        MAPPING,
        "Whether Debezium's types (`io.debezium.time.MicroTimestamp`, `io.debezium.data.Json` and their like) are \
         understood in every record, and tables made with columns for what they stand for. In change events they are in any \
         case, and so are those of dates and times in columns of dates and times that are there.",
    )
    .importance(Importance::Low)
    .own()
        .form(Width::Short, "Debezium types"),
    text(
        "unavailable.value.placeholder",
        "__debezium_unavailable_value",
        MAPPING,
        "What Debezium writes in the place of a large value that a change has not touched and the database's log does not \
         hold (the key of that name of its source). In change events, and in rows that were taken out of them, a column with \
         it is left out of the row, and keeps what it holds. Empty: nothing is left out.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Medium, "Placeholder of unavailable values"),
    text(
        "delete.marker.field",
        "__deleted",
        MAPPING,
        "With `delete.enabled`: a field of the value that says whether the row is deleted (`true`, or Debezium's `d`). It \
         is no column then.",
    )
    .importance(Importance::Low)
    .own()
    .form(Width::Medium, "Delete Marker Field"),
    text(
        "nested.mode",
        "fail",
        MAPPING,
        "What becomes of structs, maps and lists: `fail` refuses the record; `json` writes them as JSON text (a JSON or \
         JSONB column where the table is created); `flatten` makes a column of each member of a struct, and JSON of the \
         rest. PostgreSQL's array columns take lists of single values in any case.",
    )
    .check(KeyValidator::OneOf(&["fail", "json", "flatten"]))
    .own()
    .form(Width::Short, "Nested Values"),
    text("nested.delimiter", "_", MAPPING, "With `nested.mode=flatten`: what stands between the names of a struct and its member.")
        .importance(Importance::Low)
        .own()
        .form(Width::Short, "Nested Delimiter"),
    flag("auto.create", "true", DDL, "Whether a missing table is created from the record's schema.")
        .form(Width::Short, "Auto-Create"),
    flag(
        "auto.evolve",
        "false",
        DDL,
        "Whether columns that a record's schema has and the table lacks are added. `widen` does that, and makes columns \
         hold what they could not: longer texts and bytes, wider integers, floats and decimals, and NULL where the field is \
         optional. Nothing is ever dropped, renamed or narrowed.",
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
        "Debezium's spelling of the two keys above, where they are not given: `none` neither creates nor changes tables, \
         `basic` does both, `validate-only` is like none and lets a task start only when its tables are there.",
    )
    .check(KeyValidator::OneOf(&["none", "basic", "validate-only"]))
    .importance(Importance::Low)
    .own()
    .form(Width::Short, "Schema Evolution"),
    flag("mssql.use.merge.holdlock", "true", DML, "SQL Server is no target.")
        .without_effect()
        .importance(Importance::Low)
        .form(Width::Medium, "SQL Server - Use HOLDLOCK in MERGE"),
    count(
        "max.retries",
        "10",
        RETRIES,
        "How often a batch that the database refused is tried again before the task fails. When this key is not given, \
         errors of the data fail (or reject the record) at once, and lost connections, deadlocks and timeouts are \
         retried for ever.",
    )
    .form(Width::Short, "Maximum Retries")
    .aliases(&["flush.max.retries"]),
    count("retry.backoff.ms", "3000", RETRIES, "Milliseconds between two tries of a batch.")
        .form(Width::Short, "Retry Backoff (millis)")
        .aliases(&["flush.retry.delay.ms"]),
    flag("trim.sensitive.log", "false", "", "row values are never logged.")
        .without_effect()
        .importance(Importance::Low)
        .form(Width::None, "trim.sensitive.log")
        .order(-1),
];
