//! Handles rows with values that their column's type cannot hold, by schemas for those records
//! alone. Pure.
//!
//! MariaDB's TIME ranges to ±838 hours, which is no time of day; 2024-02-00 is no date, NaN no
//! decimal. Such a value is carried as text (bits as bytes, a zero date as NULL), in a record whose
//! schema says so. All other records keep their schema.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the plan that it was read by"
)]

use std::sync::Arc;

use connector_api::{Field, Schema, SchemaType, Value};

use crate::source::plan::table::TablePlan;

/// Schema of the record value, and that of its key.
type RecordSchemas = (Arc<Schema>, Option<Arc<Schema>>);

/// Columns of a row that differ, with the type of their values (`None`: NULL).
type RowDifference = Vec<(usize, Option<SchemaType>)>;

/// Finds out-of-range values in the rows of one plan.
#[derive(Debug, Default)]
pub(crate) struct OutOfRangeColumns {
    /// Columns whose type cannot hold every value of the database's type.
    watched: Vec<usize>,
    /// Schemas made so far, by what differs in them.
    known: Vec<(RowDifference, RecordSchemas)>,
    warnings: Vec<String>,
}

impl OutOfRangeColumns {
    /// Watches the columns of that plan.
    pub(crate) fn of(plan: &TablePlan) -> Self {
        let columns = plan.layout.columns.iter().enumerate();
        Self {
            watched: columns
                .filter(|(_, c)| c.may_overflow())
                .map(|(i, _)| i)
                .collect(),
            ..Self::default()
        }
    }

    /// Returns the warnings since the last call: one for each way in which a row differed.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Returns the schemas for a row's record: the plan's, unless one of its values does not fit.
    pub(crate) fn schemas(&mut self, row: &[Value], plan: &TablePlan) -> RecordSchemas {
        let odd = |i: &&usize| !plan.layout.columns[**i].holds(&row[**i]);
        if self.watched.iter().any(|i| odd(&i)) {
            let kind = |i: &usize| (*i, actual(&row[*i]));
            return self.variant(self.watched.iter().filter(odd).map(kind).collect(), plan);
        }
        (
            Arc::clone(&plan.value_schema),
            plan.key.as_ref().map(|(schema, _)| Arc::clone(schema)),
        )
    }

    fn variant(&mut self, odd: RowDifference, plan: &TablePlan) -> RecordSchemas {
        if let Some((_, (value, key))) = self.known.iter().find(|(known, _)| *known == odd) {
            return (Arc::clone(value), key.clone());
        }
        let field = |column: usize, field: &Field| match odd.iter().find(|(i, _)| *i == column) {
            Some((_, Some(ty))) => Field::new(
                Arc::clone(&field.name),
                Schema::of(*ty).optional(field.schema.optional),
            ),
            Some((_, None)) => Field::new(
                Arc::clone(&field.name),
                Schema::clone(&field.schema).optional(true),
            ),
            None => field.clone(),
        };
        let value = plan
            .value_schema
            .fields
            .iter()
            .enumerate()
            .map(|(i, f)| field(i, f))
            .collect();
        let value = Arc::new(Schema::structure(plan.value_schema.name.as_deref(), value));
        let key = plan.key.as_ref().map(|(schema, columns)| {
            let fields = columns
                .iter()
                .zip(&schema.fields)
                .map(|(i, f)| field(*i, f))
                .collect();
            Arc::new(Schema::structure(schema.name.as_deref(), fields))
        });
        for (column, ty) in &odd {
            let (name, as_what) = (
                &plan.layout.columns[*column].name,
                ty.map_or("NULL", SchemaType::name),
            );
            self.warnings.push(format!(
                "column {name} has values that its type in Kafka cannot represent: they are \
                 emitted as {as_what}, and the schema of those records says so"
            ));
        }
        self.known.push((odd, (Arc::clone(&value), key.clone())));
        (value, key)
    }
}

/// Returns the type as which an out-of-range value is carried.
fn actual(value: &Value) -> Option<SchemaType> {
    match value {
        Value::Text(_) => Some(SchemaType::String),
        Value::Bytes(_) => Some(SchemaType::Bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Field, Schema, SchemaType, Value};

    use super::OutOfRangeColumns;
    use crate::dialect::read::{ReadColumn, ValueDecoding};
    use crate::driver::RowLayout;
    use crate::source::config::SourceMode;
    use crate::source::plan::query::QueryShape;
    use crate::source::plan::table::TablePlan;
    use crate::zone::JdbcTimeZone;

    fn plan() -> TablePlan {
        let columns = vec![
            ReadColumn::new("id", false, ValueDecoding::Int(SchemaType::Int32)),
            ReadColumn::new("t", false, ValueDecoding::Time(JdbcTimeZone::default())),
        ];
        let field = |c: &ReadColumn| Field {
            name: Arc::clone(&c.name),
            schema: Arc::clone(&c.schema),
        };
        let fields: Vec<_> = columns.iter().map(field).collect();
        TablePlan {
            layout: RowLayout {
                columns,
                timestamps: vec![],
                by_position: false,
            },
            shape: QueryShape {
                mode: SourceMode::Bulk,
                select: String::new(),
                id: None,
                id_type: String::new(),
                timestamp: None,
                timestamp_type: String::new(),
                key: vec![],
                paged: false,
                suffix: None,
            },
            table_sql: String::new(),
            value_schema: Arc::new(Schema::structure(Some("t"), fields.clone())),
            key: Some((
                Arc::new(Schema::structure(None, vec![fields[1].clone()])),
                vec![1],
            )),
            id: None,
            order: vec![],
            keys: None,
            marker: None,
            timestamp_is_instant: false,
            timestamp_step: 1,
            warnings: vec![],
            values_sql: None,
        }
    }

    #[test]
    fn a_row_out_of_its_types_range_has_a_schema_of_its_own() {
        let plan = plan();
        let mut columns = OutOfRangeColumns::of(&plan);
        let (value, key) = columns.schemas(&[Value::I32(1), Value::I32(1000)], &plan);
        assert!(
            Arc::ptr_eq(&value, &plan.value_schema)
                && Arc::ptr_eq(&key.unwrap(), &plan.key.as_ref().unwrap().0)
        );
        let odd = [Value::I32(2), Value::Text("-01:00:00".into())];
        let (value, key) = columns.schemas(&odd, &plan);
        assert_eq!(*value.fields[1].schema, Schema::of(SchemaType::String));
        assert_eq!(
            (&*value.fields[0].name, value.name.as_deref()),
            ("id", Some("t"))
        );
        assert_eq!(
            *key.unwrap().fields[0].schema,
            Schema::of(SchemaType::String)
        );
        assert!(Arc::ptr_eq(&value, &columns.schemas(&odd, &plan).0));
        let (value, _) = columns.schemas(&[Value::I32(3), Value::Null], &plan);
        assert_eq!(*value.fields[1].schema, Schema::time().optional(true));
        let warnings = columns.warnings();
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0].starts_with("column t has")
                && warnings[0].contains("STRING")
                && columns.warnings().is_empty()
        );
    }
}
