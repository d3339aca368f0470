//! The sink's settings as the code uses them, read from [`keys::KEYS`], and the checks across keys.

pub(super) mod adapt_rules;
pub(super) mod check;
pub(super) mod columns;
pub(super) mod fields;
pub(super) mod keys;
pub(super) mod naming;
pub(super) mod placeholder;
pub(super) mod template;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, ConfigReader, Result};

use self::adapt_rules::{AdaptRules, Nested};
use self::columns::{RecordColumn, header_column, origin_column};
use self::fields::FieldFilter;
use self::keys::{KEYS, column_items};
use self::naming::{NameLetters, TableNaming, joins_dots};
use self::placeholder::Placeholder;
use crate::class_defaults::sink_keys;
use crate::driver::{AccessMode, ConnectOptions};
use crate::zone::JdbcTimeZone;

pub(super) const PK_MODES: &[&str] = &["none", "kafka", "record_key", "record_value"];

/// The effect of a record with a value on its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertMode {
    Insert,
    /// Inserts a row, or updates the existing row of the same key.
    Upsert,
    /// Updates the row of that key, if it exists.
    Update,
}

/// The SQL of `insert.mode=statement`, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementSql {
    /// For records with a value.
    pub write: String,
    /// For tombstones, if given.
    pub delete: Option<String>,
}

/// Where key columns come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkMode {
    /// There are no key columns.
    None,
    /// Topic, partition and offset.
    Kafka,
    RecordKey,
    RecordValue,
    RecordHeader,
}

/// How far tables are altered to fit their records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaEvolution {
    Off,
    /// Missing columns are added.
    Add,
    /// Missing columns are added, and columns are widened.
    Widen,
}

impl PkMode {
    /// Returns the spelling in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kafka => "kafka",
            Self::RecordKey => "record_key",
            Self::RecordValue => "record_value",
            Self::RecordHeader => "record_header",
        }
    }
}

/// How points in time become SQL's date and time texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeRules {
    /// Zone of Time and Timestamp columns.
    pub zone: JdbcTimeZone,
    /// Dates are written unchanged, not as the zone's day at midnight UTC.
    pub date_in_utc: bool,
    /// Days before 1582-10-15 are written in the Julian calendar.
    pub julian: bool,
    /// Fields that hold points in time as numbers or text.
    pub fields: HashSet<String>,
    /// Units per second of such a number.
    pub units_per_second: i64,
}

/// All settings of one task.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag per key of the configuration"
)]
pub struct SinkConfig {
    /// The connector's name.
    pub name: String,
    /// The task's number, for the owner column of the stored offsets.
    pub task: String,
    /// The Kafka cluster that the stored offsets belong to.
    pub cluster: String,
    pub insert_mode: InsertMode,
    /// Set with `insert.mode=statement`; then `insert_mode` has no effect.
    pub statement: Option<StatementSql>,
    pub pk_mode: PkMode,
    pub pk_fields: Vec<String>,
    pub delete_enabled: bool,
    pub truncate_enabled: bool,
    pub ignore_tombstones: bool,
    pub fields: FieldFilter,
    /// Columns of headers and of records' coordinates.
    pub origins: Vec<RecordColumn>,
    pub unwrap: bool,
    /// `delete.marker.field`, if any.
    pub marker: Option<Arc<str>>,
    pub nested: Nested,
    pub delimiter: String,
    /// Interpret Debezium's types outside of change events, too.
    pub debezium_types: bool,
    /// Debezium's placeholder for a value that a change event does not contain.
    pub placeholder: Option<Arc<Placeholder>>,
    pub naming: TableNaming,
    pub string_column: String,
    pub replace_null: bool,
    pub time: TimeRules,
    pub auto_create: bool,
    pub evolve: SchemaEvolution,
    /// The tables of the topics must exist when a task starts.
    pub tables_must_exist: bool,
    pub topics: Vec<String>,
    /// `TABLE`, `VIEW`, `PARTITIONED TABLE`.
    pub table_types: Vec<String>,
    pub batch_rows: usize,
    /// `max.retries`, if the user has set it.
    pub max_retries: Option<u64>,
    pub retry_backoff: Duration,
    pub connection_attempts: u64,
    pub connection_backoff: Duration,
    /// Store offsets in the target database.
    pub exactly_once: bool,
}

