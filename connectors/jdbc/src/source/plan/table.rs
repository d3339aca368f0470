//! Plans one table from its definition: what its rows become, and in what order they are read.
//! Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same list of columns"
)]

use std::sync::Arc;

use connector_api::{Error, Field, Result, Schema, Value};

use super::key::{self, KeyColumns, RecordKey, order};
use super::key_plan::KeyPlan;
use super::mode_columns::{ModeColumns, query_misfit};
use super::query::QueryShape;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::Dialect;
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::dialect::source_type::carry;
use crate::driver::RowLayout;
use crate::source::config::{SourceConfig, SourceMode};

/// The plan of one table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TablePlan {
    pub layout: RowLayout,
    /// The parts of its statements.
    pub shape: QueryShape,
    /// The table's name in SQL, for additional statements.
    pub table_sql: String,
    /// Schema of the record values.
    pub value_schema: Arc<Schema>,
    /// Schema of the record keys, and the indexes of their columns.
    pub key: Option<(Arc<Schema>, Vec<usize>)>,
    /// Index of the id column.
    pub id: Option<usize>,
    /// Indexes of the columns of `shape.key`.
    pub order: Vec<usize>,
    /// How the primary key is read on its own; set if deletion capture is on.
    pub keys: Option<KeyPlan>,
    /// Index of the column that marks a row as deleted.
    pub marker: Option<usize>,
    /// True if timestamps are instants in UTC, false if they are wall times.
    pub timestamp_is_instant: bool,
    /// Minimum distance between two timestamps, in microseconds; that of the coarsest column.
    pub timestamp_step: i64,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// SQL that checks by their values whether the timestamp columns hold times, see
    /// [`ModeColumns::values_sql`].
    pub values_sql: Option<String>,
}

