//! Defaults of connector classes other than Confluent's: a missing key has the default in its own
//! connector's documentation. docs/classes.md lists them, and the defaults that are deliberately
//! the same for all.

use std::sync::LazyLock;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator};

use crate::{sink, source};

/// Aiven's source.
pub(crate) const AIVEN_SOURCE: &str = "io.aiven.connect.jdbc.JdbcSourceConnector";
/// Redpanda's source, which has Confluent's defaults.
pub(crate) const REDPANDA_SOURCE: &str = "com.redpanda.kafka.connect.jdbc.JdbcSourceConnector";
/// Aiven's sink.
pub(crate) const AIVEN_SINK: &str = "io.aiven.connect.jdbc.JdbcSinkConnector";
/// Debezium's sink.
pub(crate) const DEBEZIUM_SINK: &str = "io.debezium.connector.jdbc.JdbcSinkConnector";
/// Redpanda's sink, which has Confluent's defaults.
pub(crate) const REDPANDA_SINK: &str = "com.redpanda.kafka.connect.jdbc.JdbcSinkConnector";

/// A key and its default.
type ClassDefault = (&'static str, &'static str);

const OF_AIVEN_SOURCE: &[ClassDefault] = &[("batch.max.rows", "100"), ("timestamp.initial", "0")];

/// Aiven's default on PostgreSQL; other databases have no tables of that type.
const OF_AIVEN_SINK: &[ClassDefault] = &[("table.types", "TABLE,PARTITIONED TABLE")];

const OF_DEBEZIUM_SINK: &[ClassDefault] = &[
    // tombstones are skipped if rows are not deleted
    ("behavior.on.null.values", "ignore"),
    ("batch.size", "500"),
    (
        "collection.naming.strategy",
        "io.debezium.sink.naming.DefaultCollectionNamingStrategy",
    ),
    // Debezium's days and date-times have no zone and no Julian calendar
    ("date.calendar.system", "PROLEPTIC_GREGORIAN"),
    ("date.timezone", "UTC"),
    ("debezium.types", "true"),
    ("max.retries", "5"),
    ("quote.sql.identifiers", "NEVER"),
    ("retry.backoff.ms", "1000"),
];

const GROUP: &str = "Debezium";

const ONLY_DEBEZIUM: &[ConfigKey] = &[
    refused_but(
        "column.naming.strategy",
        "io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy",
        "columns have the names of their fields; ReplaceField renames them.",
        default_columns,
    ),
    refused_but(
        "collection.table.format",
        "${table}",
        "the table's name is set with collection.name.format.",
        default_table_format,
    ),
    idle(
        "connection.provider",
        ConfigType::String,
        "org.hibernate.c3p0.internal.C3P0ConnectionProvider",
        "each task has one connection and no pool.",
    ),
    idle(
        "connection.pool.min_size",
        ConfigType::Int,
        "5",
        "each task has one connection and no pool.",
    ),
    idle(
        "connection.pool.max_size",
        ConfigType::Int,
        "32",
        "each task has one connection and no pool.",
    ),
    idle(
        "connection.pool.acquire_increment",
        ConfigType::Int,
        "32",
        "each task has one connection and no pool.",
    ),
    idle(
        "connection.pool.timeout",
        ConfigType::Long,
        "1800",
        "each task has one connection and no pool.",
    ),
    idle(
        "connection.restart.on.errors",
        ConfigType::Boolean,
        "false",
        "a lost connection is always opened again.",
    ),
    idle(
        "use.reduction.buffer",
        ConfigType::Boolean,
        "false",
        "a batch's changes of one row are always combined.",
    ),
    idle(
        "keyed.message.batch.mode",
        ConfigType::String,
        "deduplication",
        "a batch's changes are applied in their order.",
    ),
    idle(
        "dialect.postgres.postgis.schema",
        ConfigType::String,
        "public",
        "types are looked up by name.",
    ),
    idle(
        "dialect.postgres.unnest.insert.enabled",
        ConfigType::Boolean,
        "false",
        "rows are inserted with COPY.",
    ),
    idle(
        "dialect.sqlserver.identity.insert",
        ConfigType::Boolean,
        "false",
        "SQL Server is not supported as a target.",
    ),
    idle(
        "cloud.events.schema.name.pattern",
        ConfigType::String,
        ".*CloudEvents\\.Envelope$",
        "CloudEvents are not unwrapped.",
    ),
];

const fn idle(
    name: &'static str,
    ty: ConfigType,
    default: &'static str,
    why: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, DefaultValue::Text(default), GROUP, why)
        .without_effect()
        .importance(Importance::Low)
        .own()
}

/// A key that is accepted only with the value that describes what happens anyway.
const fn refused_but(
    name: &'static str,
    default: &'static str,
    why: &'static str,
    check: fn(&str) -> Result<(), String>,
) -> ConfigKey {
    idle(name, ConfigType::String, default, why).check(KeyValidator::By(check))
}

fn default_columns(class: &str) -> Result<(), String> {
    match class.rsplit('.').next() {
        Some("" | "DefaultColumnNamingStrategy") => Ok(()),
        _ => Err(
            "Java classes are not supported, and columns have the names of their fields: remove \
             this key, and rename fields with the transform ReplaceField"
                .to_owned(),
        ),
    }
}

fn default_table_format(format: &str) -> Result<(), String> {
    if ["", "${table}"].contains(&format) {
        return Ok(());
    }
    Err(
        "only ${table} is supported: remove this key, and set the table's name in \
         collection.name.format"
            .to_owned(),
    )
}

