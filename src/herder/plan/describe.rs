//! Turns what a plan has found into its parts: changes of the config, tables, columns, digests, and
//! the summary. Pure.

use std::collections::{BTreeMap, BTreeSet};

use connector_api::{
    ColumnPreview, Config, Schema, SchemaType, SinkPreview, SourcePreview, TablePreview,
    TargetPreview, logical,
};
use sha2::{Digest, Sha256};

use crate::model::{
    ConfigChange, ConfigInfos, ConfigWarning, ConnectorPlan, PlanAction, PlannedColumn,
    PlannedTable, PlannedTarget,
};
use crate::secrets::{Redactor, SecretKeys};

/// Most columns of all tables of a plan; of the rest only the statements are shown.
const COLUMNS_MAX: usize = 5_000;

/// Returns the keys whose values differ, with secrets masked.
pub(crate) fn changes(
    from: Option<&Config>,
    to: &Config,
    secrets: &SecretKeys,
) -> Vec<ConfigChange> {
    let none = Config::new();
    let from = from.unwrap_or(&none);
    let keys: BTreeSet<&str> = from.iter().chain(to.iter()).map(|(key, _)| key).collect();
    let shown = |config: &Config, key: &str| {
        config
            .get(key)
            .map(|value| secrets.masked(key, value).into_owned())
    };
    let differs = keys.into_iter().filter(|key| from.get(key) != to.get(key));
    differs
        .map(|key| ConfigChange {
            key: key.to_owned(),
            from: shown(from, key),
            to: shown(to, key),
        })
        .collect()
}

/// Returns the errors of a validation with their keys.
pub(super) fn errors(infos: &ConfigInfos) -> Vec<ConfigWarning> {
    let errors = infos.configs.iter().flat_map(|key| {
        let (name, errors) = (&key.value.name, &key.value.errors);
        // A value that cannot be parsed is null in further checks, which adds no information.
        let consequence = format!("Invalid value null for configuration {name}:");
        errors
            .iter()
            .filter(move |text| errors.len() == 1 || !text.starts_with(&consequence))
            .map(|text| ConfigWarning {
                key: name.clone(),
                message: text.clone(),
            })
    });
    errors.collect()
}

/// Returns the digest of the stored config, by its number, and of the planned one. Secrets count as
/// changed or unchanged, so that the digest reveals nothing of them.
pub(super) fn config_digest(
    revision: i64,
    planned: &Config,
    changes: &[ConfigChange],
    secrets: &SecretKeys,
) -> String {
    let planned = planned
        .iter()
        .map(|(key, value)| format!("{key}={}", secrets.masked(key, value)));
    let changed = changes
        .iter()
        .map(|change| format!("changed {}", change.key));
    digest(
        std::iter::once(format!("stored {revision}"))
            .chain(planned)
            .chain(changed),
    )
}

/// Returns a digest of texts, in hexadecimal digits.
fn digest(parts: impl IntoIterator<Item = String>) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.len().to_le_bytes());
        sha.update(part.as_bytes());
    }
    let bytes = sha.finalize();
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Adds the tables of a source.
pub(super) fn source(plan: &mut ConnectorPlan, found: SourcePreview, redactor: &Redactor) {
    plan.more_tables = found.more_tables;
    let mut left = COLUMNS_MAX;
    plan.tables = found
        .tables
        .into_iter()
        .map(|table| planned_table(table, redactor, &mut left))
        .collect();
    let parts = plan.tables.iter().map(|table| {
        let known = [&table.table, &table.topic, &table.from];
        format!(
            "{known:?} {:?} {:?} {:?} {:?}",
            table.statement, table.key, table.columns, table.error
        )
    });
    plan.fingerprint.source = digest(parts);
}