/// Plans a table.
/// Errors: `Config` when the mode's columns are missing, may be NULL or do not fit, with
/// Confluent's texts.
pub(crate) fn plan(
    meta: &TableMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Result<TablePlan> {
    let quoting = NameQuoting {
        dialect,
        on: config.quote,
    };
    let mode = ModeColumns::of_table(meta, config, dialect, &quoting.shown(meta))?;
    let metas: Vec<_> = meta.columns.iter().filter(|c| !c.invisible).collect();
    let columns: Vec<_> = metas
        .iter()
        .map(|c| read_column(c, config, dialect))
        .collect();
    let index_of = |name: &str| metas.iter().position(|c| c.name == name);
    let key = key_of(meta, config, &columns, index_of);
    let marker = key::marker(meta, config, &columns, key.is_some())?;
    let keys = key::keys(meta, config, dialect, key.as_ref(), &columns)?;
    let order_by = order(meta, config.mode, dialect);
    let select = quoting.select(metas.iter().map(|c| c.name.as_str()), &columns);
    let table_sql = quoting.table(meta);
    let layout = RowLayout {
        timestamps: mode
            .timestamps
            .iter()
            .filter_map(|c| index_of(&c.name))
            .collect(),
        columns,
        by_position: false,
    };
    Ok(TablePlan {
        shape: table_shape(meta, &mode, &select, &order_by, config, &quoting),
        value_schema: Arc::new(Schema::structure(
            Some(&meta.id.table),
            fields(&layout.columns),
        )),
        key,
        keys: keys.map(|keys| key_plan(meta, keys, &quoting)),
        marker,
        id: mode.id.and_then(|c| index_of(&c.name)),
        order: order_by.iter().filter_map(|c| index_of(&c.name)).collect(),
        timestamp_step: timestamp_step(mode.timestamps.iter().copied(), dialect),
        values_sql: mode.values_sql(dialect, |name| quoting.name(name), &table_sql),
        warnings: layout
            .columns
            .iter()
            .filter_map(|c| c.warning.clone())
            .collect(),
        timestamp_is_instant: timestamps_are_instants(&layout),
        layout,
        table_sql,
    })
}

/// Returns the parts of a table's statements; `order_by` is its key.
fn table_shape(
    meta: &TableMeta,
    mode: &ModeColumns<'_>,
    select: &str,
    order_by: &[&ColumnMeta],
    config: &SourceConfig,
    quoting: &NameQuoting<'_>,
) -> QueryShape {
    let id_is_unique = mode.id.is_some_and(|id| is_unique(meta, &id.name));
    let paged = config.suffix.is_none()
        && match config.mode {
            SourceMode::Bulk | SourceMode::Timestamp => !order_by.is_empty(),
            SourceMode::Incrementing | SourceMode::TimestampIncrementing => id_is_unique,
        };
    let timestamps = mode
        .timestamps
        .iter()
        .map(|c| quoting.column(meta, &c.name));
    QueryShape {
        mode: config.mode,
        select: format!("SELECT {select} FROM {}", quoting.table(meta)),
        id: mode.id.map(|c| quoting.column(meta, &c.name)),
        id_type: type_of(mode.id),
        timestamp: timestamp_sql(timestamps, quoting.dialect),
        timestamp_type: type_of(mode.timestamps.first().copied()),
        key: order_by.iter().map(|c| quoting.typed(meta, c)).collect(),
        paged,
        suffix: config.suffix.clone(),
    }
}

/// Plans how the primary key is read on its own.
fn key_plan(
    meta: &TableMeta,
    (keys, reads, schema): KeyColumns<'_>,
    quoting: &NameQuoting<'_>,
) -> KeyPlan {
    let select = quoting.select(reads.iter().map(|read| &*read.name), &reads);
    KeyPlan::new(
        meta.id.to_string(),
        format!("SELECT {select} FROM {}", quoting.table(meta)),
        keys.iter().map(|c| quoting.typed(meta, c)).collect(),
        reads,
        schema,
    )
}

/// Returns how a column is read; with `column.types=carry` its schema carries the column's type.
fn read_column(meta: &ColumnMeta, config: &SourceConfig, dialect: &dyn Dialect) -> ReadColumn {
    let column = dialect.read_column(meta, &config.read);
    let Some(database) = config.carry_types else {
        return column;
    };
    ReadColumn {
        schema: Arc::new(carry(meta, database, &column.schema)),
        ..column
    }
}

/// Returns the warning of a query's column. Its name may be a part of the query, which must not be
/// shown if it is masked.
fn warning(column: &ReadColumn, config: &SourceConfig) -> Option<String> {
    let text = column.warning.as_ref()?;
    let masked = || text.replace(&format!("column {} ", column.name), "a column ");
    Some(if config.query_is_masked {
        masked()
    } else {
        text.clone()
    })
}

/// Plans a query that [`query_text::trimmed`](crate::source::config::query_text::trimmed) has
/// trimmed.
/// Errors: `Config` when the mode's columns are not in its result, or two columns have the same
/// name.
pub(crate) fn plan_query(
    query: &str,
    metas: &[ColumnMeta],
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Result<TablePlan> {
    let quoting = NameQuoting {
        dialect,
        on: config.quote,
    };
    let columns: Vec<_> = metas
        .iter()
        .map(|c| read_column(c, config, dialect))
        .collect();
    check_names_differ(metas, config)?;
    let compared = ModeColumns::of_query(metas, config)?;
    if let Some(misfit) = query_misfit(&compared, config, dialect) {
        return Err(Error::config(misfit.text));
    }
    let index_of = |column: &ColumnMeta| metas.iter().position(|c| c.name == column.name);
    // The mode compares columns of the result, so the query becomes a subquery in parentheses (the
    // closing one on a new line, since the query may end in a comment). A bulk query whose columns
    // need no conversion is sent as it is and keeps its own order.
    let subquery = format!("({query}\n) AS q");
    let as_it_is = config.mode == SourceMode::Bulk && columns.iter().all(|c| c.select == ("", ""));
    let select = if as_it_is {
        query.to_owned()
    } else {
        let select = quoting.select(metas.iter().map(|c| c.name.as_str()), &columns);
        format!("SELECT {select} FROM {subquery}")
    };
    let layout = RowLayout {
        timestamps: compared
            .timestamps
            .iter()
            .filter_map(|c| index_of(c))
            .collect(),
        columns,
        by_position: as_it_is,
    };
    Ok(TablePlan {
        shape: query_shape(&compared, select, config, &quoting),
        table_sql: String::new(),
        value_schema: Arc::new(Schema::structure(None, fields(&layout.columns))),
        key: None,
        keys: None,
        marker: None,
        order: Vec::new(),
        id: compared.id.and_then(index_of),
        timestamp_step: timestamp_step(compared.timestamps.iter().copied(), dialect),
        warnings: layout
            .columns
            .iter()
            .filter_map(|column| warning(column, config))
            .collect(),
        values_sql: compared.values_sql(dialect, |name| quoting.name(name), &subquery),
        timestamp_is_instant: timestamps_are_instants(&layout),
        layout,
    })
}

/// Returns the parts of a query's statements.
fn query_shape(
    compared: &ModeColumns<'_>,
    select: String,
    config: &SourceConfig,
    quoting: &NameQuoting<'_>,
) -> QueryShape {
    let timestamps = compared.timestamps.iter().map(|c| quoting.name(&c.name));
    QueryShape {
        mode: config.mode,
        select,
        id: compared.id.map(|c| quoting.name(&c.name)),
        id_type: type_of(compared.id),
        timestamp: timestamp_sql(timestamps, quoting.dialect),
        timestamp_type: type_of(compared.timestamps.first().copied()),
        key: Vec::new(),
        paged: false,
        suffix: config.suffix.clone(),
    }
}

/// Errors: `Config` when two columns of a query have the same name.
fn check_names_differ(metas: &[ColumnMeta], config: &SourceConfig) -> Result<()> {
    for (n, meta) in metas.iter().enumerate() {
        if metas[..n].iter().any(|other| other.name == meta.name) {
            let name = if config.query_is_masked {
                "alike"
            } else {
                &meta.name
            };
            let text =
                format!("the query returns two columns with the name {name}: rename one with AS");
            return Err(Error::config(text));
        }
    }
    Ok(())
}

impl TablePlan {
    /// Returns the plan with the scales of decimals taken from the first rows; `None` if no scale
    /// was open, or the rows do not show it.
    pub(crate) fn settled(&self, rows: &[Box<[Value]>]) -> Option<Self> {
        let mut plan = self.clone();
        let mut changed = false;
        for (index, column) in plan
            .layout
            .columns
            .iter_mut()
            .enumerate()
            .filter(|(_, c)| c.open_scale.is_some())
        {
            if let Some(settled) = rows
                .iter()
                .find_map(|row| column.with_scale_of(&row[index]))
            {
                *column = settled;
                changed = true;
            }
        }
        let fields = fields(&plan.layout.columns);
        plan.value_schema = Arc::new(Schema::structure(self.value_schema.name.as_deref(), fields));
        changed.then_some(plan)
    }
}

/// True if the timestamps are instants in UTC.
fn timestamps_are_instants(layout: &RowLayout) -> bool {
    let first = layout.timestamps.first().map(|i| &layout.columns[*i].read);
    matches!(first, Some(ValueDecoding::Timestamp(timestamp)) if timestamp.is_instant)
}

/// Returns the coarsest step of those columns.
fn timestamp_step<'a>(
    timestamps: impl Iterator<Item = &'a ColumnMeta>,
    dialect: &dyn Dialect,
) -> i64 {
    timestamps
        .map(|column| dialect.timestamp_step(column))
        .max()
        .unwrap_or(1)
}

/// Writes names in SQL, with or without quotes.
struct NameQuoting<'a> {
    dialect: &'a dyn Dialect,
    on: bool,
}

