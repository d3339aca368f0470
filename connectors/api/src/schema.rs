//! Schemas: the type and meaning of a value. Shared as `Arc<Schema>` and compared by pointer first.

use std::sync::Arc;

use crate::Value;

/// Names of Connect's logical types.
pub mod logical {
    /// Decimal: BYTES, parameter `scale`.
    pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
    /// Date: INT32, days since 1970-01-01.
    pub const DATE: &str = "org.apache.kafka.connect.data.Date";
    /// Time: INT32, milliseconds of the day.
    pub const TIME: &str = "org.apache.kafka.connect.data.Time";
    /// Timestamp: INT64, milliseconds since 1970-01-01 UTC.
    pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
    /// Parameter of Decimal: number of digits after the decimal point.
    pub const SCALE: &str = "scale";
    /// Parameter of Decimal that the JDBC source adds: total number of digits.
    pub const PRECISION: &str = "connect.decimal.precision";
    /// Prefixes of the parameters that describe a field's column in its source: Debezium's, and
    /// Rowferry's own. Converters keep them even where a format has no room for parameters.
    pub const COLUMN_PARAMETERS: [&str; 2] = ["__debezium.source.column.", "rowferry.source."];
}

/// The physical type (`org.apache.kafka.connect.data.Schema.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are Connect's own names")]
pub enum SchemaType {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array,
    Map,
    Struct,
}

impl SchemaType {
    /// Returns the upper-case name that Connect uses in texts, such as `INT64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float32 => "FLOAT32",
            Self::Float64 => "FLOAT64",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Array => "ARRAY",
            Self::Map => "MAP",
            Self::Struct => "STRUCT",
        }
    }
}

/// A member of a struct schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name of the field.
    pub name: Arc<str>,
    /// Schema of the field's value.
    pub schema: Arc<Schema>,
}

/// The type of a value: physical type, logical name, nullability and more (Connect's
/// `ConnectSchema`).
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Physical type.
    pub ty: SchemaType,
    /// True if null is allowed.
    pub optional: bool,
    /// Logical name, or the name of a struct.
    pub name: Option<Arc<str>>,
    /// Schema version; 1 for Connect's logical types.
    pub version: Option<i32>,
    /// Documentation text.
    pub doc: Option<Arc<str>>,
    /// Parameters (name and value), in order.
    pub params: Box<[(Arc<str>, Arc<str>)]>,
    /// Default that replaces a missing value.
    pub default: Option<Value>,
    /// Fields of a struct; empty for other types.
    pub fields: Box<[Field]>,
    /// Schema of a map's keys.
    pub keys: Option<Arc<Schema>>,
    /// Schema of a map's values or an array's items. `None` for an array whose items are unknown
    /// (headers only).
    pub values: Option<Arc<Schema>>,
}

impl Schema {
    /// Creates a required schema of type `ty` with nothing else set.
    pub fn of(ty: SchemaType) -> Self {
        Self {
            ty,
            optional: false,
            name: None,
            version: None,
            doc: None,
            params: Box::default(),
            default: None,
            fields: Box::default(),
            keys: None,
            values: None,
        }
    }

    /// Creates Connect's logical Decimal with `scale` digits after the decimal point.
    pub fn decimal(scale: i32) -> Self {
        Self::logical(SchemaType::Bytes, logical::DECIMAL).param(logical::SCALE, &scale.to_string())
    }

    /// Creates Connect's logical Date.
    pub fn date() -> Self {
        Self::logical(SchemaType::Int32, logical::DATE)
    }

    /// Creates Connect's logical Time.
    pub fn time() -> Self {
        Self::logical(SchemaType::Int32, logical::TIME)
    }

    /// Creates Connect's logical Timestamp.
    pub fn timestamp() -> Self {
        Self::logical(SchemaType::Int64, logical::TIMESTAMP)
    }

    /// Creates a required struct schema with these fields, in order.
    pub fn structure(name: Option<&str>, fields: Vec<Field>) -> Self {
        Self {
            name: name.map(Arc::from),
            fields: fields.into(),
            ..Self::of(SchemaType::Struct)
        }
    }

    /// Creates a required array schema whose items have the schema `items`.
    pub fn array(items: Schema) -> Self {
        Self {
            values: Some(Arc::new(items)),
            ..Self::of(SchemaType::Array)
        }
    }

    /// Creates a required map schema from the schemas of its keys and values.
    pub fn map(keys: Schema, values: Schema) -> Self {
        Self {
            keys: Some(Arc::new(keys)),
            values: Some(Arc::new(values)),
            ..Self::of(SchemaType::Map)
        }
    }

    fn logical(ty: SchemaType, name: &str) -> Self {
        Self {
            name: Some(Arc::from(name)),
            version: Some(1),
            ..Self::of(ty)
        }
    }

    /// Sets whether null is allowed.
    #[must_use]
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// Appends a parameter to the schema.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        let mut params = std::mem::take(&mut self.params).into_vec();
        params.push((Arc::from(name), Arc::from(value)));
        self.params = params.into();
        self
    }

    /// Returns the value of a parameter.
    pub fn get_param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(n, _)| &**n == name)
            .map(|(_, v)| &**v)
    }

    /// True if the schema's logical name is `name`.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Returns the index of the struct field with exactly this name.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| &*f.name == name)
    }
}

impl Field {
    /// Creates a required or optional field, as `schema` says.
    pub fn new(name: impl Into<Arc<str>>, schema: Schema) -> Self {
        Self {
            name: name.into(),
            schema: Arc::new(schema),
        }
    }
}
