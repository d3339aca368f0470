//! Determines which columns have to become wider (`auto.evolve=widen`). Pure; the types are the
//! dialects'.

use connector_api::Schema;

use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::source_type::{SourceType, source_column};
use crate::dialect::writing::{ColumnCapacity, ColumnWidening, WriteDialect};
use crate::sink::config::{InsertMode, SinkConfig};
use crate::sink::mapping::shape::RecordShape;

/// Returns the wider columns that the schemas of a shape need.
pub(crate) fn by_shape(
    config: &SinkConfig,
    writing: &WriteDialect,
    meta: &TableMeta,
    shape: &RecordShape,
) -> Vec<ColumnWidening> {
    let mut out = Vec::new();
    for column in &shape.columns {
        let Some(known) = meta.column(&column.name) else {
            continue;
        };
        let instant = !column.key && config.time.fields.contains(&*column.field);
        let ty = if instant {
            None
        } else {
            wider(writing, known, &column.schema)
        };
        let nullable = !column.key && column.schema.optional && loosens(writing, known);
        if ty.is_some() || nullable {
            out.push(ColumnWidening {
                column: known.clone(),
                ty,
                nullable,
            });
        }
    }
    // a field that records no longer have is NULL from now on
    if !shape.tombstone && config.insert_mode != InsertMode::Update {
        let filled = |known: &ColumnMeta| {
            shape.columns.iter().any(|column| {
                meta.column(&column.name)
                    .is_some_and(|c| c.name == known.name)
            })
        };
        let without = meta
            .columns
            .iter()
            .filter(|known| known.default.is_none() && !filled(known));
        let loosened = without.filter(|known| loosens(writing, known));
        out.extend(loosened.map(|known| ColumnWidening {
            column: known.clone(),
            ty: None,
            nullable: true,
        }));
    }
    out
}

/// Returns a type for a column that does not hold all values of a schema; `None` if it does.
pub(crate) fn wider(writing: &WriteDialect, known: &ColumnMeta, schema: &Schema) -> Option<String> {
    let length = match source_column(schema).map(|source| source.kind) {
        Some(SourceType::Char(length) | SourceType::VarChar(length)) => Some(u64::from(length)),
        _ => None,
    };
    let short = match (writing.columns.capacity(known), length) {
        (Some(ColumnCapacity::Characters(most)), Some(length)) if length > most => Some(length),
        _ => None,
    };
    short
        .and_then(|length| writing.ddl.type_for_length(known, length))
        .or_else(|| writing.ddl.type_for_schema(known, schema))
}

fn loosens(writing: &WriteDialect, known: &ColumnMeta) -> bool {
    let own = known.auto_increment || known.generated || known.key_position.is_some();
    writing.capabilities.drops_not_null && !known.nullable && !own
}

/// Returns the wider columns that values of these lengths need.
pub(crate) fn by_length(
    writing: &WriteDialect,
    meta: &TableMeta,
    lengths: &[(String, u64)],
) -> Vec<ColumnWidening> {
    let change = |(name, length): &(String, u64)| {
        let column = meta.column(name)?;
        let ty = writing.ddl.type_for_length(column, *length)?;
        Some(ColumnWidening {
            column: column.clone(),
            ty: Some(ty),
            nullable: false,
        })
    };
    lengths.iter().filter_map(change).collect()
}
