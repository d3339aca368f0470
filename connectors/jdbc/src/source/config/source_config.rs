//! Reads the source's configuration from its keys.

use std::time::Duration;

use connector_api::config::ConfigReader;
use connector_api::pattern::Pattern;
use connector_api::{Config, ConfigReport, Error, Result};

use super::mapping::{self, NumericMappingRule, anchored};
use super::query_text;
use super::schedule::CronSchedule;
use super::task_share::TaskShare;
use super::values::GRANULARITIES;
use crate::calendar::Calendar;
use crate::class_defaults::source_keys;
use crate::dialect::read::{BigintUnsigned, NumericMapping, ReadOptions, TimestampGranularity};
use crate::driver::ConnectOptions;
use crate::ident::TableId;
use crate::url::{ConnectionTarget, DatabaseKind};
use crate::zone::JdbcTimeZone;

/// The mode that reads the log.
pub(crate) const CDC: &str = "cdc";

/// What a poll reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceMode {
    /// All rows, each time.
    Bulk,
    /// Rows above the last id.
    Incrementing,
    /// Rows with a later timestamp than the last.
    Timestamp,
    /// Rows with a later timestamp than the last, or the same and a greater id.
    TimestampIncrementing,
}

impl SourceMode {
    /// Returns the mode of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "bulk" | CDC => Some(Self::Bulk),
            "incrementing" => Some(Self::Incrementing),
            "timestamp" => Some(Self::Timestamp),
            "timestamp+incrementing" => Some(Self::TimestampIncrementing),
            _ => None,
        }
    }

    /// True if the mode compares an id.
    pub(crate) fn has_id(self) -> bool {
        matches!(self, Self::Incrementing | Self::TimestampIncrementing)
    }

    /// True if the mode compares a timestamp.
    pub(crate) fn has_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampIncrementing)
    }
}

/// Which tables are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableSelection {
    /// `table.whitelist`
    pub whitelist: Vec<String>,
    /// `table.blacklist`
    pub blacklist: Vec<String>,
    /// `table.include.list`
    pub include: Vec<Pattern>,
    /// `table.exclude.list`
    pub exclude: Vec<Pattern>,
    /// `catalog.pattern`
    pub catalog: Option<String>,
    /// `schema.pattern`
    pub schema: Option<String>,
    /// `table.types`
    pub types: Vec<String>,
    /// The server compares names of tables without regard to case.
    pub any_case: bool,
}

/// Where to begin without a stored offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitialPosition {
    /// `incrementing.initial`
    pub id: i64,
    /// `timestamp.initial`; `None` is 1970, -1 is now.
    pub timestamp_ms: Option<i64>,
}

/// Settings of `mode=cdc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CdcSettings {
    /// `database.server.id`
    pub server_id: u32,
    /// `snapshot.mode=initial`
    pub snapshot: bool,
    /// `truncate.handling=fail`
    pub truncate_fails: bool,
    /// `transaction.max.bytes`
    pub transaction_bytes: usize,
}

/// Settings of `mode=cdc` for PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSettings {
    /// `slot.name`
    pub slot: String,
    /// `slot.drop.on.stop`
    pub drops_slot: bool,
    /// `publication.name`
    pub publication: String,
    /// `publication.autocreate.mode`
    pub making: PublicationMaking,
}

/// Who makes a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PublicationMaking {
    /// The connector, of its tables.
    #[default]
    Filtered,
    /// The connector, of all tables.
    AllTables,
    /// The user.
    Disabled,
}

/// Settings of `delete.capture=key_sweep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeleteCapture {
    /// `delete.capture.interval.ms`
    pub interval: Duration,
    /// `delete.capture.max.bytes`
    pub max_bytes: usize,
}

