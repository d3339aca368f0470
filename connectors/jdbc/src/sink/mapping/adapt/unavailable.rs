//! Values that a change event does not contain. If a database's log omits large values that a
//! change did not touch, Debezium writes a placeholder for them (`unavailable.value.placeholder`).
//! Their columns are omitted from the row, so that they keep their stored values.

use std::sync::Arc;

use connector_api::{Schema, SchemaType, Value};

/// Sets of columns that are cached for the rows of one schema.
const RECENT: usize = 32;

/// True if a value of that schema may be a placeholder.
pub(super) fn may_be(schema: &Schema) -> bool {
    match schema.ty {
        SchemaType::String | SchemaType::Bytes => true,
        SchemaType::Array | SchemaType::Map => schema.values.as_deref().is_some_and(may_be),
        _ => false,
    }
}

/// True if a value is the placeholder: in an array the only item, in a map the only key and value,
/// in bytes the text.
pub(super) fn is(value: &Value, placeholder: &str) -> bool {
    match value {
        Value::Text(text) => &**text == placeholder,
        Value::Bytes(bytes) => **bytes == *placeholder.as_bytes(),
        Value::Array(items) => matches!(&items[..], [one] if is(one, placeholder)),
        Value::Map(members) => matches!(&members[..], [(_, one)] if is(one, placeholder)),
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
