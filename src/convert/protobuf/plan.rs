//! A Connect schema and a Protobuf message, compiled together for the payload: what to read and
//! write at each position.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same schema"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Result, Schema, SchemaType, Value, logical};
use prost_reflect::{FieldDescriptor, Kind as Of, MessageDescriptor};

use super::ProtobufOptions;
use super::derive::{oneof, union_field};
use super::names::{DATE, DECIMAL, TIME, TIMESTAMP, is_wrapper};
use super::write::field_name;
use crate::convert::limits::units;

/// A message matched with a struct.
pub(super) struct ProtobufMessage {
    /// The fields, in the order of their numbers.
    pub(super) fields: Box<[ProtobufField]>,
    /// The value of each struct member whose field is missing; lists and maps start empty.
    pub(super) missing: Box<[Value]>,
    /// Members that represent a oneof, each with its number of branches.
    pub(super) unions: Box<[(usize, usize)]>,
    /// The number of values that an empty message counts for.
    pub(super) size: usize,
}

/// A field of a message.
pub(super) struct ProtobufField {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    /// Index of the struct member; if that represents a oneof, `branch` is the index within it.
    pub(super) at: usize,
    pub(super) branch: Option<usize>,
    pub(super) shape: FieldShape,
    pub(super) kind: ProtobufKind,
    /// True if a missing field differs from one that is zero or empty.
    pub(super) presence: bool,
    /// Value written in place of a null.
    pub(super) default: Option<Value>,
}

/// How often a field holds a value.
pub(super) enum FieldShape {
    One,
    /// True if numbers are packed.
    List(bool),
    /// The kind of the keys.
    Map(Box<ProtobufKind>),
}

/// The kind of one value.
pub(super) enum ProtobufKind {
    /// Encoding, and integer type in Connect.
    Number(IntegerEncoding, SchemaType),
    Float,
    Double,
    Bool,
    Text,
    Bytes,
    /// Names and numbers; the first one is the value of a missing field.
    Enum(Box<[(Box<str>, i32)]>),
    /// The scale.
    Decimal(i32),
    Date,
    Time,
    Timestamp,
    /// A message that wraps one value.
    Wrapper(Box<ProtobufKind>),
    Message(Box<ProtobufMessage>),
}

impl ProtobufField {
    /// Returns what the schema declares, for error texts.
    pub(super) fn declared(&self) -> &'static str {
        match self.shape {
            FieldShape::One => self.kind.declared(),
            FieldShape::List(_) => "ARRAY",
            FieldShape::Map(_) => "MAP",
        }
    }
}

impl ProtobufKind {
    /// Returns what the schema declares for one value, for error texts.
    pub(super) fn declared(&self) -> &'static str {
        match self {
            Self::Number(_, ty) => ty.name(),
            Self::Float => "FLOAT32",
            Self::Double => "FLOAT64",
            Self::Bool => "BOOLEAN",
            Self::Text => "STRING",
            Self::Bytes => "BYTES",
            Self::Enum(_) => "an enum",
            Self::Decimal(_) => "Decimal",
            Self::Date => "Date",
            Self::Time => "Time",
            Self::Timestamp => "Timestamp",
            Self::Wrapper(kind) => kind.declared(),
            Self::Message(_) => "STRUCT",
        }
    }
}

/// The encoding of an integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IntegerEncoding {
    /// int32, int64, and enums that are read as numbers.
    Plain,
    Unsigned,
    ZigZag,
    Fixed32 {
        signed: bool,
    },
    Fixed64 {
        signed: bool,
    },
}

