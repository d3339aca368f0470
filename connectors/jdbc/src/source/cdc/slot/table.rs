//! One captured table: the rows of the log become values by the columns that the log describes.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the description that it was checked against"
)]

use connector_api::{Error, Record, Result, Value};

use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::Dialect;
use crate::pgoutput::message::{Change, ChangeKind, LoggedCell, OldRow, Relation, RelationColumn};
use crate::pgoutput::text;
use crate::source::cdc::table::CapturedTable;
use crate::source::cdc::traits::TableDefinition;
use crate::source::config::SourceConfig;

/// A table whose changes become records.
#[derive(Debug)]
pub(super) struct SlotTable {
    pub captured: CapturedTable,
    /// As the log described it last.
    pub relation: Option<Relation>,
    /// For each field its column in the log, and the name of its type; empty: the definition is to
    /// be looked up.
    fields: Vec<(usize, String)>,
}

/// A decoded row.
pub(super) struct DecodedRow {
    pub values: Box<[Value]>,
    /// Fields that the log does not have: large values that did not change.
    pub missing: Vec<usize>,
}

impl SlotTable {
    pub(super) fn new(captured: CapturedTable) -> Self {
        Self {
            captured,
            relation: None,
            fields: Vec::new(),
        }
    }

    /// True if rows can be decoded.
    pub(super) fn is_defined(&self) -> bool {
        !self.fields.is_empty()
    }

    /// The log describes the table: it may have been altered.
    pub(super) fn describe(&mut self, relation: Relation) {
        self.relation = Some(relation);
        self.fields.clear();
    }

    /// The definition is to be looked up again.
    pub(super) fn undefine(&mut self) {
        self.fields.clear();
    }

    /// Forgets what the log has said.
    pub(super) fn forget(&mut self) {
        self.relation = None;
        self.fields.clear();
    }

    /// Takes up the definition of the rows that follow; `now` is that of the catalog.
    /// Errors: `Config` for a column that is not in the log.
    pub(super) fn define(
        &mut self,
        now: Option<&TableMeta>,
        config: &SourceConfig,
        dialect: &dyn Dialect,
    ) -> Result<()> {
        let Some(relation) = &self.relation else {
            return Err(Error::fatal(
                "the log has rows of a table that it has not described",
            ));
        };
        let meta = definition(relation, now, &self.captured.meta);
        let relation = relation.clone();
        if *self.captured.meta != meta {
            self.captured.redefine(plain(meta), config, dialect)?;
        }
        let plan = &self.captured.plan;
        let mut fields = Vec::with_capacity(plan.layout.columns.len());
        for column in &plan.layout.columns {
            let index = relation
                .columns
                .iter()
                .position(|c| *c.name == *column.name);
            let meta = self.captured.meta.columns.iter();
            let meta = meta.clone().find(|c| *c.name == *column.name);
            let (Some(index), Some(meta)) = (index, meta) else {
                return Err(Error::config(format!(
                    "the log does not have column {} of table {}",
                    column.name, self.captured.meta.id
                )));
            };
            fields.push((index, meta.data_type.clone()));
        }
        self.fields = fields;
        Ok(())
    }

    /// Decodes the row as it is after the change.
    pub(super) fn new_row(&self, change: &Change<'_>) -> Result<Option<DecodedRow>> {
        let Some(new) = &change.new else {
            return Ok(None);
        };
        let full = match &change.old {
            Some((OldRow::Full, old)) => Some(old.as_slice()),
            _ => None,
        };
        self.row(new, full).map(Some)
    }

    /// Decodes the row as it was, as far as the log has it.
    pub(super) fn old_row(&self, change: &Change<'_>) -> Result<Option<Box<[Value]>>> {
        match &change.old {
            Some((_, old)) => Ok(Some(self.row(old, None)?.values)),
            None => Ok(None),
        }
    }

    fn row(&self, cells: &[LoggedCell<'_>], full: Option<&[LoggedCell<'_>]>) -> Result<DecodedRow> {
        let columns = &self.captured.plan.layout.columns;
        let mut values = Vec::with_capacity(columns.len());
        let mut missing = Vec::new();
        for (at, ((index, data_type), column)) in self.fields.iter().zip(columns).enumerate() {
            let cell = match cells.get(*index) {
                Some(LoggedCell::Unchanged) => full.and_then(|full| full.get(*index)),
                cell => cell,
            };
            values.push(match cell {
                Some(LoggedCell::Text(bytes)) => {
                    text::value(column, data_type, bytes).map_err(|error| {
                        let text = format!("table {}: {error}", self.captured.meta.id);
                        Error::new(error.kind(), text)
                    })?
                }
                Some(LoggedCell::Null) => Value::Null,
                Some(LoggedCell::Unchanged) | None => {
                    missing.push(at);
                    Value::Null
                }
            });
        }
        Ok(DecodedRow {
            values: values.into(),
            missing,
        })
    }

    /// Appends the records of a change. A row that lacks values is gone by now: a later change of it
    /// follows.
    pub(super) fn emit(
        &mut self,
        kind: ChangeKind,
        old: Option<Box<[Value]>>,
        new: Option<DecodedRow>,
        out: &mut Vec<Record>,
    ) {
        let table = &mut self.captured;
        if let Some(old) = old {
            let is_moved = table.plan.key.as_ref().is_some_and(|(_, key)| {
                let new = new.as_ref();
                let same = |i: &usize| new.is_some_and(|new| old[*i] == new.values[*i]);
                !key.iter().all(same)
            });
            if is_moved || kind == ChangeKind::Delete {
                table.delete(&old, out);
            }
        }
        if let Some(new) = new.filter(|new| new.missing.is_empty()) {
            table.put_read(new.values, out);
        }
    }
}