/// The configuration of a source connector, or of one of its tasks.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    pub target: ConnectionTarget,
    pub connect: ConnectOptions,
    pub mode: SourceMode,
    /// Set in `mode=cdc`: changes are read from the log. The rows that were there before are read
    /// as in bulk mode, page by page in the order of the key.
    pub cdc: Option<CdcSettings>,
    /// The slot and the publication of `mode=cdc` for PostgreSQL.
    pub slot: SlotSettings,
    pub filter: TableSelection,
    /// `incrementing.column.name`
    pub id_column: Option<String>,
    /// `timestamp.column.name`
    pub timestamp_columns: Vec<String>,
    /// `incrementing.column.mapping`
    pub id_mapping: Vec<NumericMappingRule>,
    /// `timestamp.columns.mapping`
    pub timestamp_mapping: Vec<NumericMappingRule>,
    /// `validate.non.null`
    pub validate_non_null: bool,
    /// `query` or `query.masked`
    pub query: Option<String>,
    /// The query is that of `query.masked`: no part of it may be shown.
    pub query_is_masked: bool,
    /// `query.suffix`
    pub suffix: Option<String>,
    /// `quote.sql.identifiers`
    pub quote: bool,
    /// Records pass through transforms, which may change the topic.
    pub transforms: bool,
    /// `transaction.isolation.mode` in SQL (`READ COMMITTED`).
    pub isolation: Option<String>,
    /// `query.retry.attempts`; `None`: unlimited.
    pub retry_attempts: Option<u64>,
    /// `poll.interval.ms`
    pub poll_interval: Duration,
    /// `poll.schedule`, used instead of the interval.
    pub schedule: Option<CronSchedule>,
    /// `batch.max.rows`
    pub batch_rows: usize,
    /// `table.poll.interval.ms`
    pub table_poll_interval: Duration,
    /// `topic.prefix`
    pub topic_prefix: String,
    /// `timestamp.delay.interval.ms`
    pub delay_ms: i64,
    /// `timestamp.horizon.max.wait.ms`; `None`: unlimited.
    pub horizon_max_wait: Option<Duration>,
    /// How columns become fields.
    pub read: ReadOptions,
    /// The kind of database, if schemas carry the types of their columns (`column.types=carry`).
    pub carry_types: Option<DatabaseKind>,
    /// True if records have the primary key as their key.
    pub key_from_primary_key: bool,
    pub initial: InitialPosition,
    /// True if offsets name tables with their database or schema.
    pub qualify: bool,
    /// Never read past an id that an open transaction may still commit.
    pub gap_tracking: bool,
    /// `gap.max.age.ms`
    pub gap_max_age: Duration,
    /// `snapshot.parallel.min.rows`: the snapshot of a table with at least so many rows is shared
    /// by several tasks.
    pub parallel_from: Option<u64>,
    /// This task's share of such a table.
    pub part: Option<TaskShare>,
    /// Set if deleted rows are captured by sweeps.
    pub delete_capture: Option<DeleteCapture>,
    /// `delete.marker.column`
    pub delete_marker: Option<String>,
    pub tables: Vec<TableId>,
}

impl SourceConfig {
    /// Reads the configuration of a connector or a task.
    /// Errors: `Config` with every problem of every key.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        Self::problems_or_read(config).map_err(Error::from)
    }

    /// Like [`Self::read`], but `Err` holds each problem on its key.
    pub(crate) fn problems_or_read(config: &Config) -> Result<Self, ConfigReport> {
        config.read(source_keys(config.class()), fill)
    }

    /// Adapts the configuration to a server that compares names of tables without regard to case.
    pub(crate) fn in_any_case(self) -> Self {
        let patterns = |list: Vec<Pattern>| list.iter().map(Pattern::in_any_case).collect();
        let mappings = |list: Vec<NumericMappingRule>| {
            list.into_iter()
                .map(NumericMappingRule::in_any_case)
                .collect()
        };
        let TableSelection {
            include, exclude, ..
        } = self.filter;
        Self {
            filter: TableSelection {
                include: patterns(include),
                exclude: patterns(exclude),
                any_case: true,
                ..self.filter
            },
            id_mapping: mappings(self.id_mapping),
            timestamp_mapping: mappings(self.timestamp_mapping),
            ..self
        }
    }
}