/// Matches a struct with a message.
/// Errors: `Record` if they do not fit.
pub(super) fn compile(
    schema: &Schema,
    message: &MessageDescriptor,
    options: &ProtobufOptions,
) -> Result<ProtobufMessage> {
    let mut places = HashMap::new();
    for (at, field) in schema.fields.iter().enumerate() {
        places.insert(field_name(&field.name, options)?.into_owned(), (at, field));
    }
    let mut used = vec![false; schema.fields.len()];
    let mut fields = Vec::new();
    let mut missing: Vec<Value> = schema.fields.iter().map(|_| Value::Null).collect();
    let mut unions = Vec::new();
    for field in message.fields() {
        let union =
            oneof(&field).and_then(|oneof| places.get(union_field(&oneof).as_str()).copied());
        let place = match union {
            Some((at, of)) => {
                let branches = of.schema.fields.iter().enumerate();
                let mut named = branches.filter(|(_, branch)| {
                    field_name(&branch.name, options).is_ok_and(|n| n == field.name())
                });
                named.next().map(|(branch, of)| (at, Some(branch), of))
            }
            None => places.get(field.name()).map(|(at, of)| (*at, None, *of)),
        };
        let Some((at, branch, of)) = place else {
            continue;
        };
        used[at] = true;
        if let Some((at, of)) = union
            && !unions.contains(&(at, of.schema.fields.len()))
        {
            unions.push((at, of.schema.fields.len()));
        }
        let compiled = compile_field(&field, &of.schema, options);
        let compiled = compiled.map_err(|e| e.context(format_args!("field {}", of.name)))?;
        let compiled = ProtobufField {
            name: Arc::clone(&of.name),
            at,
            branch,
            ..compiled
        };
        if branch.is_none() && !compiled.presence && matches!(compiled.shape, FieldShape::One) {
            missing[at] = zero(&compiled.kind);
        }
        fields.push(compiled);
    }
    if let Some((_, left)) = used.iter().zip(&schema.fields).find(|(used, _)| !**used) {
        return Err(Error::record(format!(
            "the schema has no field {}, which the record has",
            left.name
        )));
    }
    fields.sort_by_key(|field| field.number);
    let branches: usize = unions.iter().map(|(_, branches)| branches).sum();
    let size = branches + units(missing.iter().map(Value::weight).sum());
    Ok(ProtobufMessage {
        fields: fields.into(),
        missing: missing.into(),
        unions: unions.into(),
        size,
    })
}

fn compile_field(
    field: &FieldDescriptor,
    schema: &Arc<Schema>,
    options: &ProtobufOptions,
) -> Result<ProtobufField> {
    let no_fit = || {
        Error::record(format!(
            "{} does not fit the field of the message",
            schema.ty.name()
        ))
    };
    let (shape, kind) = if field.is_map() {
        let Of::Message(entry) = field.kind() else {
            return Err(no_fit());
        };
        let (keys, values) = schema
            .keys
            .as_ref()
            .zip(schema.values.as_ref())
            .ok_or_else(no_fit)?;
        let keys = one(&entry.map_entry_key_field(), keys, options)?;
        (
            FieldShape::Map(Box::new(keys)),
            one(&entry.map_entry_value_field(), values, options)?,
        )
    } else if field.is_list() {
        if schema.ty != SchemaType::Array {
            return Err(no_fit());
        }
        (
            FieldShape::List(field.is_packed()),
            one(field, schema.values.as_ref().ok_or_else(no_fit)?, options)?,
        )
    } else {
        (FieldShape::One, one(field, schema, options)?)
    };
    let default = schema.default.clone().filter(|default| !default.is_null());
    let presence = field.supports_presence();
    Ok(ProtobufField {
        name: Arc::from(""),
        number: field.number(),
        at: 0,
        branch: None,
        shape,
        kind,
        presence,
        default,
    })
}

