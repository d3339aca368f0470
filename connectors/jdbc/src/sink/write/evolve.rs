//! The DDL that adapts a table to a record's shape, or the error text if it must not be changed.
//!
//! Pure. The texts are those that users of other JDBC sinks search for.

use std::collections::HashMap;

use connector_api::shown::on_one_line;
use connector_api::{Error, Result, Schema, Value};

use crate::catalog::TableMeta;
use crate::dialect::logical_type::{LogicalType, is_geometry};
use crate::dialect::writing::{ColumnSpec, WriteDialect};
use crate::ident::TableId;
use crate::sink::config::adapt_rules::NESTED;
use crate::sink::config::columns::RecordColumn;
use crate::sink::config::{SchemaEvolution, SinkConfig, TimeRules};
use crate::sink::mapping::shape::RecordShape;

/// Returns the statements that make the table fit the shape; empty if it fits. `table` is the full
/// name.
/// Errors: `Record`, because other records may fit; `Config` for a table without transactions.
pub(crate) fn changes(
    config: &SinkConfig,
    writing: &WriteDialect,
    table: &TableId,
    meta: Option<&TableMeta>,
    shape: &RecordShape,
) -> Result<Vec<String>> {
    let columns = shape.columns.iter().map(|column| column.name.as_ref());
    if let Some(name) = columns
        .chain(table.parts())
        .find(|name| name.contains('\0'))
    {
        let name = on_one_line(name);
        return Err(Error::record(format!(
            "the name {name} contains the character U+0000, which names in databases cannot \
             contain; rename it with a transform"
        )));
    }
    refuse_one_column_twice(writing, shape)?;
    let changes = needed(config, writing, table, meta, shape)?;
    if !writing.capabilities.accepts_nul && changes.iter().any(|sql| sql.contains('\0')) {
        return Err(Error::record(
            "the default of a field contains the character U+0000, which texts of this database \
             cannot contain",
        ));
    }
    Ok(changes)
}

fn needed(
    config: &SinkConfig,
    writing: &WriteDialect,
    table: &TableId,
    meta: Option<&TableMeta>,
    shape: &RecordShape,
) -> Result<Vec<String>> {
    let Some(meta) = meta.filter(|m| is_target(config, m)) else {
        if !config.auto_create {
            return Err(misfit(format!(
                "Table {} is missing and auto-creation is disabled",
                shown(table)
            )));
        }
        let times = default_times(&config.time, &shape.columns);
        return writing
            .create_table(table, &specs(config, &shape.columns, &times))
            .map(|sql| vec![sql])
            .map_err(|text| unmapped(text, &shape.columns));
    };
    if let Some(text) = no_rollback(writing, meta).filter(|_| config.exactly_once) {
        return Err(Error::config(text));
    }
    let missing: Vec<_> = shape
        .columns
        .iter()
        .filter(|c| !has_own_column(meta, shape, c))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    refuse(config, &meta.id, meta.is_view, &missing)?;
    let times = default_times(&config.time, &missing);
    let definitions = specs(config, &missing, &times)
        .iter()
        .map(|c| writing.column(c))
        .collect::<Result<Vec<_>, _>>();
    let definitions = definitions.map_err(|text| unmapped(text, &missing))?;
    Ok(writing.add_columns(&writing.dialect.table(&meta.id), &definitions))
}

/// True if a table has a column for that one of a shape. A column whose name differs in letter case
/// is not the one if the record has another field for it.
fn has_own_column(meta: &TableMeta, shape: &RecordShape, column: &RecordColumn) -> bool {
    let Some(found) = meta.column(&column.name) else {
        return false;
    };
    let shared = |other: &&RecordColumn| {
        other.name != column.name
            && meta
                .column(&other.name)
                .is_some_and(|m| m.name == found.name)
    };
    *found.name == *column.name || !shape.columns.iter().any(|other| shared(&other))
}

