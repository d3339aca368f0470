//! What a task would change in the target to write given records: tables, DDL, and which column
//! takes which field. Nothing is written, and a database or file that is missing is not created.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{
    ColumnPreview, Config, PreviewLimits, Record, Result, SchemaType, SinkPreview, SinkRecord,
    TargetPreview, Value,
};

use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::writing::{self, ColumnSpec, WriteDialect};
use crate::driver::{self, AccessMode, ConnectOptions, Session};
use crate::ident::TableId;
use crate::sink::config::columns::{RecordColumn, ValueSlot};
use crate::sink::config::{SchemaEvolution, SinkConfig};
use crate::sink::mapping::adapt::{Adapted, Adapter, PlainTarget};
use crate::sink::mapping::shape::{RecordShape, check_record, shape};
use crate::sink::offsets;
use crate::sink::write::connection::WriteConnection;
use crate::sink::write::target::TargetTable;
use crate::sink::write::{evolve, widen};
use crate::url::ConnectionTarget;

/// The target: its dialect, and the session, which is missing if the database is.
struct Target {
    link: Option<WriteConnection>,
    writing: &'static WriteDialect,
}

/// A table as it would be after the statements found so far.
struct PlannedTable {
    /// The name as it is configured, which may lack its qualifiers.
    named: TableId,
    id: TableId,
    meta: Option<TableMeta>,
    preview: TargetPreview,
}

/// Adds what a task would change to write `records` to `preview`.
/// Errors: those of the connection; those of one table are part of the preview.
pub(super) async fn preview(
    config: &Config,
    records: &[SinkRecord],
    limits: PreviewLimits,
    preview: &mut SinkPreview,
) -> Result<()> {
    let sink = SinkConfig::read(config)?;
    let place = ConnectionTarget::of_sink(config)?;
    let mut target = connect(&place, limits.connect, preview).await?;
    let outcome = look(&mut target, &sink, records, limits, preview).await;
    if let Some(link) = target.link {
        link.session.close().await;
    }
    outcome
}

/// Connects, unless that would create the database.
async fn connect(
    place: &ConnectionTarget,
    within: Duration,
    preview: &mut SinkPreview,
) -> Result<Target> {
    let options = ConnectOptions {
        attempts: 1,
        backoff: Duration::ZERO,
        timeout: within,
        access: AccessMode::Existing,
        ..ConnectOptions::default()
    };
    let missing = |preview: &mut SinkPreview| {
        let text = format!("{} does not exist yet and would be created", place.place());
        preview.warnings.push(text);
        Ok(Target {
            link: None,
            writing: writing::of(place.database_kind(), ""),
        })
    };
    if driver::would_create(place).unwrap_or(false) {
        return missing(preview);
    }
    match WriteConnection::open(place, options).await {
        Ok(link) => Ok(Target {
            writing: link.writing,
            link: Some(link),
        }),
        Err(error) if driver::is_database_missing(place, &error) => missing(preview),
        Err(error) => Err(error),
    }
}

async fn look(
    target: &mut Target,
    sink: &SinkConfig,
    records: &[SinkRecord],
    limits: PreviewLimits,
    preview: &mut SinkPreview,
) -> Result<()> {
    if sink.exactly_once {
        preview.tables.extend(offsets_table(target, sink).await?);
    }
    if sink.statement.is_some() {
        preview.warnings.push(
            "insert.mode=statement: the statements name their tables, which are neither created \
             nor changed"
                .to_owned(),
        );
        return Ok(());
    }
    let lists = target.writing.capabilities.values.has_arrays;
    let mut adapter = Adapter::new(sink.adapting(lists));
    let mut tables: Vec<PlannedTable> = Vec::new();
    for record in records {
        let id = match table_of(sink, target.writing, &record.record) {
            Ok(Some(id)) => id,
            Ok(None) => continue,
            Err(error) => {
                let text = format!("topic {}: {}", record.at.topic, error.message());
                if !preview.warnings.contains(&text) {
                    preview.warnings.push(text);
                }
                continue;
            }
        };
        let is_known = tables.iter().any(|table| table.named == id);
        if !is_known && tables.len() < limits.tables {
            tables.push(PlannedTable::find(target, sink, id.clone()).await?);
        }
        let Some(table) = tables.iter_mut().find(|table| table.named == id) else {
            continue;
        };
        let topic = record.at.topic.to_string();
        if !table.preview.topics.contains(&topic) {
            table.preview.topics.push(topic);
        }
        let planned = table.take(target, sink, &mut adapter, record).await;
        if let Err(error) = planned
            && table.preview.error.is_none()
        {
            table.preview.error = Some(error.message().to_owned());
        }
    }
    preview
        .tables
        .extend(tables.into_iter().map(|table| table.preview));
    Ok(())
}

