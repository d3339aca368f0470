//! A schema compiled for the payload: how to process each value, computed once and used in both
//! directions.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Schema, SchemaType, logical};

use super::encode::write_text;
use crate::convert::trail::declared;
pub(super) struct JsonNode {
    pub(super) schema: Arc<Schema>,
    pub(super) kind: JsonNodeKind,
}

/// The kind of a value, with logical types distinguished from plain ones.
pub(super) enum JsonNodeKind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Text,
    Bytes,
    /// The scale; `None` if the schema has no valid one.
    Decimal(Option<i32>),
    Date,
    Time,
    Timestamp,
    /// The items; `None` if they have no schema.
    Array(Option<Box<JsonNode>>),
    /// A map with text keys, written as a JSON object: its keys and values.
    Object(Box<(JsonNode, JsonNode)>),
    /// Any other map, written as a JSON array of pairs.
    Pairs(Box<(JsonNode, JsonNode)>),
    Struct(StructMembers),
}

/// The fields of a struct.
pub(super) struct StructMembers {
    pub(super) list: Box<[StructMember]>,
    by_name: HashMap<Arc<str>, usize>,
}

pub(super) struct StructMember {
    pub(super) name: Arc<str>,
    /// `"name":` as JSON text.
    pub(super) text: Box<[u8]>,
    pub(super) node: JsonNode,
}

impl StructMembers {
    /// Returns the position of a field.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl JsonNode {
    /// Returns what the schema declares, for error texts.
    pub(super) fn declared(&self) -> &'static str {
        declared(&self.schema)
    }

    pub(super) fn compile(schema: &Arc<Schema>) -> Self {
        Self {
            schema: Arc::clone(schema),
            kind: JsonNodeKind::of(schema),
        }
    }
}

impl JsonNodeKind {
    fn of(schema: &Schema) -> Self {
        match schema.name.as_deref() {
            Some(logical::DECIMAL) => {
                return Self::Decimal(
                    schema
                        .get_param(logical::SCALE)
                        .and_then(|scale| scale.parse().ok()),
                );
            }
            Some(logical::DATE) => return Self::Date,
            Some(logical::TIME) => return Self::Time,
            Some(logical::TIMESTAMP) => return Self::Timestamp,
            _ => {}
        }
        match schema.ty {
            SchemaType::Int8 => Self::I8,
            SchemaType::Int16 => Self::I16,
            SchemaType::Int32 => Self::I32,
            SchemaType::Int64 => Self::I64,
            SchemaType::Float32 => Self::F32,
            SchemaType::Float64 => Self::F64,
            SchemaType::Boolean => Self::Bool,
            SchemaType::String => Self::Text,
            SchemaType::Bytes => Self::Bytes,
            SchemaType::Array => Self::Array(
                schema
                    .values
                    .as_ref()
                    .map(|items| Box::new(JsonNode::compile(items))),
            ),
            SchemaType::Map => Self::map(schema),
            SchemaType::Struct => Self::Struct(members(schema)),
        }
    }

    fn map(schema: &Schema) -> Self {
        let side = |side: &Option<Arc<Schema>>| {
            let schema = side
                .clone()
                .unwrap_or_else(|| Arc::new(Schema::of(SchemaType::String).optional(true)));
            JsonNode::compile(&schema)
        };
        let (keys, values) = (side(&schema.keys), side(&schema.values));
        let pair = Box::new((keys, values));
        if pair.0.schema.ty == SchemaType::String {
            Self::Object(pair)
        } else {
            Self::Pairs(pair)
        }
    }
}

fn members(schema: &Schema) -> StructMembers {
    let member = |field: &connector_api::Field| {
        let mut text = Vec::new();
        write_text(&field.name, &mut text);
        text.push(b':');
        StructMember {
            name: Arc::clone(&field.name),
            text: text.into(),
            node: JsonNode::compile(&field.schema),
        }
    };
    let list: Box<[StructMember]> = schema.fields.iter().map(member).collect();
    let by_name = list
        .iter()
        .enumerate()
        .map(|(at, member)| (Arc::clone(&member.name), at))
        .collect();
    StructMembers { list, by_name }
}