/// Refuses fields that would be one column.
/// Errors: `Record`, because other records may have one of them only.
fn refuse_one_column_twice(writing: &WriteDialect, shape: &RecordShape) -> Result<()> {
    let folded = |name: &str| match writing.capabilities.folds_column_names {
        Some(fold) => fold(name),
        None => name.to_owned(),
    };
    let mut known = HashMap::with_capacity(shape.columns.len());
    for column in &shape.columns {
        let Some(first) = known.insert(folded(&column.name), &column.name) else {
            continue;
        };
        let (first, second) = (on_one_line(first), on_one_line(&column.name));
        let why = if first == second {
            format!("two fields become the column {first}")
        } else {
            format!(
                "the fields {first} and {second} differ in letter case only, and so would be one \
                 column of this database"
            )
        };
        return Err(Error::record(format!(
            "{why}; rename one of them (transform ReplaceField, renames={second}:OTHER_NAME), or \
             leave it out (field.exclude.list={second})"
        )));
    }
    Ok(())
}

/// Describes a table that cannot roll back, and how to fix it.
pub(crate) fn no_rollback(writing: &WriteDialect, meta: &TableMeta) -> Option<String> {
    let (engine, table) = (meta.no_rollback.as_ref()?, writing.dialect.table(&meta.id));
    Some(format!(
        "Table {} has the storage engine {engine}, which cannot roll back a failed batch, so rows \
         cannot be written exactly once; ALTER TABLE {table} ENGINE=InnoDB, or set \
         delivery.guarantee=at_least_once, which may write rows again after a failure",
        shown(&meta.id)
    ))
}

/// The error of a table that is missing or lacks columns and must not be changed.
fn misfit(text: String) -> Error {
    Error::record(text).of_class("io.confluent.connect.jdbc.sink.TableAlterOrCreateException")
}

/// The error of a field whose type no column has.
fn unmapped(text: String, columns: &[RecordColumn]) -> Error {
    let error = Error::record(text).and_line(NESTED);
    let shape = columns.iter().find(|column| is_geometry(&column.schema));
    match shape {
        Some(column) => error.and_line(&format!(
            "The sink creates no spatial column {} on this database: create the table with one \
             (geometry of PostGIS, or point of PostgreSQL), choose nested.mode, or leave the field out \
             with field.exclude.list.",
            on_one_line(&column.name)
        )),
        None => error,
    }
}

/// True if a relation of that kind is an allowed target.
pub(crate) fn is_target(config: &SinkConfig, meta: &TableMeta) -> bool {
    let has = |ty: &str| config.table_types.iter().any(|t| t == ty);
    if meta.is_view {
        has("VIEW")
    } else {
        has("TABLE") || has("PARTITIONED TABLE")
    }
}

/// JSON with a schema, read as if it had none.
const ENVELOPE: &str = "The value has the members schema and payload, which JsonConverter writes around the row: set \
     value.converter.schemas.enable=true (and key.converter.schemas.enable for keys).";

fn refuse(
    config: &SinkConfig,
    table: &TableId,
    is_view: bool,
    missing: &[RecordColumn],
) -> Result<()> {
    let (kind, table) = (if is_view { "VIEW" } else { "TABLE" }, shown(table));
    if let Some(required) = missing
        .iter()
        .find(|c| c.key || !c.schema.optional && c.schema.default.is_none())
    {
        return Err(misfit(format!(
            "Cannot ALTER {kind} {table} to add missing field {}, as the field is not optional and does not have a \
             default value",
            described(required)
        )));
    }
    let fields = || missing.iter().map(described).collect::<Vec<_>>().join(", ");
    if is_view {
        let fields = fields();
        return Err(misfit(format!(
            "View {table} is missing fields ([{fields}]) and ALTER VIEW is unsupported"
        )));
    }
    if config.evolve == SchemaEvolution::Off {
        let error = misfit(format!(
            "Table {table} is missing fields ([{}]) and auto-evolution is disabled",
            fields()
        ));
        let has = |name: &str| missing.iter().any(|column| *column.field == *name);
        return Err(if has("schema") && has("payload") {
            error.and_line(ENVELOPE)
        } else {
            error.and_line(
                "auto.evolve=true adds the columns, and field.exclude.list leaves the fields out.",
            )
        });
    }
    Ok(())
}

