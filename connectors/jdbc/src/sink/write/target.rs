//! The tables a task writes to: their catalog entries, the shapes of records seen so far, and the
//! SQL texts made for them. Filled on first use, and forgotten when the database reports that a
//! table has changed.

#![expect(
    clippy::indexing_slicing,
    reason = "a PlanIndex is of this table's plans"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Datum, Error, Result, SchemaType, SinkRecord, Value};

use super::bind::ColumnBinder;
use super::connection::SessionInfo;
use super::evolve;
use super::group::KeyIdentity;
use super::index::PlanIndex;
use super::key_bytes::identity;
use super::known_table::KnownTable;
use super::new_rows::NewRows;
use super::plan::{PlanSource, WritePlan};
use super::widen;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::writing::{ColumnWidening, UpsertAction, WriteDialect};
use crate::driver::{Session, of_definition};
use crate::ident::TableId;
use crate::sink::config::columns::RecordColumn;
use crate::sink::config::{InsertMode, PkMode, SchemaEvolution, SinkConfig, TimeRules};
use crate::sink::mapping::shape::{RecordShape, shape};

/// A table's plans are forgotten once there are more.
const MOST_PLANS: usize = 256;

/// A table and the shapes of the records written to it.
pub struct TargetTable {
    /// The full name.
    pub id: TableId,
    /// The table's definition, as it was read.
    known: KnownTable,
    /// The plans in the order in which their shapes were first seen.
    pub plans: Vec<WritePlan>,
    /// The plan of the last record.
    last: PlanIndex,
    time: Arc<TimeRules>,
    /// The first record was a deletion: a table created later has its key columns first, as one
    /// created from the key alone would have.
    began_with_delete: bool,
    /// Whether rows that are upserted are likely to be new.
    pub(super) new_rows: NewRows,
}

impl TargetTable {
    /// Looks a table up by its name, which may lack its qualifiers.
    pub async fn find(
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        (here, id): (&SessionInfo, TableId),
    ) -> Result<Self> {
        let known = KnownTable::read(session, writing, &id).await?;
        let id = match &known.meta {
            Some(meta) => meta.id.clone(),
            None => TableId {
                catalog: id.catalog.or_else(|| here.catalog.clone()),
                schema: id.schema.or_else(|| here.schema.clone()),
                table: id.table,
            },
        };
        Ok(Self {
            id,
            known,
            plans: Vec::new(),
            last: PlanIndex(0),
            time: Arc::new(config.time.clone()),
            began_with_delete: false,
            new_rows: NewRows::default(),
        })
    }

    /// Reads the table again. True if it is no longer the one that plans were made for.
    pub async fn has_changed(&self, session: &mut dyn Session) -> Result<bool> {
        let now = session.table(&self.id).await?;
        Ok(match (&self.known.meta, &now) {
            (Some(known), Some(now)) => !known.decides_as(now),
            (known, now) => known.is_some() != now.is_some(),
        })
    }

