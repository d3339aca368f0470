//! Values that a change event does not contain. If a database's log omits large values that a
//! change did not touch, Debezium writes a placeholder for them (`unavailable.value.placeholder`).
//! Their columns are omitted from the row, so that they keep their stored values.

use std::sync::Arc;

use connector_api::{Schema, SchemaType};

/// Sets of columns that are cached for the rows of one schema.
const RECENT: usize = 32;

/// True if a value of that schema may be a placeholder.
pub(super) fn may_be(schema: &Schema) -> bool {
    match schema.ty {
        SchemaType::String | SchemaType::Bytes => true,
        SchemaType::Array => schema.values.as_deref().is_some_and(|items| {
            may_be(items)
                || matches!(
                    items.ty,
                    SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 | SchemaType::Int64
                )
        }),
        SchemaType::Map => schema.values.as_deref().is_some_and(may_be),
        _ => false,
    }
}

/// Schemas of rows without some columns, one for each set of omitted columns, so that similar rows
/// share their statements.
#[derive(Debug, Default)]
pub(super) struct ReducedSchemas(Vec<(Vec<usize>, Arc<Schema>)>);

impl ReducedSchemas {
    /// Returns the schema without these columns, given by their numbers in order.
    pub(super) fn without(&mut self, whole: &Schema, lacking: Vec<usize>) -> Arc<Schema> {
        if let Some((_, known)) = self.0.iter().find(|(columns, _)| *columns == lacking) {
            return Arc::clone(known);
        }
        let kept = whole
            .fields
            .iter()
            .enumerate()
            .filter(|(at, _)| !lacking.contains(at));
        let fields = kept.map(|(_, field)| field.clone()).collect();
        let schema = Arc::new(Schema {
            fields,
            ..whole.clone()
        });
        if self.0.len() == RECENT {
            self.0.remove(0);
        }
        self.0.push((lacking, Arc::clone(&schema)));
        schema
    }
}