fn fill(r: &mut ConfigReader<'_>) -> SourceConfig {
    let target = target(r);
    let tables = TableId::list(&r.list("tables").join(","));
    let capture = delete_capture(r);
    let cdc = cdc(r);
    SourceConfig {
        tables: tables
            .into_iter()
            .filter_map(|parts| mapping::table_id(parts, target.database_kind()))
            .collect(),
        connect: connect_options(r),
        mode: SourceMode::parse(&r.text("mode")).unwrap_or(SourceMode::Bulk),
        cdc,
        slot: slot(r),
        filter: filter(r),
        id_column: some(r.text("incrementing.column.name")),
        timestamp_columns: items(r.list("timestamp.column.name")),
        id_mapping: mappings(r, "incrementing.column.mapping", mapping::incrementing),
        timestamp_mapping: mappings(r, "timestamp.columns.mapping", mapping::timestamps),
        validate_non_null: r.bool("validate.non.null"),
        query: query(r, target.database_kind()),
        query_is_masked: some(r.text("query")).is_none() && some(r.text("query.masked")).is_some(),
        suffix: some(r.text("query.suffix")),
        quote: matches!(
            r.text("quote.sql.identifiers").to_lowercase().as_str(),
            "always" | "true"
        ),
        // This key belongs to the worker, not to the source.
        transforms: r
            .config()
            .iter()
            .any(|(key, names)| key == "transforms" && !names.trim().is_empty()),
        isolation: isolation(r),
        retry_attempts: u64::try_from(r.long("query.retry.attempts")).ok(),
        poll_interval: Duration::from_millis(r.unsigned("poll.interval.ms")),
        schedule: schedule(r),
        batch_rows: batch_rows(r),
        table_poll_interval: Duration::from_millis(r.unsigned("table.poll.interval.ms").max(1)),
        topic_prefix: r.text("topic.prefix"),
        delay_ms: r.long("timestamp.delay.interval.ms"),
        horizon_max_wait: u64::try_from(r.long("timestamp.horizon.max.wait.ms"))
            .ok()
            .map(Duration::from_millis),
        read: read_options(r, &target),
        carry_types: (r.text("column.types") == "carry").then(|| target.database_kind()),
        key_from_primary_key: r.text("key.mode").eq_ignore_ascii_case("primary_key"),
        initial: InitialPosition {
            id: r.long("incrementing.initial"),
            timestamp_ms: r.long_opt("timestamp.initial"),
        },
        qualify: r.bool("table.names.qualify"),
        gap_tracking: r.text("gap.tracking").eq_ignore_ascii_case("auto"),
        gap_max_age: Duration::from_millis(r.unsigned("gap.max.age.ms")),
        parallel_from: Some(r.unsigned("snapshot.parallel.min.rows"))
            .filter(|rows| *rows > 0 && capture.is_none()),
        part: r
            .text_opt("snapshot.part")
            .and_then(|text| TaskShare::read(&text)),
        delete_capture: capture,
        delete_marker: some(r.text("delete.marker.column")),
        target,
    }
}

fn connect_options(r: &mut ConfigReader<'_>) -> ConnectOptions {
    ConnectOptions {
        attempts: u32::try_from(r.unsigned("connection.attempts")).unwrap_or(u32::MAX),
        backoff: Duration::from_millis(r.unsigned("connection.backoff.ms")),
        max_message: usize::try_from(r.unsigned("max.row.bytes")).unwrap_or(usize::MAX),
        ..ConnectOptions::default()
    }
}

/// Reads the query without the blanks, comments and semicolon that may follow it.
fn query(r: &mut ConfigReader<'_>, database: DatabaseKind) -> Option<String> {
    some(r.text("query"))
        .or(some(r.text("query.masked")))
        .map(|text| query_text::trimmed(&text, database).to_owned())
}

/// Reads the isolation level in SQL; `None`: the server's default.
fn isolation(r: &mut ConfigReader<'_>) -> Option<String> {
    let level = r.text("transaction.isolation.mode").to_uppercase();
    some(level.replace('_', " ")).filter(|level| level != "DEFAULT")
}

fn schedule(r: &mut ConfigReader<'_>) -> Option<CronSchedule> {
    let text = some(r.text("poll.schedule"))?;
    let zone = JdbcTimeZone::named(&r.text("db.timezone")).unwrap_or_default();
    CronSchedule::parse(&text, zone).ok()
}

