//! Values that a change event does not have: where a database's log leaves large values out that a change has not touched,
//! Debezium writes a placeholder in their place (`unavailable.value.placeholder`). Their columns are left out of the row,
//! so that they keep what they hold.

use std::sync::Arc;

use connector_api::{Schema, SchemaType, Value};

/// How many sets of columns are remembered for the rows of one schema.
const RECENT: usize = 32;

/// Whether a value of that schema may be a placeholder.
pub(super) fn may_be(schema: &Schema) -> bool {
    match schema.ty {
        SchemaType::String | SchemaType::Bytes => true,
        SchemaType::Array | SchemaType::Map => schema.values.as_deref().is_some_and(may_be),
        _ => false,
    }
}

/// Whether a value is the placeholder. In an array it is the only item, in a map the only key and value, in bytes its text.
pub(super) fn is(value: &Value, placeholder: &str) -> bool {
    match value {
        Value::Text(text) => &**text == placeholder,
        Value::Bytes(bytes) => **bytes == *placeholder.as_bytes(),
        Value::Array(items) => matches!(&items[..], [one] if is(one, placeholder)),
        Value::Map(members) => matches!(&members[..], [(_, one)] if is(one, placeholder)),
        _ => false,
    }
}

/// Schemas of rows that lack columns: one for each set of them, so that rows alike have their statements in common.
#[derive(Debug, Default)]
pub(super) struct ReducedSchemas(Vec<(Vec<usize>, Arc<Schema>)>);

impl ReducedSchemas {
    /// The schema without these columns, given by their numbers in order.
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