impl SinkConfig {
    /// Reads the configuration of a connector or task.
    /// Errors: `Config`, with every problem in its text.
    pub fn read(config: &Config) -> Result<Self> {
        Ok(config.read(sink_keys(config.class()), Self::fill)?)
    }

    /// Returns the attempts and timeouts of connecting.
    pub fn connect_options(&self) -> ConnectOptions {
        let attempts = u32::try_from(self.connection_attempts).unwrap_or(u32::MAX);
        ConnectOptions {
            attempts,
            backoff: self.connection_backoff,
            access: AccessMode::Create,
            ..ConnectOptions::default()
        }
    }

    pub(super) fn fill(r: &mut ConfigReader<'_>) -> Self {
        // ConnectionTarget interprets these when a connection is opened
        for key in ["connection.url", "connection.user", "connection.password"] {
            r.text(key);
        }
        let (auto_create, evolve, tables_must_exist) = Self::evolution(r);
        Self {
            name: of_runtime(r, "name"),
            task: of_runtime(r, "task.id"),
            cluster: of_runtime(r, "task.cluster"),
            insert_mode: Self::insert_mode(r),
            statement: Self::statement(r),
            pk_mode: Self::pk_mode(r),
            pk_fields: r.list("pk.fields"),
            delete_enabled: r.bool("delete.enabled"),
            truncate_enabled: r.bool("truncate.enabled"),
            ignore_tombstones: Self::ignore_tombstones(r),
            fields: FieldFilter::new(
                r.list("fields.whitelist"),
                &r.list("field.include.list"),
                &r.list("field.exclude.list"),
            ),
            origins: Self::origins(r),
            unwrap: r.bool("envelope.unwrap"),
            marker: Some(r.text("delete.marker.field"))
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            nested: Self::nested(r),
            delimiter: r.text("nested.delimiter"),
            debezium_types: r.bool("debezium.types"),
            placeholder: Placeholder::new(&r.text("unavailable.value.placeholder")),
            naming: Self::naming(r),
            string_column: r.text("string.output.value.column.name"),
            replace_null: r.bool("replace.null.with.default"),
            time: Self::time_rules(r),
            auto_create,
            evolve,
            tables_must_exist,
            topics: Self::topics(r),
            table_types: upper_case(&r.list("table.types")),
            batch_rows: usize::try_from(r.unsigned("batch.size"))
                .unwrap_or(usize::MAX)
                .max(1),
            max_retries: r.is_set("max.retries").then(|| r.unsigned("max.retries")),
            retry_backoff: Duration::from_millis(r.unsigned("retry.backoff.ms")),
            connection_attempts: r.unsigned("connection.attempts"),
            connection_backoff: Duration::from_millis(r.unsigned("connection.backoff.ms")),
            exactly_once: r.text("delivery.guarantee") == "exactly_once",
        }
    }