impl NameQuoting<'_> {
    /// Omits quotes only where that changes the meaning. Names from the catalog mean the same in
    /// quotes, reserved words included, unless the server folds the case of unquoted names.
    fn name(&self, name: &str) -> String {
        if self.on || !self.dialect.folds(name) {
            self.dialect.quoted(name)
        } else {
            name.to_owned()
        }
    }

    fn table(&self, meta: &TableMeta) -> String {
        meta.id
            .parts()
            .map(|part| self.name(part))
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Returns the table's name for messages.
    fn shown(&self, meta: &TableMeta) -> String {
        if self.on {
            self.dialect.table(&meta.id)
        } else {
            meta.id.to_string()
        }
    }

    fn column(&self, meta: &TableMeta, name: &str) -> String {
        format!("{}.{}", self.table(meta), self.name(name))
    }

    /// Returns a column with its SQL type.
    fn typed(&self, meta: &TableMeta, column: &ColumnMeta) -> (String, String) {
        (self.column(meta, &column.name), cast_type(column))
    }

    /// Returns what a SELECT reads: each column as its type is read.
    fn select<'a>(&self, names: impl Iterator<Item = &'a str>, columns: &[ReadColumn]) -> String {
        let items = names.zip(columns).map(|(name, column)| {
            let (before, after) = &column.select;
            format!("{before}{}{after}", self.name(name))
        });
        items.collect::<Vec<_>>().join(",")
    }
}

/// Returns the SQL of a row's timestamp: the first of these columns that is not NULL.
fn timestamp_sql(columns: impl Iterator<Item = String>, dialect: &dyn Dialect) -> Option<String> {
    let columns: Vec<_> = columns
        .map(|column| dialect.comparable_timestamp(&column))
        .collect();
    match columns.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("COALESCE({})", several.join(","))),
    }
}

/// Returns the SQL type of a column; empty without one.
fn type_of(column: Option<&ColumnMeta>) -> String {
    column.map(|c| c.data_type.clone()).unwrap_or_default()
}

/// Returns the fields of a record with these columns.
fn fields<'a>(columns: impl IntoIterator<Item = &'a ReadColumn>) -> Vec<Field> {
    let field = |column: &ReadColumn| Field {
        name: Arc::clone(&column.name),
        schema: Arc::clone(&column.schema),
    };
    columns.into_iter().map(field).collect()
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

fn key_of(
    meta: &TableMeta,
    config: &SourceConfig,
    columns: &[ReadColumn],
    index_of: impl Fn(&str) -> Option<usize>,
) -> Option<RecordKey> {
    if !config.key_from_primary_key {
        return None;
    }
    let indexes: Vec<_> = meta
        .primary_key
        .iter()
        .map(|name| index_of(name))
        .collect::<Option<_>>()?;
    let fields = fields(indexes.iter().map(|i| &columns[*i]));
    if fields.is_empty() {
        None
    } else {
        Some((Arc::new(Schema::structure(None, fields)), indexes))
    }
}