/// Returns the keys of a sink of that class.
pub(crate) fn sink_keys(class: &str) -> &'static [ConfigKey] {
    static AIVEN: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| with(sink::KEYS, OF_AIVEN_SINK));
    static DEBEZIUM: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
        let keys = with(sink::KEYS, OF_DEBEZIUM_SINK);
        keys.into_iter()
            .chain(ONLY_DEBEZIUM.iter().copied())
            .collect()
    });
    match class {
        AIVEN_SINK => &AIVEN,
        DEBEZIUM_SINK => &DEBEZIUM,
        _ => sink::KEYS,
    }
}

/// Returns the keys of a source of that class.
pub(crate) fn source_keys(class: &str) -> &'static [ConfigKey] {
    static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| with(source::KEYS, OF_AIVEN_SOURCE));
    if class == AIVEN_SOURCE {
        &KEYS
    } else {
        source::KEYS
    }
}

fn with(keys: &[ConfigKey], others: &[ClassDefault]) -> Vec<ConfigKey> {
    let other = |key: &ConfigKey| others.iter().find(|(name, _)| *name == key.name);
    let replaced = |key: &ConfigKey| match other(key) {
        Some((_, default)) => ConfigKey {
            default: DefaultValue::Text(default),
            ..*key
        },
        None => *key,
    };
    keys.iter().map(replaced).collect()
}

#[cfg(test)]
mod tests {
    use connector_api::config::{ConfigKey, DefaultValue};

    use super::{AIVEN_SINK, AIVEN_SOURCE, DEBEZIUM_SINK, REDPANDA_SINK, sink_keys, source_keys};

    fn default_of(keys: &[ConfigKey], name: &str) -> Option<&'static str> {
        let named = |key: &&ConfigKey| key.name == name || key.aliases.contains(&name);
        match keys
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("{name} is not taken"))
            .default
        {
            DefaultValue::Text(text) => Some(text),
            DefaultValue::Null | DefaultValue::Required => None,
        }
    }

    /// The defaults of each connector's documentation, under its own names. Excluded: `auto.create`
    /// and `schema.evolution`, whose defaults are deliberately the same for all.
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn each_class_has_the_defaults_of_its_documentation() {
        for (name, want) in [
            ("insert.mode", "insert"),
            ("delete.enabled", "false"),
            ("truncate.enabled", "false"),
            ("primary.key.mode", "none"),
            ("primary.key.fields", ""),
            ("collection.name.format", "${topic}"),
            (
                "collection.naming.strategy",
                "io.debezium.sink.naming.DefaultCollectionNamingStrategy",
            ),
            (
                "column.naming.strategy",
                "io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy",
            ),
            ("collection.table.format", "${table}"),
            ("quote.identifiers", "NEVER"),
            ("use.time.zone", "UTC"),
            ("batch.size", "500"),
            ("use.reduction.buffer", "false"),
            ("field.include.list", ""),
            ("field.exclude.list", ""),
            ("flush.max.retries", "5"),
            ("flush.retry.delay.ms", "1000"),
            (
                "connection.provider",
                "org.hibernate.c3p0.internal.C3P0ConnectionProvider",
            ),
            ("connection.pool.min_size", "5"),
            ("connection.pool.acquire_increment", "32"),
            ("connection.pool.timeout", "1800"),
            ("dialect.postgres.unnest.insert.enabled", "false"),
            ("dialect.sqlserver.identity.insert", "false"),
            (
                "cloud.events.schema.name.pattern",
                ".*CloudEvents\\.Envelope$",
            ),
            ("connection.pool.max_size", "32"),
            ("connection.restart.on.errors", "false"),
            ("dialect.postgres.postgis.schema", "public"),
        ] {
            assert_eq!(
                default_of(sink_keys(DEBEZIUM_SINK), name),
                Some(want),
                "{name}"
            );
        }
        for class in [
            "io.confluent.connect.jdbc.JdbcSinkConnector",
            "JdbcSinkConnector",
            AIVEN_SINK,
            REDPANDA_SINK,
        ] {
            for (name, want) in [
                ("insert.mode", "insert"),
                ("batch.size", "3000"),
                ("delete.enabled", "false"),
                ("pk.mode", "none"),
                ("pk.fields", ""),
                ("table.name.format", "${topic}"),
                (
                    "table.types",
                    if class == AIVEN_SINK {
                        "TABLE,PARTITIONED TABLE"
                    } else {
                        "TABLE"
                    },
                ),
                ("fields.whitelist", ""),
                ("auto.evolve", "false"),
                ("quote.sql.identifiers", "ALWAYS"),
                ("db.timezone", "UTC"),
                ("max.retries", "10"),
                ("retry.backoff.ms", "3000"),
                ("table.name.normalize", "false"),
            ] {
                assert_eq!(
                    default_of(sink_keys(class), name),
                    Some(want),
                    "{class} {name}"
                );
            }
        }
        for (class, rows, initial) in [
            (AIVEN_SOURCE, "100", Some("0")),
            (
                "io.confluent.connect.jdbc.JdbcSourceConnector",
                "1000",
                None,
            ),
        ] {
            assert_eq!(default_of(source_keys(class), "batch.max.rows"), Some(rows));
            assert_eq!(default_of(source_keys(class), "timestamp.initial"), initial);
            assert_eq!(
                default_of(source_keys(class), "poll.interval.ms"),
                Some("5000")
            );
            assert_eq!(default_of(source_keys(class), "table.types"), Some("TABLE"));
            assert_eq!(
                default_of(source_keys(class), "validate.non.null"),
                Some("true")
            );
        }
    }
}
