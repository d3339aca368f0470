//! What one table's rows become, and in what order they are read: the plan made from its definition. Pure.

use std::sync::Arc;

use connector_api::{Error, Field, Result, Schema, Type};

use super::config::{Mode, SourceConfig};
use super::mapping::columns_of;
use super::query::Shape;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::Dialect;
use crate::driver::Layout;

/// The plan of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    /// How its rows are read.
    pub layout: Layout,
    /// Its statements.
    pub shape: Shape,
    /// The table in SQL, for statements beside the reading.
    pub table_sql: String,
    /// Schema of the record values.
    pub value_schema: Arc<Schema>,
    /// Schema of the record keys and the columns they are made of.
    pub key: Option<(Arc<Schema>, Vec<usize>)>,
    /// The id column among the columns.
    pub id: Option<usize>,
    /// Columns of `shape.key` among the columns.
    pub order: Vec<usize>,
    /// Stamps are instants in UTC, not wall times.
    pub stamp_is_instant: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// The names of the mode's columns in one table.
struct ModeColumns<'a> {
    id: Option<&'a ColumnMeta>,
    stamps: Vec<&'a ColumnMeta>,
}

/// Plans a table.
/// Errors: `Config` when the mode's columns are missing or may be NULL, with Confluent's texts.
pub fn plan(meta: &TableMeta, config: &SourceConfig, dialect: &dyn Dialect) -> Result<TablePlan> {
    let quoting = Quoting { dialect, on: config.quote };
    let mode = mode_columns(meta, config, &quoting)?;
    let metas: Vec<_> = meta.columns.iter().filter(|c| !c.invisible).collect();
    let columns: Vec<_> = metas.iter().map(|c| dialect.read_column(c, &config.read)).collect();
    let index_of = |name: &str| metas.iter().position(|c| c.name == name);
    let table_sql = quoting.table(meta);
    let select: Vec<_> = metas
        .iter()
        .zip(&columns)
        .map(|(meta, column)| format!("{}{}{}", column.select.0, quoting.name(&meta.name), column.select.1))
        .collect();
    let warnings = columns.iter().filter_map(|c| c.warning.clone()).collect();
    let fields = columns.iter().map(|c| Field { name: Arc::clone(&c.name), schema: Arc::clone(&c.schema) }).collect();
    let key = key_of(meta, config, &columns, index_of);
    let layout = Layout { stamps: mode.stamps.iter().filter_map(|c| index_of(&c.name)).collect(), columns };
    let order_by = order(meta, config.mode, dialect);
    let id_is_unique = mode.id.is_some_and(|id| is_unique(meta, &id.name));
    let paged = config.suffix.is_none()
        && match config.mode {
            Mode::Bulk | Mode::Timestamp => !order_by.is_empty(),
            Mode::Incrementing | Mode::TimestampIncrementing => id_is_unique,
        };
    Ok(TablePlan {
        shape: Shape {
            mode: config.mode,
            select: format!("SELECT {} FROM {table_sql}", select.join(",")),
            id: mode.id.map(|c| quoting.column(meta, &c.name)),
            stamp: stamp_sql(&mode, meta, &quoting),
            stamp_type: mode.stamps.first().map(|c| c.data_type.clone()).unwrap_or_default(),
            key: order_by.iter().map(|c| (quoting.column(meta, &c.name), cast_type(c))).collect(),
            paged,
            suffix: config.suffix.clone(),
        },
        value_schema: Arc::new(Schema::structure(Some(&meta.id.table), fields)),
        key,
        id: mode.id.and_then(|c| index_of(&c.name)),
        order: order_by.iter().filter_map(|c| index_of(&c.name)).collect(),
        stamp_is_instant: mode.stamps.first().is_some_and(|c| c.data_type.starts_with("timestamp")),
        layout,
        table_sql,
        warnings,
    })
}

/// Names in SQL, in quotes or not.
struct Quoting<'a> {
    dialect: &'a dyn Dialect,
    on: bool,
}

impl Quoting<'_> {
    fn name(&self, name: &str) -> String {
        if self.on { self.dialect.quoted(name) } else { name.to_owned() }
    }

    fn table(&self, meta: &TableMeta) -> String {
        if self.on { self.dialect.table(&meta.id) } else { meta.id.to_string() }
    }

    fn column(&self, meta: &TableMeta, name: &str) -> String {
        format!("{}.{}", self.table(meta), self.name(name))
    }
}

fn stamp_sql(mode: &ModeColumns<'_>, meta: &TableMeta, quoting: &Quoting<'_>) -> Option<String> {
    let columns: Vec<_> = mode.stamps.iter().map(|c| quoting.column(meta, &c.name)).collect();
    match columns.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("COALESCE({})", several.join(","))),
    }
}