fn one(
    field: &FieldDescriptor,
    schema: &Arc<Schema>,
    options: &ProtobufOptions,
) -> Result<ProtobufKind> {
    let no_fit = || {
        Error::record(format!(
            "{} does not fit the Protobuf type of {}",
            schema.ty.name(),
            field.name()
        ))
    };
    let narrow = matches!(
        schema.ty,
        SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32
    );
    let long = narrow || schema.ty == SchemaType::Int64;
    Ok(match (field.kind(), schema.ty) {
        (Of::Int32, ty) if narrow => ProtobufKind::Number(IntegerEncoding::Plain, ty),
        (Of::Int64, ty) if long => ProtobufKind::Number(IntegerEncoding::Plain, ty),
        (Of::Sint32, ty) if narrow => ProtobufKind::Number(IntegerEncoding::ZigZag, ty),
        (Of::Sint64, ty) if long => ProtobufKind::Number(IntegerEncoding::ZigZag, ty),
        (Of::Uint32 | Of::Uint64, ty) if long => {
            ProtobufKind::Number(IntegerEncoding::Unsigned, ty)
        }
        (Of::Fixed32, ty) if long => {
            ProtobufKind::Number(IntegerEncoding::Fixed32 { signed: false }, ty)
        }
        (Of::Sfixed32, ty) if narrow => {
            ProtobufKind::Number(IntegerEncoding::Fixed32 { signed: true }, ty)
        }
        (Of::Fixed64, ty) if long => {
            ProtobufKind::Number(IntegerEncoding::Fixed64 { signed: false }, ty)
        }
        (Of::Sfixed64, ty) if long => {
            ProtobufKind::Number(IntegerEncoding::Fixed64 { signed: true }, ty)
        }
        (Of::Float, SchemaType::Float32) => ProtobufKind::Float,
        (Of::Double, SchemaType::Float64 | SchemaType::Float32) => ProtobufKind::Double,
        (Of::Bool, SchemaType::Boolean) => ProtobufKind::Bool,
        (Of::String, SchemaType::String) => ProtobufKind::Text,
        (Of::Bytes, SchemaType::Bytes) if !schema.is_named(logical::DECIMAL) => ProtobufKind::Bytes,
        (Of::Enum(_), SchemaType::Int32) => {
            ProtobufKind::Number(IntegerEncoding::Plain, SchemaType::Int32)
        }
        (Of::Enum(of), SchemaType::String) => ProtobufKind::Enum(
            of.values()
                .map(|value| (Box::from(value.name()), value.number()))
                .collect(),
        ),
        (Of::Message(message), _) => message_kind(&message, schema, options)?.ok_or_else(no_fit)?,
        _ => return Err(no_fit()),
    })
}

/// What a field of a message type holds; `None` if the schema does not fit it.
fn message_kind(
    message: &MessageDescriptor,
    schema: &Arc<Schema>,
    options: &ProtobufOptions,
) -> Result<Option<ProtobufKind>> {
    Ok(match (message.full_name(), schema.name.as_deref()) {
        (DECIMAL, Some(logical::DECIMAL)) => {
            let scale = schema.get_param(logical::SCALE);
            scale
                .and_then(|scale| scale.parse().ok())
                .map(ProtobufKind::Decimal)
        }
        (DATE, Some(logical::DATE)) => Some(ProtobufKind::Date),
        (TIME, Some(logical::TIME)) => Some(ProtobufKind::Time),
        (TIMESTAMP, Some(logical::TIMESTAMP)) => Some(ProtobufKind::Timestamp),
        (name, _) if is_wrapper(name) => match message.get_field(1) {
            Some(wrapped) => Some(ProtobufKind::Wrapper(Box::new(one(
                &wrapped, schema, options,
            )?))),
            None => None,
        },
        _ if schema.ty == SchemaType::Struct => Some(ProtobufKind::Message(Box::new(compile(
            schema, message, options,
        )?))),
        _ => None,
    })
}

/// Returns the value of a missing field without presence.
pub(super) fn zero(kind: &ProtobufKind) -> Value {
    match kind {
        ProtobufKind::Number(_, SchemaType::Int8) => Value::I8(0),
        ProtobufKind::Number(_, SchemaType::Int16) => Value::I16(0),
        ProtobufKind::Number(_, SchemaType::Int32) => Value::I32(0),
        ProtobufKind::Number(..) => Value::I64(0),
        ProtobufKind::Float => Value::F32(0.0),
        ProtobufKind::Double => Value::F64(0.0),
        ProtobufKind::Bool => Value::Bool(false),
        ProtobufKind::Text => Value::Text("".into()),
        ProtobufKind::Bytes => Value::Bytes([].into()),
        ProtobufKind::Enum(symbols) => {
            let none = symbols
                .iter()
                .find(|(_, number)| *number == 0)
                .or(symbols.first());
            none.map_or(Value::Null, |(name, _)| Value::Text(name.clone()))
        }
        _ => Value::Null,
    }
}