fn planned_table(table: TablePreview, redactor: &Redactor, left: &mut usize) -> PlannedTable {
    let hide = |text: String| redactor.hide(&text).into_owned();
    let from = match (&table.error, table.whole, &table.offset) {
        (Some(_), ..) => "unknown",
        (None, true, _) => "whole",
        (None, false, Some(_)) => "offset",
        (None, false, None) => "beginning",
    };
    PlannedTable {
        from: from.to_owned(),
        rows: table.rows_estimated,
        statement: table.statement.map(hide),
        key: table.key,
        columns: planned_columns(table.columns, left),
        warnings: table.warnings.into_iter().map(hide).collect(),
        error: table.error.map(hide),
        table: table.table,
        topic: table.topic,
    }
}

/// Adds the tables of a target.
pub(super) fn target(plan: &mut ConnectorPlan, found: SinkPreview, redactor: &Redactor) {
    let mut left = COLUMNS_MAX;
    plan.targets = found
        .tables
        .into_iter()
        .map(|table| planned_target(table, redactor, &mut left))
        .collect();
    let warnings = found.warnings.into_iter().map(|text| ConfigWarning {
        key: "connection.url".to_owned(),
        message: redactor.hide(&text).into_owned(),
    });
    plan.warnings.extend(warnings);
    let parts = plan.targets.iter().map(|table| {
        format!(
            "{} {:?} {} {:?} {:?} {:?}",
            table.table, table.topics, table.exists, table.statements, table.columns, table.error
        )
    });
    plan.fingerprint.target = digest(parts);
}

fn planned_target(table: TargetPreview, redactor: &Redactor, left: &mut usize) -> PlannedTarget {
    let hide = |text: String| redactor.hide(&text).into_owned();
    PlannedTarget {
        table: table.table,
        topics: table.topics,
        exists: table.exists,
        statements: table.statements.into_iter().map(hide).collect(),
        columns: planned_columns(table.columns, left),
        warnings: table.warnings.into_iter().map(hide).collect(),
        error: table.error.map(hide),
    }
}

fn planned_columns(columns: Vec<ColumnPreview>, left: &mut usize) -> Vec<PlannedColumn> {
    let count = columns.len().min(*left);
    *left -= count;
    let column = |column: ColumnPreview| PlannedColumn {
        column: column.column,
        sql_type: column.sql_type,
        field: column.field,
        field_type: type_of(&column.schema),
        key: column.key,
        new: column.new,
        warning: column.warning,
    };
    columns.into_iter().take(count).map(column).collect()
}

/// Names the type of a field, as in `int32`, `Decimal(2)?` or `array<string>`; `?` allows null.
fn type_of(schema: &Schema) -> String {
    let inner = |schema: &Option<std::sync::Arc<Schema>>| {
        schema
            .as_ref()
            .map_or("?".to_owned(), |schema| type_of(schema))
    };
    let plain = match (schema.name.as_deref(), schema.ty) {
        (Some(name), _) if name == logical::DECIMAL => {
            format!(
                "Decimal({})",
                schema.get_param(logical::SCALE).unwrap_or("?")
            )
        }
        (Some(name), ty) if ty != SchemaType::Struct => {
            name.rsplit('.').next().unwrap_or(name).to_owned()
        }
        (_, SchemaType::Array) => format!("array<{}>", inner(&schema.values)),
        (_, SchemaType::Map) => {
            format!("map<{},{}>", inner(&schema.keys), inner(&schema.values))
        }
        (_, ty) => ty.name().to_lowercase(),
    };
    if schema.optional {
        format!("{plain}?")
    } else {
        plain
    }
}

/// Returns the topics that a source writes: after the transforms where a record shows it, else as
/// they are without transforms.
pub(super) fn topics_of(
    tables: &[PlannedTable],
    sent: &BTreeMap<String, Option<String>>,
    has_transforms: bool,
) -> Vec<String> {
    let topic = |table: &PlannedTable| match sent.get(&table.topic) {
        Some(after) => after.clone(),
        None if has_transforms || table.topic.is_empty() => None,
        None => Some(table.topic.clone()),
    };
    let readable = tables.iter().filter(|table| table.error.is_none());
    let mut topics: Vec<_> = readable.filter_map(topic).collect();
    topics.sort();
    topics.dedup();
    topics
}

