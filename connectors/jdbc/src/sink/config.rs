//! The sink's settings as the code uses them, read from [`super::keys::KEYS`], and the checks across keys.

use std::collections::HashSet;
use std::time::Duration;

use connector_api::{Config, Reader, Report, Result};

use super::keys::KEYS;
use super::naming::Naming;
use crate::driver::ConnectOptions;
use crate::zone::Zone;

/// The values of `pk.mode`.
pub(super) const PK_MODES: &[&str] = &["none", "kafka", "record_key", "record_value"];

/// What a record with a value does to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertMode {
    /// Adds a row.
    Insert,
    /// Adds a row or changes the one of the same key.
    Upsert,
    /// Changes the row of that key, if there is one.
    Update,
}

/// Where key columns come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkMode {
    /// There are none.
    None,
    /// Topic, partition and offset.
    Kafka,
    /// The record's key.
    RecordKey,
    /// The record's value.
    RecordValue,
}

impl PkMode {
    /// As configurations spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kafka => "kafka",
            Self::RecordKey => "record_key",
            Self::RecordValue => "record_value",
        }
    }
}

/// How points in time become SQL's date and time texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeRules {
    /// Zone of Time and Timestamp columns.
    pub zone: Zone,
    /// Whether dates are written as they are, not as the zone's day at midnight UTC.
    pub date_in_utc: bool,
    /// Whether days before 1582-10-15 are shown in the Julian calendar.
    pub julian: bool,
    /// Fields that hold points in time as numbers or text.
    pub fields: HashSet<String>,
    /// Units of such a number in a second.
    pub units_per_second: i64,
}

/// All settings of one task.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "one flag per key of the configuration")]
pub struct SinkConfig {
    /// The connector's name.
    pub name: String,
    /// The task's number, for the ledger's owner column.
    pub task: String,
    pub insert_mode: InsertMode,
    pub pk_mode: PkMode,
    pub pk_fields: Vec<String>,
    pub delete_enabled: bool,
    pub whitelist: HashSet<String>,
    pub naming: Naming,
    pub string_column: String,
    pub replace_null: bool,
    pub time: TimeRules,
    pub auto_create: bool,
    pub auto_evolve: bool,
    /// `TABLE`, `VIEW`, `PARTITIONED TABLE`.
    pub table_types: Vec<String>,
    /// Most rows of one statement.
    pub batch_rows: usize,
    /// `max.retries`, if the user has set it.
    pub max_retries: Option<u64>,
    pub retry_backoff: Duration,
    pub connection_attempts: u64,
    pub connection_backoff: Duration,
    /// Whether offsets go into the target database.
    pub exactly_once: bool,
}

impl SinkConfig {
    /// Reads the configuration of a connector or task. Errors: `Config`, with every problem in its text.
    pub fn read(config: &Config) -> Result<Self> {
        Ok(config.read(KEYS, Self::fill)?)
    }

    /// How connecting is tried.
    pub fn connect_options(&self) -> ConnectOptions {
        let attempts = u32::try_from(self.connection_attempts).unwrap_or(u32::MAX);
        ConnectOptions { attempts, backoff: self.connection_backoff, ..ConnectOptions::default() }
    }

    pub(super) fn fill(r: &mut Reader<'_>) -> Self {
        for key in [
            "connection.url",
            "connection.user",
            "connection.password",
            "dialect.name",
            "quote.sql.identifiers",
            "trim.sensitive.log",
        ] {
            r.text(key);
        }
        r.text("jdbc.credentials.provider.class");
        r.bool("mssql.use.merge.holdlock");
        let own = |name| r.config().get(name).unwrap_or_default().to_owned();
        let (name, task) = (own("name"), own("task.id"));
        Self {
            name,
            task,
            insert_mode: match r.text("insert.mode").to_ascii_lowercase().as_str() {
                "upsert" => InsertMode::Upsert,
                "update" => InsertMode::Update,
                _ => InsertMode::Insert,
            },
            pk_mode: match r.text("pk.mode").to_ascii_lowercase().as_str() {
                "kafka" => PkMode::Kafka,
                "record_key" => PkMode::RecordKey,
                "record_value" => PkMode::RecordValue,
                _ => PkMode::None,
            },
            pk_fields: r.list("pk.fields"),
            delete_enabled: r.bool("delete.enabled"),
            whitelist: r.list("fields.whitelist").into_iter().collect(),
            naming: Naming::new(
                r.text("table.name.format"),
                r.bool("table.name.normalize"),
                matches!(r.text("quote.sql.identifiers").to_ascii_lowercase().as_str(), "never" | "false"),
                &r.list("topics.to.tables.mapping"),
            ),
            string_column: r.text("string.output.value.column.name"),
            replace_null: r.bool("replace.null.with.default"),
            time: Self::time_rules(r),
            auto_create: r.bool("auto.create"),
            auto_evolve: r.bool("auto.evolve"),
            table_types: r.list("table.types").iter().map(|t| t.to_uppercase()).collect(),
            batch_rows: usize::try_from(r.unsigned("batch.size")).unwrap_or(usize::MAX).max(1),
            max_retries: r.is_set("max.retries").then(|| r.unsigned("max.retries")),
            retry_backoff: Duration::from_millis(r.unsigned("retry.backoff.ms")),
            connection_attempts: r.unsigned("connection.attempts"),
            connection_backoff: Duration::from_millis(r.unsigned("connection.backoff.ms")),
            exactly_once: r.text("delivery.guarantee") == "exactly_once",
        }
    }