    fn topics(r: &ConfigReader<'_>) -> Vec<String> {
        let topics = of_runtime(r, "topics");
        let topics = topics.split(',').map(str::trim);
        topics
            .filter(|topic| !topic.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn insert_mode(r: &mut ConfigReader<'_>) -> InsertMode {
        match r.text("insert.mode").to_ascii_lowercase().as_str() {
            "upsert" => InsertMode::Upsert,
            "update" => InsertMode::Update,
            _ => InsertMode::Insert,
        }
    }

    fn pk_mode(r: &mut ConfigReader<'_>) -> PkMode {
        match r.text("pk.mode").to_ascii_lowercase().as_str() {
            "kafka" => PkMode::Kafka,
            "record_key" => PkMode::RecordKey,
            "record_value" => PkMode::RecordValue,
            "record_header" => PkMode::RecordHeader,
            _ => PkMode::None,
        }
    }

    fn ignore_tombstones(r: &mut ConfigReader<'_>) -> bool {
        let ignores_null = r.text("behavior.on.null.values") == "ignore";
        let handles_tombstone = r.bool("handle.tombstone");
        ignores_null || handles_tombstone
    }

    fn nested(r: &mut ConfigReader<'_>) -> Nested {
        match r.text("nested.mode").as_str() {
            "json" => Nested::Json,
            "flatten" => Nested::Flatten,
            _ => Nested::Fail,
        }
    }

    fn naming(r: &mut ConfigReader<'_>) -> TableNaming {
        let is_normalized = r.bool("table.name.normalize");
        let strategy = r.text("collection.naming.strategy");
        let letters = if is_normalized {
            NameLetters::Normalized
        } else if joins_dots(&strategy) {
            NameLetters::NoDots
        } else {
            NameLetters::All
        };
        let quoting = r.text("quote.sql.identifiers").to_ascii_lowercase();
        TableNaming::new(
            &r.text("table.name.format"),
            letters,
            matches!(quoting.as_str(), "never" | "false"),
            &r.list("topics.to.tables.mapping"),
        )
    }

    /// Returns whether tables are created, how far they are altered, and whether they must exist
    /// from the start.
    fn evolution(r: &mut ConfigReader<'_>) -> (bool, SchemaEvolution, bool) {
        let create = r.bool("auto.create");
        let add = r.bool("auto.evolve");
        let widen = r.text_opt("auto.evolve").as_deref() == Some("widen");
        let evolve = if widen {
            SchemaEvolution::Widen
        } else if add {
            SchemaEvolution::Add
        } else {
            SchemaEvolution::Off
        };
        let create_is_set = r.is_set("auto.create");
        let evolve_is_set = r.is_set("auto.evolve");
        let Some(evolution) = r.text_opt("schema.evolution") else {
            return (create, evolve, false);
        };
        let is_basic = evolution == "basic";
        let create = if create_is_set { create } else { is_basic };
        let evolve = match (evolve_is_set, is_basic) {
            (true, _) => evolve,
            (false, true) => SchemaEvolution::Add,
            (false, false) => SchemaEvolution::Off,
        };
        (create, evolve, evolution == "validate-only")
    }

    fn origins(r: &mut ConfigReader<'_>) -> Vec<RecordColumn> {
        let (origins, headers) = (
            r.list("kafka.columns").join(","),
            r.list("headers.columns").join(","),
        );
        let origins =
            column_items(&origins).filter_map(|(origin, column)| origin_column(origin, column));
        let headers = column_items(&headers)
            .map(|(header, column)| header_column(header, column.unwrap_or(header), false));
        origins.chain(headers).collect()
    }

    /// Returns the rules that convert records to rows. `lists`: the database has array columns.
    pub fn adapting(&self, lists: bool) -> AdaptRules {
        AdaptRules {
            unwrap: self.unwrap,
            marker: self.marker.clone().filter(|_| self.delete_enabled),
            deletes: self.delete_enabled,
            truncates: self.truncate_enabled,
            ignore_tombstones: self.ignore_tombstones,
            nested: self.nested,
            delimiter: self.delimiter.clone(),
            lists,
            debezium: self.debezium_types,
            placeholder: self.placeholder.clone(),
            time: self.time.clone(),
        }
    }

    fn statement(r: &mut ConfigReader<'_>) -> Option<StatementSql> {
        let (write, delete) = (r.text("statement"), r.text("delete.statement"));
        let delete = Some(delete).filter(|sql| !sql.trim().is_empty());
        r.text("insert.mode")
            .eq_ignore_ascii_case("statement")
            .then_some(StatementSql { write, delete })
    }

    fn time_rules(r: &mut ConfigReader<'_>) -> TimeRules {
        TimeRules {
            zone: JdbcTimeZone::named(&r.text("db.timezone")).unwrap_or_default(),
            date_in_utc: r.text("date.timezone").eq_ignore_ascii_case("UTC"),
            julian: !r
                .text("date.calendar.system")
                .eq_ignore_ascii_case("PROLEPTIC_GREGORIAN"),
            fields: r.list("timestamp.fields.list").into_iter().collect(),
            units_per_second: if r
                .text("timestamp.precision.mode")
                .eq_ignore_ascii_case("NANOSECONDS")
            {
                1_000_000_000
            } else {
                1_000_000
            },
        }
    }
}

/// Returns a setting that the runtime adds to a task's configuration.
fn of_runtime(r: &ConfigReader<'_>, name: &str) -> String {
    r.config().get(name).unwrap_or_default().to_owned()
}

fn upper_case(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.to_uppercase()).collect()
}

/// Returns the value of a key, under any of its spellings, as configured.
pub(super) fn given<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    std::iter::once(&key.name)
        .chain(key.aliases)
        .find_map(|spelling| config.get(spelling))
}