fn batch_rows(r: &mut ConfigReader<'_>) -> usize {
    usize::try_from(r.long("batch.max.rows"))
        .ok()
        .filter(|rows| *rows > 0)
        .unwrap_or(1000)
}

/// The error of a task that has nothing to read, in the words of Kafka Connect's JDBC source.
pub(crate) fn nothing_assigned() -> Error {
    Error::config(
        "Task is being killed because it was not assigned a table nor a query to execute. If run in table mode \
         please make sure that the tables exist on the database. If the table does exist on the database, we \
         recommend using the fully qualified table name.",
    )
}

fn cdc(r: &mut ConfigReader<'_>) -> Option<CdcSettings> {
    let server_id = r.long_opt("database.server.id");
    let settings = CdcSettings {
        server_id: server_id
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or_else(|| derived_server_id(r)),
        snapshot: r.text("snapshot.mode").eq_ignore_ascii_case("initial"),
        transaction_bytes: usize::try_from(r.long("transaction.max.bytes")).unwrap_or(usize::MAX),
        truncate_fails: r.text("truncate.handling").eq_ignore_ascii_case("fail"),
    };
    (r.text("mode") == CDC).then_some(settings)
}

fn slot(r: &mut ConfigReader<'_>) -> SlotSettings {
    let given = some(r.text("slot.name"));
    let slot = given.unwrap_or_else(|| derived_slot(r));
    let publication = some(r.text("publication.name"));
    let making = match r
        .text("publication.autocreate.mode")
        .to_lowercase()
        .as_str()
    {
        "all_tables" => PublicationMaking::AllTables,
        "disabled" => PublicationMaking::Disabled,
        _ => PublicationMaking::Filtered,
    };
    SlotSettings {
        drops_slot: r.bool("slot.drop.on.stop"),
        publication: publication.unwrap_or_else(|| slot.clone()),
        slot,
        making,
    }
}

/// `rowferry_` and the connector's name; with a number if the name has characters that a slot's name
/// cannot have.
fn derived_slot(r: &mut ConfigReader<'_>) -> String {
    let name = r.config().iter().find(|(key, _)| *key == "name");
    let name = name.map_or_else(String::new, |(_, name)| name.to_owned());
    let shown: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(30)
        .collect();
    if shown == name {
        format!("rowferry_{shown}")
    } else {
        format!("rowferry_{shown}_{}", derived_server_id(r))
    }
}

/// A number that other connectors hardly have: FNV-1a of the connector's name and topic prefix, in
/// a range that nobody numbers servers in.
fn derived_server_id(r: &mut ConfigReader<'_>) -> u32 {
    // the worker's key, not the source's
    let name = r.config().iter().find(|(key, _)| *key == "name");
    let name = name.map_or_else(String::new, |(_, name)| name.to_owned());
    let text = format!("{name}\n{}", r.text("topic.prefix"));
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash & 0x3fff_ffff | 0x4000_0000
}

fn delete_capture(r: &mut ConfigReader<'_>) -> Option<DeleteCapture> {
    let interval = Duration::from_millis(r.unsigned("delete.capture.interval.ms").max(1));
    let max_bytes = usize::try_from(r.unsigned("delete.capture.max.bytes")).unwrap_or(usize::MAX);
    r.text("delete.capture")
        .eq_ignore_ascii_case("key_sweep")
        .then_some(DeleteCapture {
            interval,
            max_bytes,
        })
}

/// Reads the target. If the URL is invalid, reports that and returns an arbitrary target.
fn target(r: &mut ConfigReader<'_>) -> ConnectionTarget {
    for key in ["connection.url", "connection.user", "connection.password"] {
        r.text_opt(key);
    }
    ConnectionTarget::from_config(r.config()).unwrap_or_else(|error| {
        r.report().error(
            "connection.url",
            format!("Could not connect to database. {error}"),
        );
        ConnectionTarget::nowhere()
    })
}