/// A definition of a table that is not system-versioned; cascades are in the log.
pub(super) fn plain(meta: TableMeta) -> TableDefinition {
    TableDefinition {
        meta,
        row_end: None,
        cascades: false,
    }
}

/// The definition without the columns that no log has: those that the server computes.
pub(super) fn without_generated(meta: &TableMeta) -> TableMeta {
    let mut meta = meta.clone();
    meta.columns.retain(|column| !column.generated);
    meta
}

/// The definition of a table when its rows were changed: the columns are those of the log; what the
/// log does not tell of them is that of the catalog, or of the last definition.
fn definition(relation: &Relation, now: Option<&TableMeta>, known: &TableMeta) -> TableMeta {
    let column = |column: &RelationColumn| {
        let named = |meta: &TableMeta| {
            let found = meta.columns.iter().find(|c| c.name == column.name);
            found.filter(|c| fits(c, column)).cloned()
        };
        let found = now.and_then(named).or_else(|| named(known));
        found.unwrap_or_else(|| of_log(column))
    };
    let base = now.unwrap_or(known);
    TableMeta {
        id: known.id.clone(),
        columns: relation.columns.iter().map(column).collect(),
        rows_estimated: known.rows_estimated,
        ..base.clone()
    }
}

/// True if the catalog's column may be that of the log.
fn fits(meta: &ColumnMeta, column: &RelationColumn) -> bool {
    let Some(name) = type_name(column.type_id) else {
        // an array, an enumeration, a domain: its text is what is emitted
        return true;
    };
    if meta.data_type != name {
        return false;
    }
    let from_log = of_log(column);
    match name {
        "numeric" => (meta.precision, meta.scale) == (from_log.precision, from_log.scale),
        "bit" => meta.length == from_log.length,
        _ => true,
    }
}

/// A column of which only the log is known.
fn of_log(column: &RelationColumn) -> ColumnMeta {
    let data_type = type_name(column.type_id).unwrap_or("text");
    let modifier = column.modifier;
    let mut meta = ColumnMeta {
        name: column.name.clone(),
        data_type: data_type.into(),
        column_type: data_type.into(),
        nullable: true,
        ..ColumnMeta::default()
    };
    match data_type {
        "numeric" if modifier >= 4 => {
            let bits = modifier - 4;
            meta.precision = Some(bits >> 16 & 0xffff);
            // eleven bits with a sign
            meta.scale = Some((bits & 0x7ff ^ 0x400) - 0x400);
        }
        "bit" => meta.length = u64::try_from(modifier).ok(),
        _ => {}
    }
    meta
}

/// The catalog's name of a built-in type.
fn type_name(id: u32) -> Option<&'static str> {
    Some(match id {
        16 => "bool",
        17 => "bytea",
        19 => "name",
        20 => "int8",
        21 => "int2",
        23 => "int4",
        25 => "text",
        26 => "oid",
        114 => "json",
        142 => "xml",
        700 => "float4",
        701 => "float8",
        790 => "money",
        1042 => "bpchar",
        1043 => "varchar",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1266 => "timetz",
        1560 => "bit",
        1700 => "numeric",
        2950 => "uuid",
        3802 => "jsonb",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{definition, of_log};
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::ident::TableId;
    use crate::pgoutput::message::{Relation, RelationColumn};

    fn logged(name: &str, type_id: u32, modifier: i32) -> RelationColumn {
        RelationColumn {
            name: name.into(),
            type_id,
            modifier,
        }
    }

    fn known(name: &str, data_type: &str) -> ColumnMeta {
        ColumnMeta {
            name: name.into(),
            data_type: data_type.into(),
            ..ColumnMeta::default()
        }
    }

    #[test]
    fn a_modifier_has_precision_and_scale() {
        let of = |modifier| {
            let column = of_log(&logged("n", 1700, modifier));
            (column.precision, column.scale)
        };
        assert_eq!(of((10 << 16 | 2) + 4), (Some(10), Some(2)));
        assert_eq!(of((3 << 16 | 0x7fe) + 4), (Some(3), Some(-2)));
        assert_eq!(of(-1), (None, None));
    }

    #[test]
    fn the_columns_are_those_of_the_log_also_after_the_table_was_altered() {
        let id = TableId::in_schema("public", "t");
        let now =
            TableMeta::of_columns(id.clone(), vec![known("id", "int8"), known("new", "text")]);
        let before = TableMeta::of_columns(id, vec![known("id", "int4"), known("gone", "text")]);
        let relation = Relation {
            id: 1,
            schema: "public".into(),
            table: "t".into(),
            columns: vec![
                logged("id", 23, -1),
                logged("gone", 25, -1),
                logged("older", 16, -1),
            ],
        };
        let found = definition(&relation, Some(&now), &before);
        let types: Vec<_> = found
            .columns
            .iter()
            .map(|c| (&*c.name, &*c.data_type))
            .collect();
        assert_eq!(types, [("id", "int4"), ("gone", "text"), ("older", "bool")]);
    }
}