/// Returns the table of a record as its name is configured; `None` if the record has none.
fn table_of(sink: &SinkConfig, writing: &WriteDialect, record: &Record) -> Result<Option<TableId>> {
    if !sink.naming.is_by_source() {
        return sink.naming.table(&record.topic, writing.database).map(Some);
    }
    let Some(name) = sink.naming.name(record)? else {
        return Ok(None);
    };
    sink.naming
        .named(&name, &record.topic, writing.database)
        .map(Some)
}

/// The table of offsets, if it would be created.
async fn offsets_table(target: &mut Target, sink: &SinkConfig) -> Result<Option<TargetPreview>> {
    let writing = target.writing;
    // the statement names the table as the task will find it
    let (named, id, exists) = match &mut target.link {
        None => {
            let bare = TableId::bare(crate::ident::OFFSETS_TABLE);
            (bare.clone(), bare, false)
        }
        Some(link) => {
            let session = &mut *link.session;
            let place = offsets::find(session, writing, &sink.cluster, &sink.name).await?;
            let here = (&link.here, place.clone());
            let found = TargetTable::find(session, sink, writing, here).await?;
            (place, found.id.clone(), found.meta().is_some())
        }
    };
    if exists {
        return Ok(None);
    }
    let name = if named.schema.is_some() {
        writing.dialect.table(&named)
    } else {
        named.table
    };
    Ok(Some(TargetPreview {
        table: id.to_string(),
        statements: vec![writing.offsets.create.replace("{table}", &name)],
        ..TargetPreview::default()
    }))
}

impl PlannedTable {
    async fn find(target: &mut Target, sink: &SinkConfig, named: TableId) -> Result<Self> {
        let (id, meta) = match &mut target.link {
            None => (named.clone(), None),
            Some(link) => {
                let place = (&link.here, named.clone());
                let found =
                    TargetTable::find(&mut *link.session, sink, link.writing, place).await?;
                (found.id.clone(), found.meta().cloned())
            }
        };
        Ok(Self {
            preview: TargetPreview {
                table: id.to_string(),
                exists: meta.is_some(),
                ..TargetPreview::default()
            },
            named,
            id,
            meta,
        })
    }

    /// Adds what one record needs.
    async fn take(
        &mut self,
        target: &mut Target,
        sink: &SinkConfig,
        adapter: &mut Adapter,
        record: &SinkRecord,
    ) -> Result<()> {
        let writing = target.writing;
        let adapted = match adapter.event_outcome(record) {
            Some(outcome) => outcome?,
            None if !adapter.is_plain(record) => adapter.apply(record)?,
            None => match &self.meta {
                None => adapter.without_table(record),
                Some(table) => {
                    let time = &sink.time;
                    adapter.match_to(
                        PlainTarget {
                            table,
                            writing,
                            time,
                        },
                        record,
                    )?
                }
            },
        };
        let row = match &adapted {
            Adapted::Same => record,
            Adapted::Changed(row) => row,
            Adapted::Skip => return Ok(()),
            Adapted::Truncate => {
                self.warn("a record empties the table".to_owned());
                return Ok(());
            }
        };
        check_record(sink, row)?;
        let Record {
            topic, key, value, ..
        } = &row.record;
        let shape = shape(
            sink,
            writing.database,
            (topic, &self.id.table),
            (key, value),
        )?;
        if shape.tombstone {
            // rows are deleted from a table that other records describe
            return Ok(());
        }
        self.map(sink, writing, &shape, row);
        let changes = evolve::changes(sink, writing, &self.id, self.meta.as_ref(), &shape)?;
        if sink.evolve == SchemaEvolution::Widen {
            let widened = self.widened(target, sink, &shape).await?;
            self.add(widened);
        }
        self.add(changes);
        self.assume(&shape);
        Ok(())
    }

    fn warn(&mut self, text: String) {
        if !self.preview.warnings.contains(&text) {
            self.preview.warnings.push(text);
        }
    }

    fn add(&mut self, statements: impl IntoIterator<Item = String>) {
        for sql in statements {
            if !self.preview.statements.contains(&sql) {
                self.preview.statements.push(sql);
            }
        }
    }

