//! Checks across the sink's keys, without a database: combinations that cannot work, and values for
//! forms. Pure.

use std::collections::HashSet;

use connector_api::pattern::Pattern;
use connector_api::{Config, ConfigReport};

use super::columns::KAFKA_COLUMNS;
use super::template::parse;
use super::{InsertMode, PkMode, SinkConfig, given};
use crate::url::{ConnectionTarget, DatabaseKind};

/// Checks a configuration without a database: combinations that cannot work, and values for forms.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if !given(config, "pk.mode")
        .is_some_and(|mode| mode.trim().eq_ignore_ascii_case(PkMode::RecordKey.name()))
    {
        report.recommend("delete.enabled", vec!["false".to_owned()]);
        report.hide("delete.enabled");
    }
    ConnectionTarget::report_warnings(config, report);
    let Ok(sink) = SinkConfig::read(config) else {
        return;
    };
    if sink.delete_enabled {
        report.recommend("pk.mode", vec![PkMode::RecordKey.name().to_owned()]);
    }
    if sink.delete_enabled && sink.pk_mode != PkMode::RecordKey {
        for key in ["delete.enabled", "pk.mode"] {
            report.error(key, "Deletes are only supported for pk.mode record_key");
        }
    }
    check_lists(config, &sink, report);
    check_statements(config, &sink, report);
    check_topics(config, &sink, report);
    check_names(config, &sink, report);
    check_database(config, &sink, report);
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
    if config
        .get("jdbc.credentials.provider.class")
        .is_some_and(|c| !c.ends_with("DefaultJdbcCredentialsProvider"))
    {
        report.error(
            "jdbc.credentials.provider.class",
            "credentials providers cannot be loaded: set connection.user and connection.password \
             instead",
        );
    }
}

/// Checks for lists that contradict each other, or lack what another key needs.
fn check_lists(config: &Config, sink: &SinkConfig, report: &mut ConfigReport) {
    let set = |key: &str| config.get(key).is_some_and(|text| !text.trim().is_empty());
    if set("field.exclude.list") && (set("field.include.list") || set("fields.whitelist")) {
        for key in ["field.include.list", "field.exclude.list"] {
            report.error(
                key,
                "set either the fields to write or the fields to exclude, not both",
            );
        }
    }
    if sink.pk_mode == PkMode::RecordHeader && sink.pk_fields.is_empty() {
        report.error(
            "pk.fields",
            "pk.mode record_header needs the names of the headers in pk.fields",
        );
    }
    if config.get("schema.evolution").is_some() && sink.tables_must_exist && sink.auto_create {
        report.error(
            "schema.evolution",
            "validate-only and auto.create=true contradict each other: remove one of them",
        );
    }
}

/// Warns about topics that only settings name: no record comes from them. Transforms may rename
/// topics, so with transforms nothing is known.
fn check_topics(config: &Config, sink: &SinkConfig, report: &mut ConfigReport) {
    if given_text(config, "transforms").is_some() {
        return;
    }
    let regex = given_text(config, "topics.regex").map(Pattern::whole);
    let comes = |topic: &str| match &regex {
        None => sink.topics.iter().any(|known| known == topic),
        Some(Ok(regex)) => regex.matches(topic).unwrap_or(true),
        // an invalid one is reported under its own key
        Some(Err(_)) => true,
    };
    let mapped = given(config, "topics.to.tables.mapping").unwrap_or_default();
    let mapped = mapped
        .split(',')
        .filter_map(|pair| Some(("topics.to.tables.mapping", pair.split_once(':')?.0.trim())));
    for (key, topic) in sink.fields.topics().chain(mapped) {
        if !comes(topic) {
            report.warn(
                key,
                format!("{key} names the topic {topic}, which the connector does not read"),
            );
        }
    }
}