#[cfg(test)]
mod tests {
    use connector_api::config::{keys_asked, unlike};
    use connector_api::{Config, ConfigReport};

    use super::check::check;
    use super::keys::KEYS;
    use super::{InsertMode, PkMode, SchemaEvolution, SinkConfig};

    #[test]
    fn every_declared_key_is_read_and_no_other() {
        let mut asked = keys_asked(|| drop(SinkConfig::read(&Config::new())));
        // the runtime sets these for every sink
        asked
            .retain(|name| !["name", "topics", "task.id", "task.cluster"].contains(&name.as_str()));
        assert_eq!(unlike(KEYS, &asked), [""; 0]);
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
        assert_eq!(
            (sink.insert_mode, sink.pk_mode),
            (InsertMode::Upsert, PkMode::RecordValue)
        );
        assert_eq!(sink.pk_fields, ["a", "b"]);
        assert_eq!(
            (sink.max_retries, sink.auto_create, sink.exactly_once),
            (Some(4), true, true)
        );
    }

    #[test]
    fn tables_follow_their_records_as_either_spelling_says() {
        for (pairs, want) in [
            (vec![], (true, SchemaEvolution::Off, false)),
            (
                vec![("auto.evolve", "TRUE")],
                (true, SchemaEvolution::Add, false),
            ),
            (
                vec![("auto.evolve", "Widen")],
                (true, SchemaEvolution::Widen, false),
            ),
            (
                vec![("schema.evolution", "none")],
                (false, SchemaEvolution::Off, false),
            ),
            (
                vec![("schema.evolution", "basic")],
                (true, SchemaEvolution::Add, false),
            ),
            (
                vec![("schema.evolution", "basic"), ("auto.evolve", "widen")],
                (true, SchemaEvolution::Widen, false),
            ),
            (
                vec![("schema.evolution", "validate-only")],
                (false, SchemaEvolution::Off, true),
            ),
        ] {
            let sink = SinkConfig::read(&config(&pairs)).unwrap();
            assert_eq!(
                (sink.auto_create, sink.evolve, sink.tables_must_exist),
                want,
                "{pairs:?}"
            );
        }
        let error = SinkConfig::read(&config(&[("auto.evolve", "wider")])).unwrap_err();
        assert!(
            error
                .message()
                .contains("Expected value to be either true or false"),
            "{error}"
        );
    }

    #[test]
    fn wrong_values_and_combinations_are_reported() {
        for (pairs, want) in [
            (
                vec![("insert.mode", "Upsert")],
                "Invalid value Upsert for configuration insert.mode: Invalid enumerator",
            ),
            (
                vec![("pk.mode", "keys")],
                "Invalid value keys for configuration pk.mode: Invalid enumerator",
            ),
            (
                vec![("table.types", "INDEX")],
                "Invalid value INDEX for configuration table.types: Invalid enumerator",
            ),
            (
                vec![("batch.size", "-1")],
                "Invalid value -1 for configuration batch.size: Value must be at least 0",
            ),
            (
                vec![("topics.to.tables.mapping", "asd:asd,asd")],
                "Invalid topics to tables mapping",
            ),
            (vec![("table.name.format", "")], "String must be non-empty"),
        ] {
            let error = SinkConfig::read(&config(&pairs)).unwrap_err();
            assert!(error.message().contains(want), "{error}");
        }
        let problems = |pairs: &[(&str, &str)]| {
            let mut report = ConfigReport::default();
            check(&config(pairs), &mut report);
            report.errors.into_iter().map(|p| p.key).collect::<Vec<_>>()
        };
        assert_eq!(
            problems(&[("delete.enabled", "true")]),
            ["delete.enabled", "pk.mode"]
        );
        assert_eq!(problems(&[("insert.mode", "update")]), ["pk.mode"]);
        let both = [("field.include.list", "a"), ("field.exclude.list", "b")];
        assert_eq!(
            problems(&both),
            ["field.include.list", "field.exclude.list"]
        );
        assert_eq!(problems(&[("pk.mode", "record_header")]), ["pk.fields"]);
        assert_eq!(
            problems(&[
                ("schema.evolution", "validate-only"),
                ("auto.create", "true")
            ]),
            ["schema.evolution"]
        );
        assert!(problems(&[("delete.enabled", "true"), ("pk.mode", "record_key")]).is_empty());
    }