    /// Adds the columns of a shape to the table of columns.
    fn map(
        &mut self,
        sink: &SinkConfig,
        writing: &WriteDialect,
        shape: &RecordShape,
        row: &SinkRecord,
    ) {
        for column in &shape.columns {
            let known = &self.preview.columns;
            if known.iter().any(|known| *known.column == *column.name) {
                continue;
            }
            let existing = self
                .meta
                .as_ref()
                .and_then(|meta| meta.column(&column.name));
            let instant = !column.key && sink.time.fields.contains(&*column.name);
            let (sql_type, warning) = match existing {
                Some(meta) => (
                    meta.column_type.clone(),
                    narrower(sink, writing, meta, column).filter(|_| !instant),
                ),
                None => (new_type(writing, column, instant), None),
            };
            self.preview.columns.push(ColumnPreview {
                column: column.name.to_string(),
                sql_type,
                field: field_of(column, row),
                schema: Arc::clone(&column.schema),
                key: column.key,
                new: existing.is_none(),
                warning,
            });
        }
    }

    /// Returns the statement that widens columns for the shape's schemas.
    async fn widened(
        &self,
        target: &mut Target,
        sink: &SinkConfig,
        shape: &RecordShape,
    ) -> Result<Option<String>> {
        let (Some(meta), Some(link)) = (
            self.meta
                .as_ref()
                .filter(|meta| !meta.is_view && self.preview.exists),
            &mut target.link,
        ) else {
            return Ok(None);
        };
        let writing = target.writing;
        let changes = widen::by_shape(sink, writing, meta, shape);
        if changes.is_empty() {
            return Ok(None);
        }
        let table = writing.dialect.table(&self.id);
        let shown = definition(&mut *link.session, writing, &table).await?;
        Ok(writing.ddl.alter_columns(&table, &changes, &shown))
    }

    /// Assumes that the table has the shape's columns from now on: a later record with other fields
    /// needs only those that are missing then.
    fn assume(&mut self, shape: &RecordShape) {
        let meta = self
            .meta
            .get_or_insert_with(|| TableMeta::planned(self.id.clone()));
        for column in &shape.columns {
            if meta.column(&column.name).is_none() {
                meta.columns.push(ColumnMeta {
                    name: column.name.to_string(),
                    nullable: !column.key,
                    ..ColumnMeta::default()
                });
            }
        }
    }
}

/// Returns a table's definition, where columns can be changed only with it.
async fn definition(
    session: &mut dyn Session,
    writing: &WriteDialect,
    table: &str,
) -> Result<String> {
    let Some(sql) = writing.capabilities.table_definition else {
        return Ok(String::new());
    };
    let rows = session.query(&sql.replace("{table}", table), &[]).await?;
    Ok(match rows.first().and_then(|row| row.get(1)) {
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    })
}

/// Returns the hint of a column that cannot hold all values of its field.
fn narrower(
    sink: &SinkConfig,
    writing: &WriteDialect,
    known: &ColumnMeta,
    column: &RecordColumn,
) -> Option<String> {
    let wider = widen::wider(writing, known, &column.schema);
    let by = match sink.evolve {
        SchemaEvolution::Widen => "it is widened",
        _ => "auto.evolve=widen would widen it",
    };
    if let Some(ty) = wider {
        return Some(format!("narrower than its field: {by} to {ty}"));
    }
    let null = column.schema.optional && !known.nullable && !column.key;
    null.then(|| "takes no NULL, which its field may be".to_owned())
}

/// Returns the type of a column to create.
fn new_type(writing: &WriteDialect, column: &RecordColumn, instant: bool) -> String {
    let spec = ColumnSpec {
        name: &column.name,
        schema: &column.schema,
        key: column.key,
        instant,
        default_time: None,
    };
    let quoted = writing.dialect.quoted(&column.name);
    let definition = writing.column(&spec).unwrap_or_default();
    let definition = definition.strip_prefix(&quoted).unwrap_or(&definition);
    definition.trim().to_owned()
}

/// Returns the name of the field that fills a column.
fn field_of(column: &RecordColumn, row: &SinkRecord) -> String {
    let named = |schema: Option<&Arc<connector_api::Schema>>, n: usize| {
        let schema = schema.filter(|schema| schema.ty == SchemaType::Struct);
        let field = schema.and_then(|schema| schema.fields.get(n));
        field.map_or_else(|| column.name.to_string(), |field| field.name.to_string())
    };
    match &column.slot {
        ValueSlot::Key => "the key".to_owned(),
        ValueSlot::KeyField(n) => format!("key.{}", named(row.record.key.schema.as_ref(), *n)),
        ValueSlot::Value => "the value".to_owned(),
        ValueSlot::ValueField(n) => named(row.record.value.schema.as_ref(), *n),
        ValueSlot::Topic => "the topic".to_owned(),
        ValueSlot::Partition => "the partition".to_owned(),
        ValueSlot::Offset => "the offset".to_owned(),
        ValueSlot::Timestamp => "the timestamp".to_owned(),
        ValueSlot::Header(name) => format!("header {name}"),
    }
}
