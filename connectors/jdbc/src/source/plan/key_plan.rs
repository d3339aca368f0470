//! Plans how the primary key of a table is read on its own, and how its values are kept as text.
//! Pure.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use connector_api::{Decimal, Error, Schema, SchemaType, Value, logical};
use serde_json::Value as Json;

use super::key_set::RowKey;
use crate::dialect::read::{ReadColumn, ValueDecoding, int_value};
use crate::driver::RowLayout;

/// The plan for reading the primary key of one table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyPlan {
    /// The table's name, for messages.
    pub table: String,
    /// `SELECT … FROM …`
    pub select: String,
    /// The key's columns in SQL, each with its type.
    pub columns: Vec<(String, String)>,
    pub layout: RowLayout,
    /// Schema of the record keys.
    pub schema: Arc<Schema>,
    /// True if the key is a single integer.
    pub numbers: bool,
    /// Distinguishes this key from earlier primary keys of the table.
    pub name: String,
}

impl KeyPlan {
    /// Plans a key of these columns.
    pub(crate) fn new(
        table: String,
        select: String,
        columns: Vec<(String, String)>,
        reads: Vec<ReadColumn>,
        schema: Arc<Schema>,
    ) -> Self {
        let numbers =
            matches!(reads.as_slice(), [one] if matches!(one.read, ValueDecoding::Int(_)));
        let names: Vec<_> = reads.iter().map(|read| &*read.name).collect();
        let name = format!("{}{}", if numbers { "#" } else { "" }, names.join(","));
        Self {
            table,
            select,
            columns,
            layout: RowLayout {
                columns: reads,
                timestamps: Vec::new(),
                by_position: false,
            },
            schema,
            numbers,
            name,
        }
    }

    /// Returns the key of these values. `None` if one of them is NULL, or cannot be stored.
    pub(crate) fn key(&self, values: &[Value]) -> Option<RowKey> {
        if let (true, [value]) = (self.numbers, values) {
            return value.as_i64().map(RowKey::Id);
        }
        let items = values.iter().map(json).collect::<Option<_>>()?;
        Some(RowKey::Text(Json::Array(items).to_string().into()))
    }

    /// Returns the values of a key. `None` if it belongs to another primary key.
    pub(crate) fn values(&self, key: &RowKey) -> Option<Box<[Value]>> {
        let columns = &self.layout.columns;
        match key {
            RowKey::Id(id) => Some([int_value(*id, columns.first()?.schema.ty)?].into()),
            RowKey::Text(text) => {
                let items: Vec<Json> = serde_json::from_str(text).ok()?;
                let fits = items.len() == columns.len();
                let values = items
                    .into_iter()
                    .zip(columns)
                    .map(|(item, column)| value(item, &column.schema));
                values.collect::<Option<_>>().filter(|_| fits)
            }
        }
    }

    /// Returns the error for a key that [`Self::key`] or [`Self::values`] cannot convert.
    pub(crate) fn unstorable(&self) -> Error {
        Error::config(format!(
            "a primary key of {} is NULL or does not have its column's type, so its deletion could \
             not be emitted (delete.capture): correct the row, or set delete.capture=none",
            self.table
        ))
    }

    /// Returns a plan for a single numeric column of that name.
    #[cfg(test)]
    pub(crate) fn numbered(name: &str) -> Self {
        let schema = Arc::new(Schema::structure(None, vec![]));
        let read = ReadColumn::new(name, false, ValueDecoding::Int(SchemaType::Int64));
        Self::new("t".into(), String::new(), vec![], vec![read], schema)
    }
}

fn json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Bool(v) => Json::Bool(*v),
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => Json::from(value.as_i64()?),
        Value::Text(text) => Json::from(&**text),
        Value::Decimal(decimal) => Json::from(decimal.to_string()),
        Value::Bytes(bytes) => Json::from(BASE64_STANDARD.encode(bytes)),
        _ => return None,
    })
}

fn value(item: Json, schema: &Schema) -> Option<Value> {
    match (item, schema.ty) {
        (Json::Bool(v), SchemaType::Boolean) => Some(Value::Bool(v)),
        (
            Json::Number(n),
            SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 | SchemaType::Int64,
        ) => int_value(n.as_i64()?, schema.ty),
        (Json::String(text), SchemaType::String) => Some(Value::Text(text.into())),
        (Json::String(text), SchemaType::Bytes) if schema.is_named(logical::DECIMAL) => {
            Decimal::parse(&text).map(|decimal| Value::Decimal(Box::new(decimal)))
        }
        (Json::String(text), SchemaType::Bytes) => {
            Some(Value::Bytes(BASE64_STANDARD.decode(text).ok()?.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Decimal, Schema, SchemaType, Value};

    use super::{KeyPlan, ReadColumn};
    use crate::dialect::read::ValueDecoding;

    #[test]
    fn keys_of_every_kind_are_kept_as_texts() {
        let read = |name: &str, read: ValueDecoding| ReadColumn::new(name, false, read);
        let reads = vec![
            read("n", ValueDecoding::Int(SchemaType::Int16)),
            read("t", ValueDecoding::Text),
            ReadColumn::decimal("d", false, 9, 2),
            read("b", ValueDecoding::Bytes),
        ];
        let plan = KeyPlan::new(
            "t".into(),
            String::new(),
            vec![],
            reads,
            Arc::new(Schema::structure(None, vec![])),
        );
        let values = [
            Value::I16(-3),
            Value::Text("a\"b".into()),
            Value::Decimal(Box::new(Decimal::new(150, 2))),
            Value::Bytes([0, 255].into()),
        ];
        let key = plan.key(&values).unwrap();
        assert_eq!(key.write(), r#"[-3,"a\"b","1.50","AP8="]"#);
        assert_eq!(plan.values(&key).as_deref(), Some(&values[..]));
        assert_eq!(plan.name, "n,t,d,b");
        let with_null = [
            Value::Null,
            values[1].clone(),
            values[2].clone(),
            values[3].clone(),
        ];
        assert_eq!(plan.key(&with_null), None);
        assert_eq!(plan.key(&[Value::F64(1.0)]), None);
    }
}