    fn time_rules(r: &mut Reader<'_>) -> TimeRules {
        TimeRules {
            zone: Zone::named(&r.text("db.timezone")).unwrap_or_default(),
            date_in_utc: r.text("date.timezone").eq_ignore_ascii_case("UTC"),
            julian: !r.text("date.calendar.system").eq_ignore_ascii_case("PROLEPTIC_GREGORIAN"),
            fields: r.list("timestamp.fields.list").into_iter().collect(),
            units_per_second: if r.text("timestamp.precision.mode").eq_ignore_ascii_case("NANOSECONDS") {
                1_000_000_000
            } else {
                1_000_000
            },
        }
    }
}

/// The value of a key under any of its spellings, as it was given.
pub fn given<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    std::iter::once(&key.name).chain(key.aliases).find_map(|spelling| config.get(spelling))
}

/// What can be said of a configuration without a database: combinations that cannot work, and forms' values.
pub fn check(config: &Config, report: &mut Report) {
    if !given(config, "pk.mode").is_some_and(|mode| mode.trim().eq_ignore_ascii_case(PkMode::RecordKey.name())) {
        report.recommend("delete.enabled", vec!["false".to_owned()]);
        report.hide("delete.enabled");
    }
    let Ok(sink) = SinkConfig::read(config) else { return };
    if sink.delete_enabled {
        report.recommend("pk.mode", vec![PkMode::RecordKey.name().to_owned()]);
    }
    if sink.delete_enabled && sink.pk_mode != PkMode::RecordKey {
        for key in ["delete.enabled", "pk.mode"] {
            report.error(key, "Deletes are only supported for pk.mode record_key");
        }
    }
    match (sink.insert_mode, sink.pk_mode) {
        (InsertMode::Update, PkMode::None) => report.error(
            "pk.mode",
            "insert.mode update with pk.mode none would overwrite every row of the table: set pk.mode and pk.fields",
        ),
        (InsertMode::Upsert, PkMode::None) => {
            report.warn(
                "pk.mode",
                "insert.mode upsert needs key columns: set pk.mode to record_key, record_value or kafka",
            );
        }
        (_, PkMode::None) if !sink.pk_fields.is_empty() => {
            report.warn("pk.fields", "pk.fields has no effect while pk.mode is none");
        }
        _ => {}
    }
    if config.get("jdbc.credentials.provider.class").is_some_and(|c| !c.ends_with("DefaultJdbcCredentialsProvider")) {
        report.error(
            "jdbc.credentials.provider.class",
            "credentials providers cannot be loaded: give connection.user and connection.password instead",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use connector_api::config::keys_asked;
    use connector_api::{Config, Report};

    use super::super::keys::KEYS;
    use super::{InsertMode, PkMode, SinkConfig, check};

    #[test]
    fn every_declared_key_is_read_and_no_other() {
        let asked = keys_asked(KEYS, SinkConfig::fill);
        assert_eq!(asked, KEYS.iter().map(|k| k.name).collect::<BTreeSet<_>>());
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut config = Config::from([("connection.url", "jdbc:mysql://h/d"), ("topics", "t")]);
        for (k, v) in pairs {
            config.set(*k, *v);
        }
        config
    }

    #[test]
    fn spellings_of_all_peers_are_understood() {
        let sink = SinkConfig::read(&config(&[
            ("insert.mode", "UPSERT"),
            ("primary.key.mode", "RECORD_VALUE"),
            ("primary.key.fields", "a, b"),
            ("flush.max.retries", "4"),
        ]))
        .unwrap();
        assert_eq!((sink.insert_mode, sink.pk_mode), (InsertMode::Upsert, PkMode::RecordValue));
        assert_eq!(sink.pk_fields, ["a", "b"]);
        assert_eq!((sink.max_retries, sink.auto_create, sink.exactly_once), (Some(4), true, true));
    }

    #[test]
    fn wrong_values_and_combinations_are_told() {
        for (pairs, want) in [
            (vec![("insert.mode", "Upsert")], "Invalid value Upsert for configuration insert.mode: Invalid enumerator"),
            (vec![("pk.mode", "keys")], "Invalid value keys for configuration pk.mode: Invalid enumerator"),
            (vec![("table.types", "INDEX")], "Invalid value INDEX for configuration table.types: Invalid enumerator"),
            (vec![("batch.size", "-1")], "Invalid value -1 for configuration batch.size: Value must be at least 0"),
            (vec![("topics.to.tables.mapping", "asd:asd,asd")], "Invalid topics to tables mapping"),
            (vec![("table.name.format", "")], "String must be non-empty"),
        ] {
            let error = SinkConfig::read(&config(&pairs)).unwrap_err();
            assert!(error.message().contains(want), "{error}");
        }
        let problems = |pairs: &[(&str, &str)]| {
            let mut report = Report::default();
            check(&config(pairs), &mut report);
            report.errors.into_iter().map(|p| p.key).collect::<Vec<_>>()
        };
        assert_eq!(problems(&[("delete.enabled", "true")]), ["delete.enabled", "pk.mode"]);
        assert_eq!(problems(&[("insert.mode", "update")]), ["pk.mode"]);
        assert!(problems(&[("delete.enabled", "true"), ("pk.mode", "record_key")]).is_empty());
    }
}
