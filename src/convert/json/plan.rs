//! A schema compiled for the payload: what to do with each value, worked out once, used by both directions.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Schema, Type, logical};

use super::encode::write_text;
use crate::convert::trail::declared;

/// One schema with what follows from it.
pub(super) struct Node {
    pub(super) schema: Arc<Schema>,
    pub(super) kind: Kind,
}

/// What a value is, logical types told apart from plain ones.
pub(super) enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Text,
    Bytes,
    /// With its scale, where the schema has a valid one.
    Decimal(Option<i32>),
    Date,
    Time,
    Timestamp,
    /// `None`: items without a schema.
    Array(Option<Box<Node>>),
    /// A map with text keys: a JSON object. Keys and values.
    Object(Box<(Node, Node)>),
    /// Any other map: a JSON array of pairs.
    Pairs(Box<(Node, Node)>),
    Struct(Members),
}

/// The fields of a struct.
pub(super) struct Members {
    pub(super) list: Box<[Member]>,
    by_name: HashMap<Arc<str>, usize>,
}

/// One field of a struct.
pub(super) struct Member {
    pub(super) name: Arc<str>,
    /// `"name":` as JSON text.
    pub(super) text: Box<[u8]>,
    pub(super) node: Node,
}

impl Members {
    /// The position of the field of that name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl Node {
    /// What its schema declares, for errors.
    pub(super) fn declared(&self) -> &'static str {
        declared(&self.schema)
    }

    /// Compiles a schema.
    pub(super) fn compile(schema: &Arc<Schema>) -> Self {
        Self { schema: Arc::clone(schema), kind: Kind::of(schema) }
    }
}

impl Kind {
    fn of(schema: &Schema) -> Self {
        match schema.name.as_deref() {
            Some(logical::DECIMAL) => {
                return Self::Decimal(schema.get_param(logical::SCALE).and_then(|scale| scale.parse().ok()));
            }
            Some(logical::DATE) => return Self::Date,
            Some(logical::TIME) => return Self::Time,
            Some(logical::TIMESTAMP) => return Self::Timestamp,
            _ => {}
        }
        match schema.ty {
            Type::Int8 => Self::I8,
            Type::Int16 => Self::I16,
            Type::Int32 => Self::I32,
            Type::Int64 => Self::I64,
            Type::Float32 => Self::F32,
            Type::Float64 => Self::F64,
            Type::Boolean => Self::Bool,
            Type::String => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::Array => Self::Array(schema.values.as_ref().map(|items| Box::new(Node::compile(items)))),
            Type::Map => Self::map(schema),
            Type::Struct => Self::Struct(members(schema)),
        }
    }

    fn map(schema: &Schema) -> Self {
        let side = |side: &Option<Arc<Schema>>| {
            let schema = side.clone().unwrap_or_else(|| Arc::new(Schema::of(Type::String).optional(true)));
            Node::compile(&schema)
        };
        let (keys, values) = (side(&schema.keys), side(&schema.values));
        let pair = Box::new((keys, values));
        if pair.0.schema.ty == Type::String { Self::Object(pair) } else { Self::Pairs(pair) }
    }
}

fn members(schema: &Schema) -> Members {
    let member = |field: &connector_api::Field| {
        let mut text = Vec::new();
        write_text(&field.name, &mut text);
        text.push(b':');
        Member { name: Arc::clone(&field.name), text: text.into(), node: Node::compile(&field.schema) }
    };
    let list: Box<[Member]> = schema.fields.iter().map(member).collect();
    let by_name = list.iter().enumerate().map(|(at, member)| (Arc::clone(&member.name), at)).collect();
    Members { list, by_name }
}
