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
pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "connection.url",
        ConfigType::String,
        Text(""),
        DATABASE,
        "Address of the database: a JDBC URL (jdbc:mariadb://host:3306/shop, jdbc:mysql:, \
         jdbc:postgresql:, jdbc:sqlite:) or the database's own form (mariadb://user@host/shop).",
    )
    .importance(High)
    .form(Long, "JDBC URL")
    .dependents(&["table.whitelist", "table.blacklist"]),
    key("connection.user", ConfigType::String, Null, DATABASE,
        "Database user. Takes precedence over a user in the URL.")
        .importance(High)
        .form(Long, "JDBC User")
        .aliases(&["connection.username"]),
    key("connection.password", ConfigType::Password, Null, DATABASE,
        "Password of the user. Takes precedence over a password in the URL. Never shown.")
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
    key("connection.attempts", ConfigType::Int, Text("3"), DATABASE,
        "Number of attempts to open a connection, each time one is needed.")
        .check(KeyValidator::AtLeast(1))
        .importance(Low)
        .form(Short, "JDBC connection attempts"),
    key("connection.backoff.ms", ConfigType::Long, Text("10000"), DATABASE,
        "Milliseconds between two attempts to connect.")
        .importance(Low)
        .form(Short, "JDBC connection backoff in milliseconds"),
    key(
        "table.whitelist",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Tables to read. Names may have their database or schema, and may be quoted; letter case \
         matters. A name with its database can also be a table of another database of MariaDB or \
         MySQL. Takes precedence over table.blacklist.",
    )
    .form(Long, "Table Whitelist"),
    key("table.blacklist", ConfigType::List, Text(""), DATABASE, "Read all tables except these.").form(Long, "Table Blacklist"),
    key(
        "table.include.list",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Regular expressions. A table is read if one of them matches its whole name, including \
         database or schema. An expression that begins with the name of another database of \
         MariaDB or MySQL (crm\\..*) also matches the tables there.",
    )
    .check(KeyValidator::By(mapping::check_patterns))
    .form(Long, "Tables Included (Regex)"),
    key(
        "table.exclude.list",
        ConfigType::List,
        Text(""),
        DATABASE,
        "Regular expressions for tables to exclude from those of table.include.list.",
    )
    .check(KeyValidator::By(mapping::check_patterns))
    .form(Long, "Tables Excluded (Regex)"),
    key(
        "catalog.pattern",
        ConfigType::String,
        Null,
        DATABASE,
        "Database of MariaDB or MySQL to search for tables, instead of the URL's database; % means \
         all databases.",
    )
    .form(Short, "Schema pattern"),
    key("schema.pattern", ConfigType::String, Null, DATABASE,
        "Schemas of PostgreSQL to search for tables, with the wildcards % and _.")
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
        "Which NUMERIC columns become integers or floats: none; precision_only (columns without \
         decimal places become integers); best_fit (also columns with decimal places become \
         floats); best_fit_eager_double (floats even with more than 18 digits).",
    )
    .check(KeyValidator::By(values::numeric_mapping))
    .importance(Low)
    .form(Short, "Map Numeric Values, Integral or Decimal, By Precision and Scale")
    .recommended(&["none", "precision_only", "best_fit", "best_fit_eager_double"]),
    key("dialect.name", ConfigType::String, Text(""), DATABASE,
        "the URL determines the database.")
        .without_effect()
        .importance(Low)
        .form(Long, "Database Dialect")
        .recommended(&["MySqlDatabaseDialect", "PostgreSqlDatabaseDialect", "SqliteDatabaseDialect"]),
    key(
        "date.calendar.system",
        ConfigType::String,
        Text("LEGACY"),
        DATABASE,
        "Calendar for dates before 1582-10-15: LEGACY (Julian, as in Java's old classes) or \
         PROLEPTIC_GREGORIAN.",
    )
    .check(KeyValidator::By(values::calendar))
    .importance(Low)
    .form(Medium, "Date Calendar System"),
    key(
        "mode",
        ConfigType::String,
        Text(""),
        MODE,
        "What a poll reads: bulk (all rows), incrementing (rows with ids above the last one), \
         timestamp (rows with timestamps after the last one), timestamp+incrementing (both). cdc \
         (MariaDB and PostgreSQL): every change of the tables, deletions included, from the server's \
         log, after the rows that were there before.",
    )
    .check(KeyValidator::By(values::mode))
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
        "Column whose values only increase. Empty: the auto-increment column of the table.",
    )
    .form(Medium, "Incrementing Column Name"),
    key(
        "timestamp.column.name",
        ConfigType::List,
        Text(""),
        MODE,
        "Columns with the time of the last change. The first one that is not NULL is used.",
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
        "Start of reading without a stored offset, in milliseconds since 1970; rows at or before \
         it are skipped. -1: now; empty: 1970.",
    )
    .importance(Low)
    .form(Medium, "Unix time value of initial timestamp")
    .aliases(&["timestamp.initial.ms"]),
    key(
        "validate.non.null",
        ConfigType::Boolean,
        Text("true"),
        MODE,
        "Whether a nullable incrementing column, or timestamp columns that are all nullable, are \
         refused. Rows with NULL in them are never read.",
    )
    .importance(Low)
    .form(Short, "Validate Non Null"),
    key("query", ConfigType::String, Text(""), MODE, "A SELECT to read instead of tables; topic.prefix is then the topic.")
        .form(Short, "Query"),
    key("query.masked", ConfigType::Password, Text(""), MODE, "Like query, but never shown.").form(Short, "Query (Masked)"),
    key(
        "quote.sql.identifiers",
        ConfigType::String,
        Text("ALWAYS"),
        MODE,
        "Whether names are quoted in SQL: always or never.",
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
        "Text at the end of every statement, such as LIMIT or a lock hint. Tables are then read \
         with one statement instead of pages.",
    )
    .importance(Low)
    .form(Medium, "Query suffix"),
    key(
        "transaction.isolation.mode",
        ConfigType::String,
        Text("DEFAULT"),
        MODE,
        "Isolation level of the reading connection. DEFAULT: the server's default.",
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
        "How often a read is retried after transient errors before the task fails; -1: no limit.",
    )
    .importance(Low)
    .form(Medium, "Query Retry Attempts"),
    key("table.types", ConfigType::List, Text("TABLE"), CONNECTOR,
        "Kinds of tables to search for: TABLE, VIEW, SYSTEM TABLE, PARTITIONED TABLE, MATERIALIZED VIEW, FOREIGN TABLE.")
        .check(KeyValidator::ByText(values::table_types))
        .importance(Low)
        .form(Medium, "Table Types"),
    key(
        "poll.interval.ms",
        ConfigType::Int,
        Text("5000"),
        CONNECTOR,
        "Milliseconds from the end of one read of a table to the next.",
    )
    .importance(High)
    .form(Short, "Poll Interval (ms)"),
    own(
        "poll.schedule",
        ConfigType::String,
        Text(""),
        "When to read, as a cron expression in db.timezone (`0 2 * * *`, `*/30 8-18 * * MON-FRI`, \
         optionally with seconds as first field). Replaces poll.interval.ms.",
    )
    .check(KeyValidator::ByText(schedule::check))
    .form(Medium, "Poll schedule"),
    key("batch.max.rows", ConfigType::Int, Text("1000"), CONNECTOR,
        "Maximum number of records per batch.")
        .importance(Low)
        .form(Short, "Max Rows Per Batch"),
    key("max.buffer.size", ConfigType::Int, Text("0"), CONNECTOR,
        "the buffer is limited by bytes.")
        .without_effect()
        .importance(Low)
        .form(Short, "Maximum Buffer Size"),
    key("poll.linger.ms", ConfigType::Long, Text("5000"), CONNECTOR, "rows are not delayed.")
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
        "Milliseconds between two checks for new and dropped tables.",
    )
    .importance(Low)
    .form(Short, "Metadata Change Monitoring Interval (ms)"),
    key(
        "topic.prefix",
        ConfigType::String,
        Text(""),
        CONNECTOR,
        "Prefix of the topic: it is followed by the table's name. With query, it is the whole name \
         of the topic.",
    )
    .check(KeyValidator::By(values::topic_prefix))
    .importance(High)
    .form(Medium, "Topic Prefix"),
    key(
        "timestamp.delay.interval.ms",
        ConfigType::Long,
        Text("0"),
        CONNECTOR,
        "In timestamp modes, the minimum age of a row before it is read, in milliseconds. Leaves \
         time for slow transactions.",
    )
    .importance(High)
    .form(Medium, "Delay Interval (ms)"),
    key(
        "db.timezone",
        ConfigType::String,
        Text("UTC"),
        CONNECTOR,
        "Time zone of date-times and times without a zone, such as Europe/Vienna.",
    )
    .check(KeyValidator::By(values::zone))
    .form(Medium, "DB time zone"),
    key(
        "timestamp.granularity",
        ConfigType::String,
        Text("connect_logical"),
        CONNECTOR,
        "Type of date-times in records: connect_logical (milliseconds), or micros_ / nanos_ \
         followed by long, string or iso_datetime_string.",
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
        "carry: each field's schema describes the type of its column, so that a sink can create \
         the same column. It uses Debezium's parameters `__debezium.source.column.type`, `.length` \
         and `.scale`, and others for the character set, the default and the items of ENUM and SET.",
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
        "Record key: primary_key (a struct of the columns of the primary key; null for a table \
         without one) or none.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["primary_key", "none"]))
    .form(Medium, "Record key")
    .recommended(&["primary_key", "none"]),
    own(
        "incrementing.initial",
        ConfigType::Long,
        Text("-1"),
        "Without a stored offset, rows with greater ids than this are read.",
    )
    .form(Short, "Initial incrementing value"),
    own(
        "table.names.qualify",
        ConfigType::Boolean,
        Text("true"),
        "If false, stored offsets have only the table's name, as in Aiven's connector with this \
         setting.",
    )
    .form(Short, "Qualify table names"),
    own(
        "bigint.unsigned.handling.mode",
        ConfigType::String,
        Text("long"),
        "Type of BIGINT UNSIGNED in records: long (int64; a value above 9223372036854775807 is an \
         error), precise (Decimal) or string.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["long", "precise", "string"]))
    .form(Short, "Large unsigned integers")
    .recommended(&["long", "precise", "string"]),
    own(
        "gap.tracking",
        ConfigType::String,
        Text("auto"),
        "auto: do not miss rows of transactions that commit late. On MariaDB and MySQL, rows wait \
         for uncommitted rows before them; missing ids are queried again until the transactions \
         that were open at their time have ended; and rows with timestamps wait for the oldest \
         open transaction. The last two need the privilege PROCESS. On PostgreSQL the same \
         applies: ids need no privilege, timestamps need pg_read_all_stats. off: read all \
         committed rows immediately.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["auto", "off"]))
    .form(Short, "Wait for open transactions")
    .recommended(&["auto", "off"]),
    own(
        "gap.max.age.ms",
        ConfigType::Long,
        Text("600000"),
        "Maximum time for which a missing id is queried again, in milliseconds, if transactions of \
         its time do not end or are not visible. A row that is committed later is missed, and the \
         task's status shows that.",
    )
    .check(KeyValidator::AtLeast(0))
    .form(Short, "Longest wait for a missing id (ms)"),
    own(
        "delete.capture",
        ConfigType::String,
        Text("none"),
        "key_sweep: every delete.capture.interval.ms, the primary keys of each table are read in \
         order and compared with the known keys. For each missing key, one tombstone (a record \
         with the key and no value) is written. Needs a primary key, key.mode=primary_key and a \
         mode other than bulk. none: deleted rows are not detected.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["none", "key_sweep"]))
    .form(Short, "Capture of deleted rows")
    .recommended(&["none", "key_sweep"]),
    own(
        "delete.capture.interval.ms",
        ConfigType::Long,
        Text("60000"),
        "Milliseconds from the end of one comparison of a table's primary keys to the next.",
    )
    .check(KeyValidator::AtLeast(1))
    .form(Short, "Interval of delete.capture (ms)"),
    own(
        "delete.capture.max.bytes",
        ConfigType::Long,
        Text("67108864"),
        "Maximum size of a table's known keys, in memory and in the offsets topic, in bytes; \
         beyond it the task fails. Integers are stored as ranges: a gap takes about 3 bytes. Other \
         keys are stored as texts without the prefix that they share with the previous key.",
    )
    .check(KeyValidator::AtLeast(1))
    .form(Short, "Most bytes of known keys"),
    own(
        "delete.marker.column",
        ConfigType::String,
        Text(""),
        "Column that marks rows as deleted. A row whose marker is true, a number other than 0, or \
         a date or time that is not NULL, is written as a tombstone (a record with the key and no \
         value).",
    )
    .form(Short, "Column that marks deleted rows"),
    own(
        "snapshot.parallel.min.rows",
        ConfigType::Long,
        Text("1000000"),
        "Minimum estimated number of rows for a parallel first read. In mode incrementing, if \
         tasks.max exceeds the number of tables, several tasks read such a table for the first \
         time, each some ranges of its ids (not with delete.capture). 0: always one task.",
    )
    .check(KeyValidator::AtLeast(0))
    .form(Short, "Rows of a table that several tasks read first"),
    key("snapshot.part", ConfigType::String, Null, CONNECTOR, "This task's share of its table, such as 2/4.").internal(),
    own(
        "timestamp.horizon.max.wait.ms",
        ConfigType::Long,
        Text("-1"),
        "In timestamp modes, how long rows wait for an open transaction, in milliseconds; -1: \
         until it ends. After that time, rows with later timestamps are emitted before it ends, \
         which the task's status shows. The rows that the transaction commits are emitted when it \
         has ended.",
    )
    .check(KeyValidator::AtLeast(-1))
    .form(Short, "Longest wait for an open transaction (ms)"),
    own(
        "max.row.bytes",
        ConfigType::Long,
        Text("67108864"),
        "Maximum size of a row as the server sends it, in bytes. A table with a larger row is not \
         read further, and the status shows that. This also limits the memory that is allocated \
         for a row.",
    )
    .check(KeyValidator::Between(1 << 20, 1 << 30))
    .form(Short, "Most bytes of a row"),
    own(
        "database.server.id",
        ConfigType::Long,
        Null,
        "In mode cdc, the number by which the server knows this reader of its log: no replica and \
         no other connector may have the same. Default: derived from the connector's name and the \
         topic prefix.",
    )
    .check(KeyValidator::Between(1, 4_294_967_295))
    .form(Short, "Number as a replica"),
    own(
        "snapshot.mode",
        ConfigType::String,
        Text("initial"),
        "In mode cdc, what is emitted of a table that has no stored position: initial (the rows \
         that are there, then all changes) or no_data (only changes from now on).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["initial", "no_data"]))
    .form(Short, "Rows that are there before")
    .recommended(&["initial", "no_data"]),
    own(
        "truncate.handling",
        ConfigType::String,
        Text("fail"),
        "In mode cdc, what happens when a captured table is truncated, or a partition of it is \
         truncated, dropped or exchanged. The log does not have the rows that go away: fail \
         (the task fails, so that the copies can be emptied) or ignore (the status warns).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["fail", "ignore"]))
    .form(Short, "Truncated tables")
    .recommended(&["fail", "ignore"]),
    own(
        "slot.name",
        ConfigType::String,
        Text(""),
        "In mode cdc with PostgreSQL, the name of the replication slot that the connector makes and \
         reads. No other reader may have it. Default: rowferry_ and the connector's name.",
    )
    .check(KeyValidator::By(values::slot_name))
    .form(Medium, "Replication slot"),
    own(
        "slot.drop.on.stop",
        ConfigType::Boolean,
        Text("false"),
        "In mode cdc with PostgreSQL, whether the slot is dropped when the task stops. Changes after \
         that are lost: the task fails when it is started again. For trials only.",
    )
    .form(Short, "Drop the slot on stop"),
    own(
        "publication.name",
        ConfigType::String,
        Text(""),
        "In mode cdc with PostgreSQL, the name of the publication that says which tables the server \
         sends. Default: the name of the slot.",
    )
    .form(Medium, "Publication"),
    own(
        "publication.autocreate.mode",
        ConfigType::String,
        Text("filtered"),
        "In mode cdc with PostgreSQL, who makes the publication: filtered (the connector, of its \
         tables, and changes it when they change), all_tables (the connector, of all tables, which \
         needs a superuser) or disabled (it must be there).",
    )
    .check(KeyValidator::OneOfIgnoreCase(&[
        "filtered",
        "all_tables",
        "disabled",
    ]))
    .form(Short, "Who makes the publication")
    .recommended(&["filtered", "all_tables", "disabled"]),
    own(
        "transaction.max.bytes",
        ConfigType::Long,
        Text("67108864"),
        "In mode cdc, up to how many bytes of rows a transaction of the database is one transaction \
         of Kafka, so that read_committed consumers see it as a whole. A larger one is split, which \
         the status shows, and so is one that takes longer than 5 s.",
    )
    .check(KeyValidator::AtLeast(0))
    .form(Short, "Most bytes kept together"),
    key("tables", ConfigType::List, Text(""), CONNECTOR, "The tables of this task.").internal(),
];