fn read_options(r: &mut ConfigReader<'_>, target: &ConnectionTarget) -> ReadOptions {
    let precision_only = r.bool("numeric.precision.mapping");
    let granularity = r.text("timestamp.granularity").to_lowercase();
    ReadOptions {
        numeric: numeric(&r.text("numeric.mapping"), precision_only),
        bigint_unsigned: match r
            .text("bigint.unsigned.handling.mode")
            .to_lowercase()
            .as_str()
        {
            "precise" => BigintUnsigned::Precise,
            "string" => BigintUnsigned::Text,
            _ => BigintUnsigned::Long,
        },
        granularity: GRANULARITIES
            .iter()
            .find(|(n, _)| *n == granularity)
            .map_or(TimestampGranularity::Logical, |(_, g)| *g),
        zone: JdbcTimeZone::named(&r.text("db.timezone")).unwrap_or_default(),
        calendar: if r
            .text("date.calendar.system")
            .eq_ignore_ascii_case("proleptic_gregorian")
        {
            Calendar::Proleptic
        } else {
            Calendar::Legacy
        },
        mysql_driver: target.maps_as_mysql_driver(),
        bits_are_booleans: target.bits_are_booleans(),
        year_is_date: target.years_are_dates(),
    }
}

fn mappings(
    r: &mut ConfigReader<'_>,
    key: &'static str,
    parse: fn(&str) -> Result<NumericMappingRule, String>,
) -> Vec<NumericMappingRule> {
    items(r.list(key))
        .iter()
        .filter_map(|item| parse(item).ok())
        .collect()
}

fn filter(r: &mut ConfigReader<'_>) -> TableSelection {
    let regexes = |list: Vec<String>| list.iter().filter_map(|item| anchored(item).ok()).collect();
    TableSelection {
        whitelist: items(r.list("table.whitelist")),
        blacklist: items(r.list("table.blacklist")),
        include: regexes(items(r.list("table.include.list"))),
        exclude: regexes(items(r.list("table.exclude.list"))),
        catalog: r.text_opt("catalog.pattern"),
        schema: r.text_opt("schema.pattern"),
        types: items(r.list("table.types")),
        any_case: false,
    }
}

fn numeric(name: &str, precision_only: bool) -> NumericMapping {
    match name.to_lowercase().as_str() {
        "precision_only" => NumericMapping::PrecisionOnly,
        "best_fit" => NumericMapping::BestFit,
        "best_fit_eager_double" => NumericMapping::BestFitEagerDouble,
        "" if precision_only => NumericMapping::PrecisionOnly,
        _ => NumericMapping::None,
    }
}

fn some(text: String) -> Option<String> {
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

fn items(list: Vec<String>) -> Vec<String> {
    list.into_iter().filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use connector_api::Config;
    use connector_api::config::{keys_asked, unlike};

    use super::{SourceConfig, SourceMode};
    use crate::dialect::read::NumericMapping;
    use crate::source::config::keys::KEYS;

    #[test]
    fn every_declared_key_is_read_and_no_other() {
        let config = Config::from([("poll.schedule", "0 * * * *")]);
        let asked = keys_asked(|| drop(SourceConfig::read(&config)));
        assert_eq!(unlike(KEYS, &asked), [""; 0]);
    }

    #[test]
    fn peers_spellings_are_understood() {
        let config = Config::from([
            ("connection.url", "jdbc:mysql://h/d?yearIsDateType=false"),
            ("connection.username", "u"),
            ("mode", "timestamp+incrementing"),
            ("timestamp.initial.ms", "5"),
            ("sql.quote.identifiers", "false"),
            ("numeric.precision.mapping", "true"),
            ("tables", "`d`.`a,b`,`d`.`c`"),
        ]);
        let read = SourceConfig::read(&config).unwrap();
        assert_eq!(read.mode, SourceMode::TimestampIncrementing);
        assert_eq!(
            (
                read.initial.timestamp_ms,
                read.quote,
                read.read.year_is_date
            ),
            (Some(5), false, false)
        );
        assert_eq!(read.read.numeric, NumericMapping::PrecisionOnly);
        assert!(read.read.mysql_driver);
        assert_eq!(read.target.user.as_deref(), Some("u"));
        let names: Vec<_> = read.tables.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["d.a,b", "d.c"]);
    }
}
