//! A Connect schema and an Avro schema, compiled together for the payload: what to read and write
//! at each position.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same schema"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Result, Schema, SchemaType, Value, logical};

use super::derive::entry;
use super::names::UNION;
use super::schema::{AvroType, AvroTypeKind};
use super::write::field_name;
use super::{AvroOptions, encode};

/// A position in the data.
pub(super) struct AvroNode {
    pub(super) kind: AvroNodeKind,
    /// In a union: index of the null branch (`null`), and of the value's branch (`branch`).
    pub(super) null: Option<i64>,
    pub(super) branch: Option<i64>,
    /// Value written in place of a null.
    pub(super) default: Option<Value>,
}

pub(super) enum AvroNodeKind {
    Bool,
    /// Any integer, with its type in Connect.
    Integer(SchemaType),
    F32,
    F64,
    Text,
    Bytes,
    Fixed(usize),
    /// Scale, and size if it is a fixed.
    Decimal(i32, Option<usize>),
    Enum(Box<[Box<str>]>, HashMap<Box<str>, i64>),
    Array(Box<AvroNode>),
    /// A map with text keys.
    Map(Box<AvroNode>),
    Entries(Box<(AvroNode, AvroNode)>),
    Struct(Box<[AvroMember]>),
    /// A union of several types, represented by a struct with one member per type: branch index and
    /// node of each member.
    Choice(Box<[(i64, AvroNode)]>),
}

impl AvroNode {
    /// Returns what the schema declares, for error texts.
    pub(super) fn declared(&self) -> &'static str {
        match &self.kind {
            AvroNodeKind::Bool => "BOOLEAN",
            AvroNodeKind::Integer(ty) => ty.name(),
            AvroNodeKind::F32 => "FLOAT32",
            AvroNodeKind::F64 => "FLOAT64",
            AvroNodeKind::Text => "STRING",
            AvroNodeKind::Bytes => "BYTES",
            AvroNodeKind::Fixed(_) => "BYTES of one length (fixed)",
            AvroNodeKind::Decimal(..) => "Decimal",
            AvroNodeKind::Enum(..) => "an enum",
            AvroNodeKind::Array(_) => "ARRAY",
            AvroNodeKind::Map(_) | AvroNodeKind::Entries(_) => "MAP",
            AvroNodeKind::Struct(_) => "STRUCT",
            AvroNodeKind::Choice(_) => "a union",
        }
    }
}

/// A field of an Avro record.
pub(super) enum AvroMember {
    /// Index, name and node of the struct member that it is written from.
    Of(usize, Arc<str>, AvroNode),
    /// The encoded default: the struct has no such member.
    Fixed(Box<[u8]>),
}

fn scale_of(schema: &Schema) -> Option<i32> {
    schema.get_param(logical::SCALE)?.parse().ok()
}