/// The columns that put rows in order: the primary key, if all of it can be compared as a parameter.
fn order<'a>(meta: &'a TableMeta, mode: Mode, dialect: &dyn Dialect) -> Vec<&'a ColumnMeta> {
    let key: Vec<_> = meta.primary_key.iter().filter_map(|name| meta.column(name)).collect();
    // offsets hold texts, not bytes
    let storable = |c: &&ColumnMeta| mode == Mode::Bulk || !c.data_type.ends_with("binary");
    if key.iter().all(|c| dialect.orders(c) && storable(c)) { key } else { Vec::new() }
}

fn cast_type(meta: &ColumnMeta) -> String {
    match (meta.data_type.as_str(), meta.precision) {
        ("decimal" | "numeric", Some(p)) => format!("decimal({p},{})", meta.scale.unwrap_or(0)),
        (other, _) => other.to_owned(),
    }
}

fn is_unique(meta: &TableMeta, column: &str) -> bool {
    let alone = |columns: &[String]| columns.len() == 1 && columns[0] == column;
    alone(&meta.primary_key) || meta.unique.iter().any(|u| alone(u))
}

type Key = Option<(Arc<Schema>, Vec<usize>)>;

fn key_of(
    meta: &TableMeta,
    config: &SourceConfig,
    columns: &[crate::dialect::read::ReadColumn],
    index_of: impl Fn(&str) -> Option<usize>,
) -> Key {
    if !config.key_from_primary_key {
        return None;
    }
    let indexes: Vec<_> = meta.primary_key.iter().map(|name| index_of(name)).collect::<Option<_>>()?;
    let field = |i: &usize| Field { name: Arc::clone(&columns[*i].name), schema: Arc::clone(&columns[*i].schema) };
    let fields: Vec<_> = indexes.iter().map(field).collect();
    if fields.is_empty() { None } else { Some((Arc::new(Schema::structure(None, fields)), indexes)) }
}

fn mode_columns<'a>(meta: &'a TableMeta, config: &SourceConfig, quoting: &Quoting<'_>) -> Result<ModeColumns<'a>> {
    let shown = quoting.table(meta);
    let id = if config.mode.has_id() { Some(id_column(meta, config, &shown)?) } else { None };
    let stamps = if config.mode.has_stamp() { stamp_columns(meta, config, &shown)? } else { Vec::new() };
    Ok(ModeColumns { id, stamps })
}

fn id_column<'a>(meta: &'a TableMeta, config: &SourceConfig, shown: &str) -> Result<&'a ColumnMeta> {
    let mapped = if config.id_mapping.is_empty() { None } else { columns_of(&config.id_mapping, &full(meta))?.first() };
    let column = match mapped.or(config.id_column.as_ref()) {
        Some(name) => meta.column(name).ok_or_else(|| {
            Error::config(format!("Incrementing column: {name} does not exist in table '{shown}'"))
        })?,
        None => meta.columns.iter().find(|c| c.auto_increment).ok_or_else(|| {
            Error::config(format!(
                "table {shown} has no column that the server numbers by itself: name one with incrementing.column.name, \
                 or choose another mode"
            ))
        })?,
    };
    if config.validate_non_null && column.nullable && column.key_position.is_none() {
        return Err(Error::config(format!(
            "Cannot make incremental queries using incrementing column {} on {shown} because this column is nullable.",
            column.name
        )));
    }
    match column.data_type.as_str() {
        "decimal" | "numeric" if column.scale.unwrap_or(0) != 0 => {
            Err(Error::config("Scale of Decimal value for incrementing column must be 0"))
        }
        _ => Ok(column),
    }
}

fn stamp_columns<'a>(meta: &'a TableMeta, config: &SourceConfig, shown: &str) -> Result<Vec<&'a ColumnMeta>> {
    let names = if config.stamp_mapping.is_empty() {
        config.stamp_columns.as_slice()
    } else {
        columns_of(&config.stamp_mapping, &full(meta))?
    };
    let columns: Vec<_> = names.iter().filter_map(|name| meta.column(name)).collect();
    if columns.len() < names.len() {
        return Err(Error::config(format!("Timestamp columns: {} do not exist in table '{shown}'", names.join(", "))));
    }
    let nullable = |c: &&ColumnMeta| c.nullable && c.key_position.is_none();
    if (config.validate_non_null && columns.iter().all(nullable)) || columns.is_empty() {
        return Err(Error::config(format!(
            "Cannot make incremental queries using timestamp columns {} on {shown} because all of these columns are \
             nullable.",
            names.join(",")
        )));
    }
    Ok(columns)
}

/// The name that mappings are matched with.
fn full(meta: &TableMeta) -> String {
    meta.id.to_string()
}

/// Refuses an id column of a type that does not count.
/// Errors: `Config`, with Confluent's text.
pub fn check_id_type(plan: &TablePlan) -> Result<()> {
    let Some(column) = plan.id.map(|i| &plan.layout.columns[i]) else { return Ok(()) };
    match column.schema.ty {
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 => Ok(()),
        Type::Bytes if column.schema.is_named(connector_api::logical::DECIMAL) => Ok(()),
        ty => Err(Error::config(format!("Invalid type for incrementing column: {}", ty.name()))),
    }
}