/// Adds the summary.
pub(super) fn finish(plan: &mut ConnectorPlan) {
    let mut parts = vec![match plan.action {
        PlanAction::Create => "is created".to_owned(),
        PlanAction::Change if plan.tasks_restarted == 0 => "is changed".to_owned(),
        PlanAction::Change => format!(
            "is changed, {} restart",
            counted(plan.tasks_restarted, "task")
        ),
        PlanAction::None => "stays as it is".to_owned(),
        PlanAction::Refuse => format!("is refused: {}", counted(plan.errors.len(), "error")),
    }];
    if plan.action != PlanAction::None {
        parts.extend(reads(plan));
    }
    let created = plan.topics.iter().filter(|topic| topic.created).count();
    if created > 0 {
        parts.push(format!("{} created", counted(created, "topic")));
    }
    let ddl: usize = plan
        .targets
        .iter()
        .map(|table| table.statements.len())
        .sum();
    if ddl > 0 {
        parts.push(format!("{} of DDL", counted(ddl, "statement")));
    }
    if !plan.unknown.is_empty() {
        parts.push("parts of the plan are not known".to_owned());
    }
    plan.summary = format!("{} {}", plan.name, parts.join("; "));
}

/// What is read from the beginning.
fn reads(plan: &ConnectorPlan) -> Vec<String> {
    let anew = || plan.tables.iter().filter(|table| table.from == "beginning");
    let (tables, more) = (anew().count(), plan.more_tables);
    let mut parts = Vec::new();
    if tables > 0 {
        let rows: Option<u64> = anew().map(|table| table.rows).sum();
        let rows = rows.map_or_else(String::new, |rows| format!(" (~{rows} rows)"));
        parts.push(format!(
            "{} read from the beginning{rows}",
            counted(tables, "table")
        ));
    }
    let whole = plan
        .tables
        .iter()
        .filter(|table| table.from == "whole")
        .count();
    if whole > 0 {
        parts.push(format!(
            "{} read as a whole at each poll",
            counted(whole, "table")
        ));
    }
    if more > 0 {
        parts.push(format!("{} not examined", counted(more, "further table")));
    }
    let records: u64 = plan.topics.iter().filter_map(|topic| topic.records).sum();
    if records > 0 {
        parts.push(format!("{records} records to read"));
    }
    parts
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, Schema, SchemaType};

    use super::{changes, config_digest, type_of};
    use crate::secrets::SecretKeys;

    #[test]
    fn a_digest_notices_every_change_but_reveals_no_secret() {
        let secrets = SecretKeys::default();
        let config = |password: &str, mode: &str| {
            Config::from([("connection.password", password), ("mode", mode)])
        };
        let stored = config("first", "bulk");
        let of = |revision, planned: &Config| {
            let changes = changes(Some(&stored), planned, &secrets);
            config_digest(revision, planned, &changes, &secrets)
        };
        let same = of(1, &stored);
        assert_eq!(same, of(1, &config("first", "bulk")));
        for (revision, planned) in [
            (2, stored.clone()),
            (1, config("first", "incrementing")),
            (1, config("second", "bulk")),
        ] {
            assert_ne!(same, of(revision, &planned));
        }
        let (second, third) = (config("second", "bulk"), config("third", "bulk"));
        assert_eq!(of(1, &second), of(1, &third), "guesses cannot be checked");
    }

    #[test]
    fn types_are_named_with_what_they_hold() {
        let list = Schema {
            values: Some(Schema::of(SchemaType::String).into()),
            ..Schema::of(SchemaType::Array)
        };
        for (schema, want) in [
            (Schema::of(SchemaType::Int32), "int32"),
            (Schema::decimal(2).optional(true), "Decimal(2)?"),
            (Schema::timestamp(), "Timestamp"),
            (list, "array<string>"),
        ] {
            assert_eq!(type_of(&schema), want);
        }
    }
}