/// Matches a Connect schema with an Avro schema.
/// Errors: `Record` if they do not fit.
pub(super) fn compile(
    schema: &Arc<Schema>,
    avro: &AvroType,
    options: &AvroOptions,
) -> Result<AvroNode> {
    if let AvroTypeKind::Union(branches) = &avro.kind {
        return union(schema, branches, options);
    }
    let no_fit = || {
        let (ours, theirs) = (schema.ty.name(), avro.branch_name());
        Error::record(format!("{ours} does not fit the Avro type {theirs}"))
    };
    let decimal = schema.is_named(logical::DECIMAL);
    let scale = || scale_of(schema).ok_or_else(no_fit);
    let values_of = |avro: &AvroType| {
        let values = schema.values.as_ref().ok_or_else(no_fit)?;
        Ok::<_, Error>(Box::new(compile(values, avro, options)?))
    };
    let kind = match (schema.ty, &avro.kind) {
        (SchemaType::Boolean, AvroTypeKind::Boolean) => AvroNodeKind::Bool,
        (
            SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32,
            AvroTypeKind::Int | AvroTypeKind::Long,
        )
        | (SchemaType::Int64, AvroTypeKind::Long) => AvroNodeKind::Integer(schema.ty),
        (SchemaType::Float32, AvroTypeKind::Float) => AvroNodeKind::F32,
        (SchemaType::Float32 | SchemaType::Float64, AvroTypeKind::Double) => AvroNodeKind::F64,
        (SchemaType::String, AvroTypeKind::String) => AvroNodeKind::Text,
        (SchemaType::String, AvroTypeKind::Enum(_, symbols)) => {
            let numbers = symbols.iter().cloned().zip(0..).collect();
            AvroNodeKind::Enum(symbols.clone().into(), numbers)
        }
        (SchemaType::Bytes, AvroTypeKind::Bytes) if decimal => {
            AvroNodeKind::Decimal(scale()?, None)
        }
        (SchemaType::Bytes, AvroTypeKind::Fixed(_, size)) if decimal => {
            AvroNodeKind::Decimal(scale()?, Some(*size))
        }
        (SchemaType::Bytes, AvroTypeKind::Bytes) => AvroNodeKind::Bytes,
        (SchemaType::Bytes, AvroTypeKind::Fixed(_, size)) => AvroNodeKind::Fixed(*size),
        (SchemaType::Array, AvroTypeKind::Array(items)) => AvroNodeKind::Array(values_of(items)?),
        (SchemaType::Map, AvroTypeKind::Map(values)) => AvroNodeKind::Map(values_of(values)?),
        (SchemaType::Map, AvroTypeKind::Array(items)) => {
            let (key, value) = entry(items).ok_or_else(no_fit)?;
            let keys = schema.keys.as_ref().ok_or_else(no_fit)?;
            let pair = (compile(keys, key, options)?, *values_of(value)?);
            AvroNodeKind::Entries(Box::new(pair))
        }
        (SchemaType::Struct, AvroTypeKind::Record(_, fields)) => {
            AvroNodeKind::Struct(members(schema, fields, options)?)
        }
        _ => return Err(no_fit()),
    };
    Ok(AvroNode {
        kind,
        null: None,
        branch: None,
        default: schema.default.clone().filter(|d| !d.is_null()),
    })
}

fn members(
    schema: &Schema,
    fields: &[super::schema::AvroField],
    options: &AvroOptions,
) -> Result<Box<[AvroMember]>> {
    let mut at = HashMap::with_capacity(schema.fields.len());
    for (number, field) in schema.fields.iter().enumerate() {
        at.insert(field_name(&field.name, options)?.into_owned(), number);
    }
    let member = |field: &super::schema::AvroField| {
        let named = |e: Error| e.context(format_args!("field {}", field.name));
        if let Some(at) = at.remove(&field.name) {
            let of = &schema.fields[at];
            return Ok(AvroMember::Of(
                at,
                Arc::clone(&of.name),
                compile(&of.schema, &field.ty, options).map_err(named)?,
            ));
        }
        let default = field.default.as_ref().ok_or_else(|| {
            Error::record(format!(
                "the schema needs field {}, which the record does not have",
                field.name
            ))
        })?;
        let bytes = encode::default(default, &field.ty).map_err(named)?;
        Ok(AvroMember::Fixed(bytes.into()))
    };
    let members = fields.iter().map(member).collect::<Result<Box<[_]>>>()?;
    match at.keys().min() {
        Some(left) => Err(Error::record(format!(
            "the schema has no field {left}, which the record has"
        ))),
        None => Ok(members),
    }
}

fn union(
    schema: &Arc<Schema>,
    branches: &[Arc<AvroType>],
    options: &AvroOptions,
) -> Result<AvroNode> {
    let numbered = || (0i64..).zip(branches);
    let null = numbered()
        .find(|(_, branch)| branch.is_null())
        .map(|(at, _)| at);
    let others = || numbered().filter(|(_, branch)| !branch.is_null());
    if schema.is_named(UNION) {
        let choices = schema.fields.iter().map(|field| {
            let found = others().find(|(_, branch)| branch.branch_name() == &*field.name);
            let (at, branch) = found
                .ok_or_else(|| Error::record(format!("the union has no branch {}", field.name)))?;
            Ok((at, compile(&field.schema, branch, options)?))
        });
        let kind = AvroNodeKind::Choice(choices.collect::<Result<_>>()?);
        return Ok(AvroNode {
            kind,
            null,
            branch: None,
            default: None,
        });
    }
    let mut wrong = None;
    for (at, branch) in others() {
        match compile(schema, branch, options) {
            Ok(node) => {
                return Ok(AvroNode {
                    null,
                    branch: Some(at),
                    ..node
                });
            }
            Err(error) => wrong = Some(error),
        }
    }
    Err(wrong.unwrap_or_else(|| Error::record("a union of null alone has no counterpart")))
}
