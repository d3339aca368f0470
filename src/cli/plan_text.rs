//! Plans as text for people. Pure. Lines of our own stay within 80 columns; SQL and records are shown
//! as they are.

use connector_api::shown::{in_lines, on_one_line};

use serde_json::{Value, json};

use super::print::table;
use crate::model::{
    ConnectorPlan, PlanAction, PlannedColumn, PlannedRecord, PlannedTable, PlannedTarget,
    PlannedTopic,
};
use crate::observe::guard::ascii_escaped;

const WIDTH: usize = 80;

/// Returns the text of plans.
pub(super) fn plans(all: &[ConnectorPlan]) -> String {
    let mut text = String::new();
    for plan in all {
        if !text.is_empty() {
            text.push('\n');
        }
        one(plan, &mut text);
    }
    text
}

/// Returns the first lines of a plan: what happens to the connector.
pub(super) fn heading(plan: &ConnectorPlan) -> String {
    let mark = match plan.action {
        PlanAction::Create => '+',
        PlanAction::Change => '~',
        PlanAction::None => ' ',
        PlanAction::Refuse => '!',
    };
    wrapped(&format!("{mark} "), "  ", &plan.summary)
}

fn one(plan: &ConnectorPlan, text: &mut String) {
    line(text, &heading(plan));
    for (mark, hints) in [("!", &plan.errors), (" ", &plan.warnings)] {
        for hint in hints {
            let shown = format!("{}: {}", on_one_line(&hint.key), in_lines(&hint.message));
            line(text, &wrapped(&format!("  {mark} "), "      ", &shown));
        }
    }
    if plan.action == PlanAction::Change {
        line(text, "  config");
        for change in &plan.changes {
            let key = on_one_line(&change.key);
            line(
                text,
                &match (&change.from, &change.to) {
                    (Some(from), Some(to)) => {
                        format!("    ~ {key}: {} -> {}", on_one_line(from), on_one_line(to))
                    }
                    (None, Some(to)) => format!("    + {key}: {}", on_one_line(to)),
                    (Some(from), None) => format!("    - {key}: {}", on_one_line(from)),
                    (None, None) => format!("    ~ {key}"),
                },
            );
        }
    }
    for topic in &plan.topics {
        line(text, &topic_line(topic));
    }
    plan.tables.iter().for_each(|table| source(table, text));
    plan.targets.iter().for_each(|target| sink(target, text));
    if !plan.records.is_empty() {
        line(
            text,
            &format!(
                "  first {} records after the transforms",
                plan.records.len()
            ),
        );
        plan.records
            .iter()
            .for_each(|record| line(text, &record_line(record)));
    }
    for gap in &plan.unknown {
        let shown = format!(
            "not known ({}): {}",
            on_one_line(&gap.part),
            in_lines(&gap.message)
        );
        line(text, &wrapped("  ? ", "    ", &shown));
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn topic_line(topic: &PlannedTopic) -> String {
    let name = on_one_line(&topic.topic);
    let partitions = topic
        .partitions
        .map_or_else(String::new, |count| match count {
            1 => ", 1 partition".to_owned(),
            count => format!(", {count} partitions"),
        });
    let records = topic.records.map_or_else(String::new, |records| {
        format!(", {records} records to read")
    });
    let settings = topic
        .config
        .iter()
        .map(|(key, value)| format!(", {}={}", on_one_line(key), on_one_line(value)));
    let settings: String = settings.collect();
    let (mark, state) = match (topic.exists, topic.created) {
        (true, _) => (' ', ""),
        (false, true) => ('+', ", created"),
        (false, false) => ('?', ", does not exist"),
    };
    format!("  {mark} topic {name}{state}{partitions}{settings}{records}")
}

fn source(table: &PlannedTable, text: &mut String) {
    let name = if table.table.is_empty() {
        "the query".into()
    } else {
        format!("table {}", on_one_line(&table.table))
    };
    let from = match table.from.as_str() {
        "beginning" => ", from the beginning",
        "offset" => ", from its stored offset",
        "whole" => ", all rows at each poll",
        _ => "",
    };
    let rows = table
        .rows
        .map_or_else(String::new, |rows| format!(", ~{rows} rows"));
    line(
        text,
        &format!("    {name} -> {}{from}{rows}", on_one_line(&table.topic)),
    );
    if let Some(sql) = &table.statement {
        line(text, &format!("      {}", indented(sql)));
    }
    columns(&table.columns, text);
    hints(&table.warnings, table.error.as_deref(), text);
}

fn sink(target: &PlannedTarget, text: &mut String) {
    let mark = match (target.exists, target.statements.is_empty()) {
        (false, _) => '+',
        (true, false) => '~',
        (true, true) => ' ',
    };
    let from = if target.topics.is_empty() {
        String::new()
    } else {
        format!(" <- {}", on_one_line(&target.topics.join(", ")))
    };
    line(
        text,
        &format!("  {mark} table {}{from}", on_one_line(&target.table)),
    );
    for sql in &target.statements {
        line(text, &format!("      {}", indented(sql)));
    }
    columns(&target.columns, text);
    hints(&target.warnings, target.error.as_deref(), text);
}

fn columns(columns: &[PlannedColumn], text: &mut String) {
    if columns.is_empty() {
        return;
    }
    let row = |column: &PlannedColumn| {
        let mark = match (column.new, column.key) {
            (true, true) => "+ key",
            (true, false) => "+",
            (false, true) => "key",
            (false, false) => "",
        };
        vec![
            column.column.clone(),
            column.sql_type.clone(),
            column.field.clone(),
            column.field_type.clone(),
            mark.to_owned(),
        ]
    };
    let rows: Vec<_> = columns.iter().map(row).collect();
    let shown = table(&["COLUMN", "SQL TYPE", "FIELD", "TYPE", ""], &rows);
    for shown in shown.lines() {
        line(text, &format!("      {shown}"));
    }
    for column in columns {
        if let Some(hint) = &column.warning {
            let hint = format!("column {}: {}", on_one_line(&column.column), in_lines(hint));
            line(text, &wrapped("      ! ", "        ", &hint));
        }
    }
}

fn hints(warnings: &[String], error: Option<&str>, text: &mut String) {
    for hint in warnings.iter().map(String::as_str).chain(error) {
        line(text, &wrapped("      ! ", "        ", &in_lines(hint)));
    }
}

fn record_line(record: &PlannedRecord) -> String {
    match (&record.record, &record.error) {
        (_, Some(error)) => wrapped("    ! ", "      ", &in_lines(error)),
        (None, None) => "    (dropped by a transform)".to_owned(),
        (Some(record), None) => {
            let shown = json!({
                "topic": record.topic,
                "key": payload(record.key.as_deref()),
                "value": payload(record.value.as_deref()),
            });
            format!("    {}", ascii_escaped(&shown.to_string()))
        }
    }
}

/// Returns a key or value without its schema: the columns above have the types.
fn payload(part: Option<&serde_json::value::RawValue>) -> Value {
    let part = part.and_then(|part| serde_json::from_str(part.get()).ok());
    match part.unwrap_or_default() {
        Value::Object(mut members) if members.len() == 2 && members.contains_key("schema") => {
            members.remove("payload").unwrap_or_default()
        }
        other => other,
    }
}

fn indented(sql: &str) -> String {
    in_lines(sql).replace('\n', "\n      ")
}

/// Breaks text at blanks, so that lines have at most [`WIDTH`] characters where words allow it.
fn wrapped(first: &str, next: &str, text: &str) -> String {
    let mut out = String::new();
    let mut current = first.to_owned();
    let mut is_empty = true;
    for (n, given) in text.lines().enumerate() {
        if n > 0 {
            out.push_str(current.trim_end());
            out.push('\n');
            next.clone_into(&mut current);
            is_empty = true;
        }
        for word in given.split_whitespace() {
            let longer = current.chars().count() + 1 + word.chars().count();
            if !is_empty && longer > WIDTH {
                out.push_str(current.trim_end());
                out.push('\n');
                next.clone_into(&mut current);
                is_empty = true;
            }
            if !is_empty {
                current.push(' ');
            }
            current.push_str(word);
            is_empty = false;
        }
    }
    out.push_str(current.trim_end());
    out
}
