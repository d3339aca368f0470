//! Declares the keys of the JDBC source, each once: names, types, defaults, checks and what they
//! mean.
//!
//! Names, defaults and form positions are Confluent's and Aiven's where they have the key; the last
//! group is Rowferry's own.

use connector_api::ConfigKey;
use connector_api::config::{ConfigType, DefaultValue, Importance, KeyValidator, Width};

use DefaultValue::{Null, Text};
use Importance::{High, Low};
use Width::{Long, Medium, Short};

use super::{mapping, schedule, values};

const DATABASE: &str = "Database";
const MODE: &str = "Mode";
const CONNECTOR: &str = "Connector";
const OWN: &str = "Rowferry";

const fn key(
    name: &'static str,
    ty: ConfigType,
    default: DefaultValue,
    group: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, default, group, doc)
}

/// Declares a key that the peers do not have.
const fn own(
    name: &'static str,
    ty: ConfigType,
    default: DefaultValue,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, default, OWN, doc).importance(Low)
}

/// All keys of the source.
pub const KEYS: &[ConfigKey] = &[
    key(
        "connection.url",
        ConfigType::String,
        Text(""),
        DATABASE,
        "Where the database is: a JDBC URL (jdbc:mariadb://host:3306/shop, jdbc:mysql:, jdbc:postgresql:, jdbc:sqlite:) \
         or the database's own (mariadb://user@host/shop).",
    )
    .importance(High)
    .form(Long, "JDBC URL")
    .dependents(&["table.whitelist", "table.blacklist"]),
    key("connection.user", ConfigType::String, Null, DATABASE, "User to connect as; wins over one in the URL.")
        .importance(High)
        .form(Long, "JDBC User")
        .aliases(&["connection.username"]),
    key("connection.password", ConfigType::Password, Null, DATABASE, "Password; wins over one in the URL. Never shown.")
        .importance(High)
        .form(Short, "JDBC Password")
        .aliases(&["connection.pass"]),
    key(
        "jdbc.credentials.provider.class",
        ConfigType::Class,
        Text("io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider"),
        DATABASE,
        "credentials come from connection.user and connection.password.",
    )
    .without_effect()
    .importance(Low)
    .form(Long, "JDBC Credentials Provider Class"),
    key("connection.attempts", ConfigType::Int, Text("3"), DATABASE, "How often to try to connect, each time it is needed.")
        .check(KeyValidator::AtLeast(1))
        .importance(Low)
        .form(Short, "JDBC connection attempts"),
    key("connection.backoff.ms", ConfigType::Long, Text("10000"), DATABASE, "Milliseconds between two attempts to connect.")
        .importance(Low)
        .form(Short, "JDBC connection backoff in milliseconds"),
    key(
        "table.whitelist",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Tables to read: bare names, or with their database or schema, quoted or not; letter case counts. With its database, \
         a table of another database of MariaDB or MySQL is read too. Counts before table.blacklist.",
    )
    .form(Long, "Table Whitelist"),
    key("table.blacklist", ConfigType::List, Text(""), DATABASE, "Read all tables but these.").form(Long, "Table Blacklist"),
    key(
        "table.include.list",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Regular expressions; a table is read when one matches its whole name with database or schema. One that begins with \
         the name of another database of MariaDB or MySQL (crm\\..*) is matched with the tables there too.",
    )
    .check(KeyValidator::By(mapping::check_patterns))
    .form(Long, "Tables Included (Regex)"),
    key(
        "table.exclude.list",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Regular expressions of tables to leave out of those that table.include.list names.",
    )
    .check(KeyValidator::By(mapping::check_patterns))
    .form(Long, "Tables Excluded (Regex)"),
    key(
        "catalog.pattern",
        ConfigType::String,
        Null,
        DATABASE,
        "Database of MariaDB or MySQL to look for tables in, instead of the URL's; % stands for all of them.",
    )
    .form(Short, "Schema pattern"),
    key("schema.pattern", ConfigType::String, Null, DATABASE, "Schemas of PostgreSQL to look for tables in, with % and _.")
        .importance(High)
        .form(Short, "Schema pattern"),
    key(
        "numeric.precision.mapping",
        ConfigType::Boolean,
        Text("false"),
        DATABASE,
        "Older form of numeric.mapping: true means precision_only.",
    )
    .importance(Low)
    .form(Short, "Map Numeric Values By Precision (deprecated)"),
    key(
        "numeric.mapping",
        ConfigType::String,
        Null,
        DATABASE,
        "When a NUMERIC column becomes an integer or a float: none, precision_only (no digits after the point: integer), \
         best_fit (digits after the point: float), best_fit_eager_double (float even beyond 18 digits).",
    )
    .check(KeyValidator::By(values::numeric_mapping))
    .importance(Low)
    .form(Short, "Map Numeric Values, Integral or Decimal, By Precision and Scale")
    .recommended(&["none", "precision_only", "best_fit", "best_fit_eager_double"]),
    key("dialect.name", ConfigType::String, Text(""), DATABASE, "the URL names the database.")
        .without_effect()
        .importance(Low)
        .form(Long, "Database Dialect")
        .recommended(&["MySqlDatabaseDialect", "PostgreSqlDatabaseDialect", "SqliteDatabaseDialect"]),
    key(
        "date.calendar.system",
        ConfigType::String,
        Text("LEGACY"),
        DATABASE,
        "How dates before 1582-10-15 are counted: LEGACY (Julian, as Java's old classes do) or PROLEPTIC_GREGORIAN.",
    )
    .check(KeyValidator::By(values::calendar))
    .importance(Low)
    .form(Medium, "Date Calendar System"),
    key(
        "mode",
        ConfigType::String,
        Text(""),
        MODE,
        "What a poll reads: bulk (everything), incrementing (rows above the last id), timestamp (rows stamped later than \
         the last), timestamp+incrementing (both).",
    )
    .check(KeyValidator::OneOf(&["", "bulk", "timestamp", "incrementing", "timestamp+incrementing"]))
    .importance(High)
    .form(Medium, "Table Loading Mode")
    .dependents(&[
        "incrementing.column.name",
        "timestamp.column.name",
        "incrementing.column.mapping",
        "timestamp.columns.mapping",
        "validate.non.null",
    ]),
    key(
        "incrementing.column.name",
        ConfigType::String,
        Text(""),
        MODE,
        "The column that only grows. Empty: the one that the server numbers by itself.",
    )
    .form(Medium, "Incrementing Column Name"),
    key(
        "timestamp.column.name",
        ConfigType::List,
        Text(""),
        MODE,
        "Columns with the time of the last change; the first that is not NULL counts.",
    )
    .form(Medium, "Timestamp Column Name"),
    key(
        "timestamp.columns.mapping",
        ConfigType::List,
        Text(""),
        MODE,
        "Timestamp columns by table, with table.include.list: items regex:[column|column].",
    )
    .check(KeyValidator::ByText(mapping::check_timestamps))
    .form(Long, "Table to timestamp columns mappings"),
    key(
        "incrementing.column.mapping",
        ConfigType::List,
        Text(""),
        MODE,
        "Incrementing column by table, with table.include.list: items regex:column.",
    )
    .check(KeyValidator::ByText(mapping::check_incrementing))
    .form(Long, "Table to incrementing column mappings"),
    key(
        "timestamp.initial",
        ConfigType::Long,
        Null,
        MODE,
        "Where to begin without a stored offset: milliseconds since 1970, rows at or before it are left out; -1: now; \
         empty: 1970.",
    )
    .importance(Low)
    .form(Medium, "Unix time value of initial timestamp")
    .aliases(&["timestamp.initial.ms"]),
    key(
        "validate.non.null",
        ConfigType::Boolean,
        Text("true"),
        MODE,
        "Refuse an incrementing column that may be NULL, and timestamp columns that all may be. Rows with NULL there are \
         never read.",
    )
    .importance(Low)
    .form(Short, "Validate Non Null"),
    key("query", ConfigType::String, Text(""), MODE, "A SELECT to read instead of tables; topic.prefix is then the topic.")
        .form(Short, "Query"),
    key("query.masked", ConfigType::Password, Text(""), MODE, "Like query, and never shown.").form(Short, "Query (Masked)"),
    key(
        "quote.sql.identifiers",
        ConfigType::String,
        Text("ALWAYS"),
        MODE,
        "Whether names stand in quotes in the SQL: always or never.",
    )
    .check(KeyValidator::By(values::quoting))
    .form(Medium, "Quote Identifiers")
    .aliases(&["sql.quote.identifiers", "quote.identifiers"])
    .recommended(&["always", "never"]),
    key(
        "query.suffix",
        ConfigType::String,
        Text(""),
        MODE,
        "Text put behind every statement, such as a LIMIT or a lock hint. Tables are then read in one statement, not in \
         pages.",
    )
    .importance(Low)
    .form(Medium, "Query suffix"),
    key(
        "transaction.isolation.mode",
        ConfigType::String,
        Text("DEFAULT"),
        MODE,
        "Isolation level of the reading connection; DEFAULT leaves the server's.",
    )
    .check(KeyValidator::By(values::isolation))
    .importance(Low)
    .form(Medium, "Transaction Isolation Mode")
    .recommended(&[
        "default",
        "read_uncommitted",
        "read_committed",
        "repeatable_read",
        "serializable",
        "sql_server_snapshot",
    ]),
    key(
        "query.retry.attempts",
        ConfigType::Int,
        Text("-1"),
        MODE,
        "How often a read that failed for a passing reason is tried again before the task fails; -1: without end.",
    )
    .importance(Low)
    .form(Medium, "Query Retry Attempts"),
    key("table.types", ConfigType::List, Text("TABLE"), CONNECTOR, "Kinds of tables to look for: TABLE, VIEW, SYSTEM TABLE.")
        .importance(Low)
        .form(Medium, "Table Types"),
    key(
        "poll.interval.ms",
        ConfigType::Int,
        Text("5000"),
        CONNECTOR,
        "Milliseconds from the end of one reading of a table to the next.",
    )
    .importance(High)
    .form(Short, "Poll Interval (ms)"),
    own(
        "poll.schedule",
        ConfigType::String,
        Text(""),
        "When to read, as a cron expression in db.timezone (`0 2 * * *`, `*/30 8-18 * * MON-FRI`, seconds may stand in \
         front), instead of every poll.interval.ms.",
    )
    .check(KeyValidator::ByText(schedule::check))
    .form(Medium, "Poll schedule"),
    key("batch.max.rows", ConfigType::Int, Text("1000"), CONNECTOR, "Most records that one batch holds.")
        .importance(Low)
        .form(Short, "Max Rows Per Batch"),
    key("max.buffer.size", ConfigType::Int, Text("0"), CONNECTOR, "the buffer is bounded by bytes.")
        .without_effect()
        .importance(Low)
        .form(Short, "Maximum Buffer Size"),
    key("poll.linger.ms", ConfigType::Long, Text("5000"), CONNECTOR, "rows are not held back.")
        .without_effect()
        .importance(Low)
        .form(Short, "Poll Linger Milliseconds"),
    key(
        "table.monitoring.startup.polling.limit.ms",
        ConfigType::Long,
        Text("10000"),
        "",
        "the list of tables is read when tasks are planned.",
    )
    .without_effect()
    .importance(Low)
    .form(Width::None, "table.monitoring.startup.polling.limit.ms")
    .order(-1),
    key(
        "table.poll.interval.ms",
        ConfigType::Long,
        Text("60000"),
        CONNECTOR,
        "Milliseconds between two looks for tables that are new or gone.",
    )
    .importance(Low)
    .form(Short, "Metadata Change Monitoring Interval (ms)"),
    key(
        "topic.prefix",
        ConfigType::String,
        Text(""),
        CONNECTOR,
        "Put before the table's name to make the topic; with query it is the topic.",
    )
    .check(KeyValidator::By(values::topic_prefix))
    .importance(High)
    .form(Medium, "Topic Prefix"),
    key(
        "timestamp.delay.interval.ms",
        ConfigType::Long,
        Text("0"),
        CONNECTOR,
        "In timestamp modes, how long a row rests before it is read, in milliseconds: time for slow transactions.",
    )
    .importance(High)
    .form(Medium, "Delay Interval (ms)"),
    key(
        "db.timezone",
        ConfigType::String,
        Text("UTC"),
        CONNECTOR,
        "Time zone of date-times and times that carry none, such as Europe/Vienna.",
    )
    .check(KeyValidator::By(values::zone))
    .form(Medium, "DB time zone"),
    key(
        "timestamp.granularity",
        ConfigType::String,
        Text("connect_logical"),
        CONNECTOR,
        "What a date-time becomes: connect_logical (milliseconds), or micros_ / nanos_ followed by long, string or \
         iso_datetime_string.",
    )
    .check(KeyValidator::By(values::granularity))
    .importance(Low)
    .form(Medium, "Timestamp granularity for timestamp columns")
    .recommended(&[
        "connect_logical",
        "micros_long",
        "micros_string",
        "micros_iso_datetime_string",
        "nanos_long",
        "nanos_string",
        "nanos_iso_datetime_string",
    ]),
    key(
        "column.types",
        ConfigType::String,
        Text("none"),
        CONNECTOR,
        "With carry, each field's schema tells the type of its column (Debezium's parameters `__debezium.source.column.type`, \
         `.length` and `.scale`, and the character set, default and items beside them), so that a sink makes the same column.",
    )
    .check(KeyValidator::OneOf(&["none", "carry"]))
    .importance(Low)
    .form(Short, "Column types in schemas")
    .recommended(&["none", "carry"]),
    key(
        "key.mode",
        ConfigType::String,
        Text("primary_key"),
        OWN,
        "What the record key is: primary_key (a struct of the key's columns; null for a table that has none) or none.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["primary_key", "none"]))
    .form(Medium, "Record key")
    .recommended(&["primary_key", "none"]),
    own(
        "incrementing.initial",
        ConfigType::Long,
        Text("-1"),
        "Without a stored offset, rows above this id are read.",
    )
    .form(Short, "Initial incrementing value"),
    own(
        "table.names.qualify",
        ConfigType::Boolean,
        Text("true"),
        "false: stored offsets name the table alone, as Aiven's connector does then.",
    )
    .form(Short, "Qualify table names"),
    own(
        "bigint.unsigned.handling.mode",
        ConfigType::String,
        Text("long"),
        "What a BIGINT UNSIGNED becomes: long (int64; a value above 9223372036854775807 is an error), precise (Decimal) \
         or string.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["long", "precise", "string"]))
    .form(Short, "Large unsigned integers")
    .recommended(&["long", "precise", "string"]),
    own(
        "gap.tracking",
        ConfigType::String,
        Text("auto"),
        "auto: miss no row of a transaction that commits late. MariaDB and MySQL: rows wait for uncommitted ones before \
         them, missing ids are asked for again until the transactions of their time have ended, and rows with stamps \
         wait for the oldest open transaction; the last two need the privilege PROCESS. PostgreSQL: likewise, without \
         a privilege for ids, with pg_read_all_stats for stamps. off: read whatever is committed.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["auto", "off"]))
    .form(Short, "Wait for open transactions")
    .recommended(&["auto", "off"]),
    own(
        "gap.max.age.ms",
        ConfigType::Long,
        Text("600000"),
        "How long a missing id is asked for again at most, in milliseconds, where transactions of its time do not end or \
         cannot be seen. A row that takes longer to be committed is missed, and the task's status tells so.",
    )
    .check(KeyValidator::AtLeast(0))
    .form(Short, "Longest wait for a missing id (ms)"),
    own(
        "delete.capture",
        ConfigType::String,
        Text("none"),
        "key_sweep: the primary keys of each table are read in their order every delete.capture.interval.ms and compared \
         with those known; for each that has vanished a record with that key and no value (a tombstone) is written, once. \
         Needs a primary key, key.mode=primary_key and a mode other than bulk. none: deleted rows are not told.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["none", "key_sweep"]))
    .form(Short, "Capture of deleted rows")
    .recommended(&["none", "key_sweep"]),
    own(
        "delete.capture.interval.ms",
        ConfigType::Long,
        Text("60000"),
        "Milliseconds from the end of one look at a table's primary keys to the next.",
    )
    .check(KeyValidator::AtLeast(1))
    .form(Short, "Interval of delete.capture (ms)"),
    own(
        "delete.capture.max.bytes",
        ConfigType::Long,
        Text("67108864"),
        "Most bytes that the known keys of a table may take in memory and in the offsets topic; with more the task fails. \
         Whole numbers are kept in ranges: a hole takes about 3 bytes. Other keys take what they do not share with the one \
         before, as texts.",
    )
    .check(KeyValidator::AtLeast(1))
    .form(Short, "Most bytes of known keys"),
    own(
        "delete.marker.column",
        ConfigType::String,
        Text(""),
        "A column that marks rows as deleted: a row where it is true, a number other than 0, or a date or time that is not \
         NULL, is written as its key without a value (a tombstone).",
    )
    .form(Short, "Column that marks deleted rows"),
    own(
        "snapshot.parallel.min.rows",
        ConfigType::Long,
        Text("1000000"),
        "While tasks.max is more than there are tables, several tasks read a table for the first time in mode incrementing, \
         each some ranges of its ids, if the database estimates so many rows (not with delete.capture). 0: always one task.",
    )
    .check(KeyValidator::AtLeast(0))
    .form(Short, "Rows of a table that several tasks read first"),
    key("snapshot.part", ConfigType::String, Null, CONNECTOR, "This task's share of its table, such as 2/4.").internal(),
    own(
        "timestamp.horizon.max.wait.ms",
        ConfigType::Long,
        Text("-1"),
        "In timestamp modes, how long a transaction must have been open for rows not to wait for it any more, in \
         milliseconds; -1: they wait until it ends. Rows that have not waited are read past it, which the task's status \
         tells; when it has ended, the rows that it committed follow.",
    )
    .check(KeyValidator::AtLeast(-1))
    .form(Short, "Longest wait for an open transaction (ms)"),
    own(
        "max.row.bytes",
        ConfigType::Long,
        Text("67108864"),
        "Most bytes that a row may have as the server sends it; a table is not read past a larger one, as the status says. \
         So much memory is taken, at most, for what a server announces.",
    )
    .check(KeyValidator::Between(1 << 20, 1 << 30))
    .form(Short, "Most bytes of a row"),
    key("tables", ConfigType::List, Text(""), CONNECTOR, "The tables of this task.").internal(),
];