/// Checks names that cannot work, whatever the records are.
fn check_names(config: &Config, sink: &SinkConfig, report: &mut ConfigReport) {
    let repeated = |names: &[&str]| {
        let mut seen = HashSet::new();
        names
            .iter()
            .find(|name| !seen.insert(**name))
            .map(|name| (*name).to_owned())
    };
    let fields: Vec<&str> = sink.pk_fields.iter().map(String::as_str).collect();
    let origins: Vec<&str> = sink.origins.iter().map(|column| &*column.name).collect();
    for (key, names) in [("pk.fields", fields), ("kafka.columns", origins)] {
        if let Some(name) = repeated(&names) {
            report.error(key, format!("{key} names {name} twice"));
        }
    }
    if sink.pk_mode == PkMode::Kafka && ![0, KAFKA_COLUMNS.len()].contains(&sink.pk_fields.len()) {
        report.warn(
            "pk.fields",
            "pk.mode kafka needs the names of three columns, for topic, partition and offset, or \
             none",
        );
    }
    let listed = given(config, "topics.to.tables.mapping").unwrap_or_default();
    if listed.trim().is_empty() || given_text(config, "transforms").is_some() {
        return;
    }
    let is_listed = |topic: &String| {
        listed
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .any(|(known, _)| known.trim() == topic)
    };
    for topic in sink.topics.iter().filter(|topic| !is_listed(topic)) {
        report.error(
            "topics.to.tables.mapping",
            format!("topics.to.tables.mapping has no table for the topic {topic}"),
        );
    }
}

/// Without a database in the URL, MariaDB and MySQL know no table by its name alone.
fn check_database(config: &Config, sink: &SinkConfig, report: &mut ConfigReport) {
    // an invalid URL is reported under its own key
    let Ok(target) = ConnectionTarget::from_config(config) else {
        return;
    };
    match target.database_kind() {
        DatabaseKind::MySql if target.database.is_none() => {}
        DatabaseKind::MySql | DatabaseKind::Postgres | DatabaseKind::Sqlite => return,
    }
    let unqualified = |topic: &String| {
        let table = sink.naming.table(topic, DatabaseKind::MySql);
        table.is_ok_and(|id| id.catalog.is_none())
    };
    let text = if sink.exactly_once {
        "The URL names no database, which the sink needs for its table of offsets: append it to the \
         URL (…:3306/DATABASE)."
    } else if sink.statement.is_none() && sink.topics.iter().any(unqualified) {
        "The URL names no database, so that the tables of the topics are not found: append it to \
         the URL (…:3306/DATABASE), or name it in table.name.format (DATABASE.${topic})."
    } else {
        return;
    };
    report.error("connection.url", text);
}

/// Returns the text of a key that is not declared by the sink itself, if it is not blank.
fn given_text<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    config.get(name).filter(|text| !text.trim().is_empty())
}

/// Checks `insert.mode=statement` and its keys.
fn check_statements(config: &Config, sink: &SinkConfig, report: &mut ConfigReport) {
    let Some(statement) = &sink.statement else {
        for key in ["statement", "delete.statement"] {
            if given(config, key).is_some_and(|sql| !sql.trim().is_empty()) {
                report.warn(
                    key,
                    format!("{key} has no effect unless insert.mode is statement"),
                );
            }
        }
        return;
    };
    if statement.write.trim().is_empty() {
        report.error(
            "statement",
            "insert.mode statement needs a statement: SQL with named parameters, such as UPDATE t \
             SET a = :a WHERE id = :id",
        );
        return;
    }
    // an invalid URL is reported under its own key
    let Ok(target) = ConnectionTarget::from_config(config) else {
        return;
    };
    for (key, sql) in [
        ("statement", Some(&statement.write)),
        ("delete.statement", statement.delete.as_ref()),
    ] {
        if let Some(Err(error)) = sql.map(|sql| parse(sql, target.database_kind())) {
            report.error(key, error);
        }
    }
    if !sink.exactly_once {
        report.warn(
            "delivery.guarantee",
            "at_least_once may run a record's statement twice after a failure: use exactly_once \
             unless that is harmless",
        );
    }
}