/// A table's name in the form that other sinks' texts use on every database.
pub(crate) fn shown(table: &TableId) -> String {
    table
        .parts()
        .map(|part| format!("\"{part}\""))
        .collect::<Vec<_>>()
        .join(".")
}

/// A field in the form that other sinks' texts use.
fn described(column: &RecordColumn) -> String {
    let ty = column.schema.ty.name();
    let schema = column
        .schema
        .name
        .as_ref()
        .map_or_else(|| ty.to_owned(), |name| format!("{name}:{ty}"));
    format!(
        "SinkRecordField{{schema=Schema{{{schema}}}, name='{}', isPrimaryKey={}}}",
        column.name, column.key
    )
}

fn specs<'a>(
    config: &SinkConfig,
    columns: &'a [RecordColumn],
    times: &'a [Option<String>],
) -> Vec<ColumnSpec<'a>> {
    let spec = |(column, time): (&'a RecordColumn, &'a Option<String>)| ColumnSpec {
        name: &column.name,
        schema: &column.schema,
        key: column.key,
        instant: !column.key && config.time.fields.contains(&*column.field),
        default_time: time.as_deref(),
    };
    columns.iter().zip(times).map(spec).collect()
}

fn default_times(time: &TimeRules, columns: &[RecordColumn]) -> Vec<Option<String>> {
    columns
        .iter()
        .map(|c| default_time(time, &c.schema))
        .collect()
}