    /// True if the table is still the one that plans were made for, as far as the database would
    /// not report a difference when rows are written.
    pub async fn holds(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<bool> {
        self.known.holds(session, writing).await
    }

    /// The table's catalog entry; `None` while it does not exist.
    pub fn meta(&self) -> Option<&TableMeta> {
        self.known.meta.as_ref()
    }

    /// Returns the plan for a record of these schemas; makes it if it is new, along
    /// with the table or column that it needs. `None`: the record deletes from a table that does
    /// not exist.
    /// Errors: `Record` if the table cannot take such records.
    pub async fn plan(
        &mut self,
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        source: PlanSource<'_>,
    ) -> Result<Option<PlanIndex>> {
        if let Some(known) = self.known_plan(source) {
            return Ok(Some(known));
        }
        let PlanSource { topic, key, value } = source;
        let named = |value: &Datum| {
            shape(
                config,
                writing.database,
                (topic, &self.id.table),
                (key, value),
            )
        };
        let mut shape = named(value)?;
        if shape.tombstone && self.known.meta.is_none() && config.auto_create {
            let Some(schema) = value
                .schema
                .as_ref()
                .filter(|schema| schema.ty == SchemaType::Struct)
            else {
                self.began_with_delete = true;
                return Ok(None);
            };
            // a deletion whose schema still describes the row
            let row = named(&Datum::new(
                Arc::clone(schema),
                Value::Struct(Box::default()),
            ))?;
            self.fit(session, config, writing, &row).await?;
        }
        if self.began_with_delete && self.known.meta.is_none() {
            shape.columns.sort_by_key(|column| !column.key);
        }
        self.fit(session, config, writing, &shape).await?;
        let plan = self.compile(config, writing, source, &shape)?;
        self.last = PlanIndex(self.plans.len());
        self.plans.push(plan);
        Ok(Some(self.last))
    }

    /// Returns the plan that was made for a record of these schemas.
    fn known_plan(&mut self, source: PlanSource<'_>) -> Option<PlanIndex> {
        let last = self.plans.get(self.last.0);
        if last.is_some_and(|plan| plan.is_of(source, Arc::ptr_eq)) {
            return Some(self.last);
        }
        let is_known = |plan: &WritePlan| plan.is_of(source, |a, b| a == b);
        self.last = self.plans.iter().position(is_known).map(PlanIndex)?;
        Some(self.last)
    }

    /// Creates or alters the table as the shape requires. Another task may do the same at the same
    /// time, so after a failed statement only the table's new state counts.
    async fn fit(
        &mut self,
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        shape: &RecordShape,
    ) -> Result<()> {
        let mut failure = None;
        for _ in 0..3 {
            let changes =
                evolve::changes(config, writing, &self.id, self.known.meta.as_ref(), shape)?;
            if changes.is_empty() {
                return self.widen(session, config, writing, shape).await;
            }
            failure = None;
            for sql in &changes {
                tracing::info!(table = %self.id, sql, "changing the target");
                if let Err(error) = session.run(sql).await {
                    failure = Some(of_definition(error));
                    break;
                }
            }
            self.known = KnownTable::read(session, writing, &self.id).await?;
            if let Some(meta) = &self.known.meta {
                self.id = meta.id.clone();
            }
        }
        let failure =
            failure.unwrap_or_else(|| Error::config("the table is not the requested one"));
        Err(failure.context(format!(
            "table {} cannot be changed to fit its records",
            self.id
        )))
    }

    /// Widens columns to hold the values that the shape's schemas allow.
    async fn widen(
        &mut self,
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        shape: &RecordShape,
    ) -> Result<()> {
        let Some(meta) = self
            .known
            .meta
            .as_ref()
            .filter(|meta| config.evolve == SchemaEvolution::Widen && !meta.is_view)
        else {
            return Ok(());
        };
        let changes = widen::by_shape(config, writing, meta, shape);
        let Err(failure) = self.change(session, writing, changes).await else {
            return Ok(());
        };
        // another task may have done it
        let meta = self.known.meta.as_ref();
        if meta.is_some_and(|meta| widen::by_shape(config, writing, meta, shape).is_empty()) {
            return Ok(());
        }
        Err(failure)
    }

    /// Lengthens columns that are too short for the record's values. If a column cannot be
    /// lengthened, the database will reject the value.
    pub async fn lengthen(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        plan: PlanIndex,
        record: &SinkRecord,
    ) -> Result<()> {
        let lengths = self.excess(plan, record);
        let Some(meta) = self
            .known
            .meta
            .as_ref()
            .filter(|meta| !lengths.is_empty() && !meta.is_view)
        else {
            return Ok(());
        };
        let changes = widen::by_length(writing, meta, &lengths);
        let Err(failure) = self.change(session, writing, changes).await else {
            return Ok(());
        };
        // another task may have done it
        if self.excess(plan, record).is_empty() {
            Ok(())
        } else {
            Err(failure)
        }
    }

    /// Returns the columns for which values of the record are too long, with the lengths needed.
    fn excess(&self, plan: PlanIndex, record: &SinkRecord) -> Vec<(String, u64)> {
        let plan = &self.plans[plan];
        let binders = plan.keys.iter().chain(&plan.values);
        binders
            .filter_map(|binder| Some((binder.name.to_string(), binder.excess(record)?)))
            .collect()
    }

    async fn change(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        changes: Vec<ColumnWidening>,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let table = writing.dialect.table(&self.id);
        let shown = match writing.capabilities.table_definition {
            Some(sql) => session.query(&sql.replace("{table}", &table), &[]).await?,
            None => Vec::new(),
        };
        let shown = match shown.first().and_then(|row| row.get(1)) {
            Some(Value::Text(text)) => text.to_string(),
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let changed = match writing.ddl.alter_columns(&table, &changes, &shown) {
            Some(sql) => {
                tracing::info!(table = %self.id, sql, "widening the target");
                session.run(&sql).await.map(drop).map_err(of_definition)
            }
            None => Err(Error::config(
                "its definition does not contain the columns to widen",
            )),
        };
        self.known = KnownTable::read(session, writing, &self.id).await?;
        if let Some(meta) = &self.known.meta {
            for plan in &mut self.plans {
                for binder in plan.keys.iter_mut().chain(&mut plan.values) {
                    if let Some(column) = meta.column(&binder.name) {
                        binder.refresh(writing, column);
                    }
                }
                plan.statements.clear();
            }
        }
        changed.map_err(|error| {
            error.context(format!(
                "table {} cannot be widened for its records",
                self.id
            ))
        })
    }

    /// Makes the plan of a shape, which the table fits.
    /// Errors: `Record` if rows would have to be found by a key that the shape lacks.
    fn compile(
        &self,
        config: &SinkConfig,
        writing: &WriteDialect,
        PlanSource { topic, key, value }: PlanSource<'_>,
        shape: &RecordShape,
    ) -> Result<WritePlan> {
        let bind =
            |column| ColumnBinder::new(config, &self.time, writing, column, self.column(column));
        let keys: Vec<ColumnBinder> = shape.keys().map(bind).collect();
        if keys.is_empty() && config.insert_mode != InsertMode::Insert {
            return Err(self.lacks_keys(config.insert_mode));
        }
        // no database accepts a value for a generated column
        let is_generated = |column: &RecordColumn| self.column(column).is_some_and(|m| m.generated);
        let given = shape.values().filter(|column| !is_generated(column));
        let mut values: Vec<ColumnBinder> = given.map(bind).collect();
        values.sort_by_key(|binder| binder.always_numbered);
        let sets_a_column = values.first().is_some_and(|binder| !binder.always_numbered);
        let by_column =
            config.insert_mode == InsertMode::Upsert && self.lacks_key_index(writing, shape);
        Ok(WritePlan {
            topic: config.fields.by_topic().then(|| Arc::clone(topic)),
            key_schema: key.schema.clone(),
            value_schema: value.schema.clone(),
            tombstone: shape.tombstone,
            identity: self.key_identity(writing, shape, &keys),
            by_column,
            many: sets_a_column && self.updates_in_bulk(writing, shape),
            copy: self.copy_statement(config, writing, (&keys, &values), by_column),
            upsert: match config.insert_mode {
                InsertMode::Upsert if by_column => None,
                InsertMode::Upsert if self.has_other_unique() => Some(UpsertAction::Guarded),
                InsertMode::Upsert => Some(UpsertAction::Plain),
                InsertMode::Insert | InsertMode::Update => None,
            },
            keys,
            values,
            statements: HashMap::new(),
        })
    }

    fn lacks_keys(&self, mode: InsertMode) -> Error {
        let error = Error::record(format!(
            "Write to table '{}' in {} mode requires key field names to be known, check the primary key \
             configuration",
            evolve::shown(&self.id),
            if mode == InsertMode::Upsert {
                "UPSERT"
            } else {
                "UPDATE"
            },
        ));
        error.and_line(
            "Set pk.mode to record_key or record_value, and pk.fields to the fields that identify \
             a row.",
        )
    }

    /// Returns the table's column for a column of a shape.
    fn column(&self, column: &RecordColumn) -> Option<&ColumnMeta> {
        self.known.meta.as_ref()?.column(&column.name)
    }

    /// Returns how far the keys of a shape, which `keys` bind, identify rows.
    fn key_identity(
        &self,
        writing: &WriteDialect,
        shape: &RecordShape,
        keys: &[ColumnBinder],
    ) -> KeyIdentity {
        let identities = shape.keys().zip(keys).map(|(column, key)| {
            if key.may_merge() {
                return KeyIdentity::Unknown;
            }
            let equality = writing.columns.text_equality(self.column(column));
            identity(&column.schema, equality)
        });
        identities.fold(KeyIdentity::Exact, loosest)
    }

    /// True if one statement can update many rows of a shape.
    fn updates_in_bulk(&self, writing: &WriteDialect, shape: &RecordShape) -> bool {
        let Some(bulk) = writing.capabilities.bulk_update else {
            return false;
        };
        let mut columns = shape.columns.iter().map(|column| self.column(column));
        columns.all(|column| column.is_some_and(bulk.accepts))
    }

    /// Returns the COPY statement for rows of these columns, if it has the effect of an INSERT, or of
    /// an upsert of rows that do not exist. `by_column`: see [`WritePlan`].
    fn copy_statement(
        &self,
        config: &SinkConfig,
        writing: &WriteDialect,
        (keys, values): (&[ColumnBinder], &[ColumnBinder]),
        by_column: bool,
    ) -> Option<Arc<str>> {
        let meta = self.known.meta.as_ref().filter(|meta| !meta.only_insert)?;
        match config.insert_mode {
            InsertMode::Insert => {}
            InsertMode::Upsert if !by_column && !meta.has_triggers => {}
            InsertMode::Upsert | InsertMode::Update => return None,
        }
        let columns: Vec<_> = keys
            .iter()
            .chain(values)
            .map(ColumnBinder::statement_column)
            .collect();
        writing.copy(&self.id, &columns).map(Arc::from)
    }

    /// Forgets the plans if there are too many, which records without a schema can cause. Must not
    /// be called while a plan is in use.
    pub fn thin_out(&mut self) {
        if self.plans.len() > MOST_PLANS {
            self.plans.clear();
            self.last = PlanIndex(0);
        }
    }

    /// True if no upsert finds the row of a key: no unique index lies within the key columns of a
    /// shape, or is the one that an upsert must name. Rows of one key then never conflict, whatever
    /// other unique indexes there are: MariaDB would add a row each time, and PostgreSQL and SQLite
    /// refuse such a conflict target. PostgreSQL refuses deferrable ones, too, and would choose
    /// them along with another index of the same columns.
    fn lacks_key_index(&self, writing: &WriteDialect, shape: &RecordShape) -> bool {
        let Some(meta) = &self.known.meta else {
            return false;
        };
        let count = shape.keys().count();
        let is_exact = |index: &Vec<String>| {
            !writing.capabilities.names_conflict_index || index.len() == count
        };
        let is_key = |name: &String| {
            shape
                .keys()
                .any(|c| meta.column(&c.name).is_some_and(|m| m.name == *name))
        };
        let within = |index: &Vec<String>| !index.is_empty() && index.iter().all(is_key);
        let finds = |index: &Vec<String>| within(index) && is_exact(index);
        meta.deferrable.iter().any(finds)
            || !finds(&meta.primary_key) && !meta.unique.iter().any(finds)
    }

    /// True if rows can conflict on an index other than the primary key.
    pub fn has_other_unique(&self) -> bool {
        self.known
            .meta
            .as_ref()
            .is_some_and(|m| !m.unique.is_empty() || m.unique_in_part)
    }

    /// True if a plan fills every column of the table.
    pub fn is_complete(&self, plan: PlanIndex) -> bool {
        let Some(meta) = &self.known.meta else {
            return false;
        };
        let plan = &self.plans[plan];
        // several rows may have this key then, and an upsert would update all of them
        if plan.by_column {
            return false;
        }
        let has = |name: &str| {
            plan.keys
                .iter()
                .chain(&plan.values)
                .any(|b| *b.name == *name)
        };
        meta.columns.iter().all(|c| c.generated || has(&c.name))
    }

    /// Returns how far keys identify rows across all used plans.
    pub fn identity(&self, used: &[PlanIndex]) -> KeyIdentity {
        let mut plans = used.iter().map(|plan| &self.plans[*plan]);
        let Some(first) = plans.next() else {
            return KeyIdentity::Exact;
        };
        let alike = |p: &WritePlan| {
            let names = |p: &WritePlan| {
                p.keys
                    .iter()
                    .map(|b| Arc::clone(&b.name))
                    .collect::<Vec<_>>()
            };
            p.identity == first.identity && names(p) == names(first)
        };
        if plans.all(alike) {
            first.identity
        } else {
            KeyIdentity::Unknown
        }
    }
}

fn loosest(a: KeyIdentity, b: KeyIdentity) -> KeyIdentity {
    match (a, b) {
        (KeyIdentity::Unknown, _) | (_, KeyIdentity::Unknown) => KeyIdentity::Unknown,
        (KeyIdentity::Text, _) | (_, KeyIdentity::Text) => KeyIdentity::Text,
        _ => KeyIdentity::Exact,
    }
}

/// True if keys can repeat in a batch: false if records have no key, or if their coordinates are
/// the key.
pub(crate) fn keys_repeat(config: &SinkConfig) -> bool {
    matches!(
        config.pk_mode,
        PkMode::RecordKey | PkMode::RecordValue | PkMode::RecordHeader
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Config, Schema, SchemaType};

    use super::{KnownTable, NewRows, PlanIndex, TargetTable};
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::dialect::writing;
    use crate::ident::TableId;
    use crate::sink::config::SinkConfig;
    use crate::sink::config::columns::{RecordColumn, ValueSlot};
    use crate::sink::mapping::shape::RecordShape;
    use crate::url::DatabaseKind;

    /// A table of `id` and `mail` with these unique indexes.
    fn table(primary_key: &[&str], unique: &[&[&str]]) -> TargetTable {
        let config = Config::from([("connection.url", "jdbc:mariadb://h/d"), ("name", "s")]);
        let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let columns = ["id", "mail"].map(|name| ColumnMeta {
            name: name.to_owned(),
            ..ColumnMeta::default()
        });
        let meta = TableMeta {
            primary_key: names(primary_key),
            unique: unique.iter().map(|index| names(index)).collect(),
            ..TableMeta::of_columns(TableId::in_catalog("d", "t"), columns.to_vec())
        };
        TargetTable {
            id: TableId::in_catalog("d", "t"),
            known: KnownTable {
                meta: Some(meta),
                state: None,
            },
            plans: Vec::new(),
            last: PlanIndex(0),
            time: Arc::new(SinkConfig::read(&config).unwrap().time),
            began_with_delete: false,
            new_rows: NewRows::default(),
        }
    }

    fn shape(keys: &[&str]) -> RecordShape {
        let columns = ["id", "mail"].map(|name| RecordColumn {
            name: Arc::from(name),
            field: Arc::from(name),
            schema: Arc::new(Schema::of(SchemaType::String)),
            key: keys.contains(&name),
            slot: ValueSlot::Value,
        });
        RecordShape {
            columns: columns.to_vec(),
            tombstone: false,
        }
    }

    #[test]
    fn only_an_index_within_the_key_columns_finds_the_row_of_a_key() {
        let maria = writing::of(DatabaseKind::MySql, "10.11-MariaDB");
        let lacks = |table: TargetTable, keys: &[&str]| table.lacks_key_index(maria, &shape(keys));
        assert!(lacks(table(&[], &[]), &["id"]));
        assert!(lacks(table(&[], &[&["mail"]]), &["id"]));
        assert!(lacks(table(&["id", "mail"], &[]), &["id"]));
        assert!(!lacks(table(&["id"], &[&["mail"]]), &["id"]));
        assert!(!lacks(table(&[], &[&["mail"], &["id"]]), &["id"]));
        assert!(!lacks(table(&["id", "mail"], &[]), &["id", "mail"]));
        assert!(!lacks(table(&["id"], &[]), &["id", "mail"]));
    }

    #[test]
    fn an_upsert_that_names_its_index_needs_one_of_exactly_the_key_that_is_not_deferrable() {
        for database in [DatabaseKind::Postgres, DatabaseKind::Sqlite] {
            let writing = writing::of(database, "");
            let lacks =
                |table: &TargetTable, keys: &[&str]| table.lacks_key_index(writing, &shape(keys));
            let mut table = table(&["id"], &[&["mail"]]);
            assert!(!lacks(&table, &["id"]));
            assert!(lacks(&table, &["id", "mail"]));
            if let Some(meta) = &mut table.known.meta {
                meta.deferrable = vec![vec!["id".to_owned()]];
            }
            assert!(lacks(&table, &["id"]));
            assert!(!lacks(&table, &["mail"]));
        }
    }
}
