//! Checks single values of the source's keys, with Confluent's texts. Pure.

use super::source_config::CDC;
use crate::dialect::read::TimestampGranularity;
use crate::zone::JdbcTimeZone;

/// Values of `timestamp.granularity`.
pub(super) const GRANULARITIES: [(&str, TimestampGranularity); 7] = [
    ("connect_logical", TimestampGranularity::Logical),
    ("micros_long", TimestampGranularity::MicrosLong),
    ("micros_string", TimestampGranularity::MicrosString),
    (
        "micros_iso_datetime_string",
        TimestampGranularity::MicrosIso,
    ),
    ("nanos_long", TimestampGranularity::NanosLong),
    ("nanos_string", TimestampGranularity::NanosString),
    ("nanos_iso_datetime_string", TimestampGranularity::NanosIso),
];

/// Accepts one of `values`, written all in lower or all in upper case, with Confluent's text.
fn enumerator(text: &str, values: &[&str]) -> Result<(), String> {
    let known = values
        .iter()
        .any(|v| *v == text || v.to_uppercase() == text);
    if known {
        Ok(())
    } else {
        Err("Invalid enumerator".to_owned())
    }
}

/// Checks a value of `numeric.mapping`.
pub(super) fn numeric_mapping(text: &str) -> Result<(), String> {
    enumerator(
        text,
        &[
            "none",
            "precision_only",
            "best_fit",
            "best_fit_eager_double",
        ],
    )
}

/// Checks a value of `date.calendar.system`.
pub(super) fn calendar(text: &str) -> Result<(), String> {
    enumerator(text, &["legacy", "proleptic_gregorian"])
}

/// Checks a value of `quote.sql.identifiers`.
pub(super) fn quoting(text: &str) -> Result<(), String> {
    enumerator(text, &["always", "never", "true", "false"])
}

/// Checks a value of `transaction.isolation.mode`.
pub(super) fn isolation(text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case("sql_server_snapshot") {
        return Err("only SQL Server has this isolation level".to_owned());
    }
    enumerator(
        text,
        &[
            "default",
            "read_uncommitted",
            "read_committed",
            "repeatable_read",
            "serializable",
        ],
    )
}

/// Checks a value of `timestamp.granularity`.
pub(super) fn granularity(text: &str) -> Result<(), String> {
    enumerator(text, &GRANULARITIES.map(|(name, _)| name))
}

/// Checks a value of `db.timezone`.
pub(super) fn zone(text: &str) -> Result<(), String> {
    match JdbcTimeZone::named(text) {
        Some(_) => Ok(()),
        None => Err("Invalid time zone. See the list of valid time zones at \
                     https://docs.oracle.com/javase/8/docs/api/java/time/ZoneId.html#shortIds"
            .to_owned()),
    }
}

/// Checks an item list of `table.types`: the kinds that the supported databases have, and those
/// that other databases' drivers have, which select nothing here.
pub(super) fn table_types(text: &str) -> Result<(), String> {
    const OURS: &str =
        "TABLE, VIEW, SYSTEM TABLE, PARTITIONED TABLE, MATERIALIZED VIEW, FOREIGN TABLE";
    const OTHERS: &str = "BASE TABLE, SYSTEM VIEW, TEMPORARY TABLE, TEMPORARY VIEW, LOCAL TEMPORARY, \
                          GLOBAL TEMPORARY, ALIAS, SYNONYM";
    let among = |list: &str, item: &str| list.split(", ").any(|ty| ty.eq_ignore_ascii_case(item));
    let items = || {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    };
    match items().find(|item| !among(OURS, item) && !among(OTHERS, item)) {
        Some(unknown) => Err(format!("{unknown} is none of {OURS}")),
        None if items().next().is_some() && !items().any(|item| among(OURS, item)) => Err(format!(
            "no table of the supported databases has this type; use some of {OURS}"
        )),
        None => Ok(()),
    }
}

/// Checks a value of `mode`. The text is Kafka Connect's, which knows the first five.
pub(super) fn mode(text: &str) -> Result<(), String> {
    const KNOWN: [&str; 5] = [
        "",
        "bulk",
        "timestamp",
        "incrementing",
        "timestamp+incrementing",
    ];
    if text == CDC || KNOWN.contains(&text) {
        return Ok(());
    }
    Err(format!("String must be one of: {}", KNOWN.join(", ")))
}

/// Checks a value of `slot.name`: PostgreSQL allows no other characters.
pub(super) fn slot_name(text: &str) -> Result<(), String> {
    let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if text.len() <= 50 && text.bytes().all(is_known) {
        return Ok(());
    }
    Err("The name of a slot has at most 50 lower case letters, digits and underscores".to_owned())
}

/// Checks a value of `topic.prefix`.
pub(super) fn topic_prefix(text: &str) -> Result<(), String> {
    if text.chars().count() > 249 {
        return Err(
            "Topic prefix length must not exceed max topic name length, 249 chars".to_owned(),
        );
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        let text = "Topic prefix must not contain any character other than ASCII alphanumerics, '.', '_' and '-'.";
        return Err(text.to_owned());
    }
    Ok(())
}