/// The default of a date or time column as SQL text.
fn default_time(time: &TimeRules, schema: &Schema) -> Option<String> {
    let number = schema.default.as_ref().and_then(Value::as_i64)?;
    match LogicalType::of(schema) {
        LogicalType::Date => Some(time.date(number)),
        LogicalType::Time => Some(time.time(number)),
        LogicalType::Timestamp => Some(time.timestamp(number, 1000)),
        LogicalType::Decimal(_) | LogicalType::None => None,
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, Datum, ErrorKind, Field, Schema, SchemaType, Value};

    use super::changes;
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::dialect::writing;
    use crate::ident::TableId;
    use crate::sink::config::SinkConfig;
    use crate::sink::mapping::shape::{RecordShape, shape};
    use crate::url::DatabaseKind;

    fn config(pairs: &[(&str, &str)]) -> SinkConfig {
        let mut config = Config::from([("connection.url", "jdbc:mariadb://h/d"), ("name", "s")]);
        for (k, v) in pairs {
            config.set(*k, *v);
        }
        SinkConfig::read(&config).unwrap()
    }

    fn shape_of(config: &SinkConfig, fields: Vec<Field>) -> RecordShape {
        let nulls = vec![Value::Null; fields.len()].into();
        let value = Datum::new(Schema::structure(None, fields).into(), Value::Struct(nulls));
        shape(
            config,
            DatabaseKind::MySql,
            ("t", "t"),
            (&Datum::NONE, &value),
        )
        .unwrap()
    }

    fn table(names: &[&str]) -> TableMeta {
        let column = |name: &&str| ColumnMeta {
            name: (*name).to_owned(),
            ..ColumnMeta::default()
        };
        TableMeta::of_columns(
            TableId::in_catalog("d", "t"),
            names.iter().map(column).collect(),
        )
    }

    #[test]
    fn missing_tables_and_columns_are_made_or_refused() {
        let id = Field::new("id", Schema::of(SchemaType::Int32));
        let age = Field::new("age", Schema::of(SchemaType::Int32).optional(true));
        let level = Field::new(
            "n",
            Schema {
                default: Some(Value::I32(42)),
                ..Schema::of(SchemaType::Int32)
            },
        );
        let at = Field::new("at", Schema::timestamp());
        let (on, off) = (vec![("auto.evolve", "true")], vec![]);
        let lone_id = table(&["ID"]);
        for (keys, meta, fields, want) in [
            (&off, Some(&lone_id), vec![&id], Ok("")),
            (
                &on,
                Some(&lone_id),
                vec![&id, &age, &level],
                Ok("ALTER TABLE `d`.`t`\nADD `age` INT NULL,\nADD `n` INT DEFAULT 42"),
            ),
            (
                &off,
                None,
                vec![&id],
                Ok("CREATE TABLE IF NOT EXISTS `d`.`t` (\n`id` INT NOT NULL)"),
            ),
            (
                &off,
                Some(&lone_id),
                vec![&id, &age],
                Err(
                    "Table \"d\".\"t\" is missing fields ([SinkRecordField{schema=Schema{INT32}, name='age', \
                     isPrimaryKey=false}]) and auto-evolution is disabled",
                ),
            ),
            (
                &off,
                Some(&lone_id),
                vec![&age, &at],
                Err("Cannot ALTER TABLE \"d\".\"t\" to add missing field \
                     SinkRecordField{schema=Schema{org.apache.kafka.connect.data.Timestamp:INT64}, name='at', \
                     isPrimaryKey=false}, as the field is not optional and does not have a default value"),
            ),
            (
                &vec![("auto.create", "false")],
                None,
                vec![&id],
                Err("Table \"d\".\"t\" is missing and auto-creation is disabled"),
            ),
        ] {
            let config = config(keys);
            let writing = writing::of(DatabaseKind::MySql, "10.11-MariaDB");
            let shape = shape_of(&config, fields.into_iter().cloned().collect());
            let seen = changes(
                &config,
                writing,
                &TableId::in_catalog("d", "t"),
                meta,
                &shape,
            );
            let seen = seen
                .map(|sql| sql.join(";"))
                .map_err(|e| e.message().to_owned());
            // what helps follows on lines of its own
            let first = |text: &String| text.lines().next().unwrap_or_default().to_owned();
            let seen = seen.map_err(|text| first(&text));
            assert_eq!(seen.as_deref().map_err(String::as_str), want);
        }
    }

    #[test]
    fn a_view_is_a_target_only_where_it_is_allowed() {
        let mut view = table(&["id"]);
        view.is_view = true;
        let writing = writing::of(DatabaseKind::MySql, "10.11-MariaDB");
        let id = TableId::in_catalog("d", "t");
        for (types, want) in [
            ("TABLE", "is missing and auto-creation is disabled"),
            ("VIEW", "ALTER VIEW is unsupported"),
        ] {
            let config = config(&[
                ("table.types", types),
                ("auto.create", "false"),
                ("auto.evolve", "true"),
            ]);
            let shape = shape_of(
                &config,
                vec![Field::new(
                    "a",
                    Schema::of(SchemaType::Int32).optional(true),
                )],
            );
            let error = changes(&config, writing, &id, Some(&view), &shape).unwrap_err();
            assert!(error.message().contains(want), "{error}");
        }
    }

    #[test]
    fn names_and_defaults_that_no_statement_can_hold_are_bad_records() {
        let config = config(&[]);
        let field = |name: &str, default: Option<&str>| {
            let schema = Schema {
                default: default.map(|text| Value::Text(text.into())),
                ..Schema::of(SchemaType::String)
            };
            Field::new(name, schema)
        };
        let (postgres, maria) = (DatabaseKind::Postgres, DatabaseKind::MySql);
        for (database, field, says) in [
            (postgres, field("a\0b", None), "the name a\\u{0}b contains"),
            (maria, field("a\0b", None), "the name a\\u{0}b contains"),
            (postgres, field("a", Some("x\0y")), "the default of a field"),
        ] {
            let writing = writing::of(database, "10.11-MariaDB");
            let shape = shape_of(&config, vec![field]);
            let error = changes(&config, writing, &TableId::bare("t"), None, &shape).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record);
            assert!(error.message().contains(says), "{error}");
        }
    }
}