    #[test]
    fn names_that_cannot_work_are_refused() {
        let problems = |pairs: &[(&str, &str)]| {
            let mut report = ConfigReport::default();
            check(&config(pairs), &mut report);
            let errors = report.errors.into_iter().map(|it| it.key);
            let warnings = report
                .warnings
                .into_iter()
                .map(|it| format!("warning: {}", it.key));
            errors.chain(warnings).collect::<Vec<_>>()
        };
        let value = ("pk.mode", "record_value");
        assert_eq!(problems(&[value, ("pk.fields", "a,b,a")]), ["pk.fields"]);
        assert!(problems(&[value, ("pk.fields", "a,b")]).is_empty());
        assert_eq!(
            problems(&[("kafka.columns", "topic:x,offset:x")]),
            ["kafka.columns"]
        );
        let kafka = ("pk.mode", "kafka");
        assert_eq!(
            problems(&[kafka, ("pk.fields", "a,b")]),
            ["warning: pk.fields"]
        );
        assert!(problems(&[kafka, ("pk.fields", "a,b,c")]).is_empty());
        let mapping = ("topics.to.tables.mapping", "t:x");
        assert!(problems(&[mapping]).is_empty());
        assert_eq!(
            problems(&[mapping, ("topics", "t,u")]),
            ["topics.to.tables.mapping"]
        );
        assert!(problems(&[mapping, ("topics", "t,u"), ("transforms", "r")]).is_empty());
    }

    #[test]
    fn a_topic_that_only_a_setting_names_is_a_warning() {
        let warned = |pairs: &[(&str, &str)]| {
            let mut report = ConfigReport::default();
            check(&config(pairs), &mut report);
            let warnings = report.warnings.into_iter();
            warnings.map(|it| it.message).collect::<Vec<_>>().join("|")
        };
        for key in ["field.include.list", "field.exclude.list"] {
            let other = (key, "t:a,other:b,c");
            let text = warned(&[other]);
            assert_eq!(
                text,
                format!("{key} names the topic other, which the connector does not read")
            );
            assert_eq!(warned(&[other, ("transforms", "route")]), "");
            assert_eq!(warned(&[other, ("topics.regex", "t|o.*")]), "");
            assert!(warned(&[other, ("topics.regex", "t.*")]).contains("topic other"));
        }
        let mapping = warned(&[("topics.to.tables.mapping", "t:x,u:y")]);
        assert!(mapping.contains("topic u"), "{mapping}");
    }

    #[test]
    fn a_url_without_a_database_is_refused_where_tables_need_one() {
        let refused = |pairs: &[(&str, &str)]| {
            let mut report = ConfigReport::default();
            let mut config = config(pairs);
            config.set("connection.url", "jdbc:mariadb://h:3306/");
            check(&config, &mut report);
            report.errors.iter().any(|it| it.key == "connection.url")
        };
        let often = ("delivery.guarantee", "at_least_once");
        assert!(refused(&[]));
        assert!(refused(&[often]));
        assert!(refused(&[("table.name.format", "d.${topic}")]));
        assert!(!refused(&[often, ("table.name.format", "d.${topic}")]));
    }
}
