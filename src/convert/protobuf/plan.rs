//! A Connect schema beside a Protobuf message, compiled for the payload: what is written and read at each place.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Result, Schema, Type, Value, logical};
use prost_reflect::{FieldDescriptor, Kind as Of, MessageDescriptor};

use super::Options;
use super::derive::{oneof, union_field};
use super::names::{DATE, DECIMAL, TIME, TIMESTAMP, is_wrapper};
use super::write::field_name;
use crate::convert::limits::units;

/// A message beside a struct.
pub(super) struct Message {
    /// In the order of their numbers.
    pub(super) fields: Box<[Field]>,
    /// What each member of the struct is where its field is missing; lists and maps begin empty.
    pub(super) missing: Box<[Value]>,
    /// Members that stand for a oneof, and how many branches it has.
    pub(super) unions: Box<[(usize, usize)]>,
    /// As how many values an empty message counts.
    pub(super) size: usize,
}

/// A field of a message.
pub(super) struct Field {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    /// Which member of the struct it is, and which branch of that where it stands for a oneof.
    pub(super) at: usize,
    pub(super) branch: Option<usize>,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// Whether a missing field differs from one that is zero or empty.
    pub(super) presence: bool,
    /// What is written in place of a null.
    pub(super) default: Option<Value>,
}

/// How often a value stands in a field.
pub(super) enum Shape {
    One,
    /// Whether numbers are packed.
    List(bool),
    /// With the kind of its keys.
    Map(Box<Kind>),
}

/// One value.
pub(super) enum Kind {
    /// How it is written, and its width in Connect.
    Number(Number, Type),
    Float,
    Double,
    Bool,
    Text,
    Bytes,
    /// Names and numbers; the first is that of a missing field.
    Enum(Box<[(Box<str>, i32)]>),
    /// With its scale.
    Decimal(i32),
    Date,
    Time,
    Timestamp,
    /// A message around one value.
    Wrapper(Box<Kind>),
    Message(Box<Message>),
}

impl Field {
    /// What its schema declares, for errors.
    pub(super) fn declared(&self) -> &'static str {
        match self.shape {
            Shape::One => self.kind.declared(),
            Shape::List(_) => "ARRAY",
            Shape::Map(_) => "MAP",
        }
    }
}

impl Kind {
    /// Likewise, of one value.
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

/// How a whole number is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// int32, int64, and enums as numbers.
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

/// Compiles the way between a struct and a message. Errors: `Record` where they do not fit.
pub(super) fn compile(schema: &Schema, message: &MessageDescriptor, options: &Options) -> Result<Message> {
    let mut places = HashMap::new();
    for (at, field) in schema.fields.iter().enumerate() {
        places.insert(field_name(&field.name, options)?.into_owned(), (at, field));
    }
    let mut used = vec![false; schema.fields.len()];
    let mut fields = Vec::new();
    let mut missing: Vec<Value> = schema.fields.iter().map(|_| Value::Null).collect();
    let mut unions = Vec::new();
    for field in message.fields() {
        let union = oneof(&field).and_then(|oneof| places.get(union_field(&oneof).as_str()).copied());
        let place = match union {
            Some((at, of)) => {
                let branches = of.schema.fields.iter().enumerate();
                let mut named =
                    branches.filter(|(_, branch)| field_name(&branch.name, options).is_ok_and(|n| n == field.name()));
                named.next().map(|(branch, of)| (at, Some(branch), of))
            }
            None => places.get(field.name()).map(|(at, of)| (*at, None, *of)),
        };
        let Some((at, branch, of)) = place else { continue };
        used[at] = true;
        if let Some((at, of)) = union
            && !unions.contains(&(at, of.schema.fields.len()))
        {
            unions.push((at, of.schema.fields.len()));
        }
        let compiled = compile_field(&field, &of.schema, options);
        let compiled = compiled.map_err(|e| e.context(format_args!("field {}", of.name)))?;
        let compiled = Field { name: Arc::clone(&of.name), at, branch, ..compiled };
        if branch.is_none() && !compiled.presence && matches!(compiled.shape, Shape::One) {
            missing[at] = zero(&compiled.kind);
        }
        fields.push(compiled);
    }
    if let Some((_, left)) = used.iter().zip(&schema.fields).find(|(used, _)| !**used) {
        return Err(Error::record(format!("the schema has no field {}, which the record has", left.name)));
    }
    fields.sort_by_key(|field| field.number);
    let branches: usize = unions.iter().map(|(_, branches)| branches).sum();
    let size = branches + units(missing.iter().map(Value::weight).sum());
    Ok(Message { fields: fields.into(), missing: missing.into(), unions: unions.into(), size })
}

fn compile_field(field: &FieldDescriptor, schema: &Arc<Schema>, options: &Options) -> Result<Field> {
    let no_fit = || Error::record(format!("{} does not fit the field of the message", schema.ty.name()));
    let (shape, kind) = if field.is_map() {
        let Of::Message(entry) = field.kind() else { return Err(no_fit()) };
        let (keys, values) = schema.keys.as_ref().zip(schema.values.as_ref()).ok_or_else(no_fit)?;
        let keys = one(&entry.map_entry_key_field(), keys, options)?;
        (Shape::Map(Box::new(keys)), one(&entry.map_entry_value_field(), values, options)?)
    } else if field.is_list() {
        if schema.ty != Type::Array {
            return Err(no_fit());
        }
        (Shape::List(field.is_packed()), one(field, schema.values.as_ref().ok_or_else(no_fit)?, options)?)
    } else {
        (Shape::One, one(field, schema, options)?)
    };
    let default = schema.default.clone().filter(|default| !default.is_null());
    let presence = field.supports_presence();
    Ok(Field { name: Arc::from(""), number: field.number(), at: 0, branch: None, shape, kind, presence, default })
}

fn one(field: &FieldDescriptor, schema: &Arc<Schema>, options: &Options) -> Result<Kind> {
    let no_fit = || Error::record(format!("{} does not fit the Protobuf type of {}", schema.ty.name(), field.name()));
    let narrow = matches!(schema.ty, Type::Int8 | Type::Int16 | Type::Int32);
    let long = narrow || schema.ty == Type::Int64;
    Ok(match (field.kind(), schema.ty) {
        (Of::Int32, ty) if narrow => Kind::Number(Number::Plain, ty),
        (Of::Int64, ty) if long => Kind::Number(Number::Plain, ty),
        (Of::Sint32, ty) if narrow => Kind::Number(Number::ZigZag, ty),
        (Of::Sint64, ty) if long => Kind::Number(Number::ZigZag, ty),
        (Of::Uint32 | Of::Uint64, ty) if long => Kind::Number(Number::Unsigned, ty),
        (Of::Fixed32, ty) if long => Kind::Number(Number::Fixed32 { signed: false }, ty),
        (Of::Sfixed32, ty) if narrow => Kind::Number(Number::Fixed32 { signed: true }, ty),
        (Of::Fixed64, ty) if long => Kind::Number(Number::Fixed64 { signed: false }, ty),
        (Of::Sfixed64, ty) if long => Kind::Number(Number::Fixed64 { signed: true }, ty),
        (Of::Float, Type::Float32) => Kind::Float,
        (Of::Double, Type::Float64 | Type::Float32) => Kind::Double,
        (Of::Bool, Type::Boolean) => Kind::Bool,
        (Of::String, Type::String) => Kind::Text,
        (Of::Bytes, Type::Bytes) if !schema.is_named(logical::DECIMAL) => Kind::Bytes,
        (Of::Enum(_), Type::Int32) => Kind::Number(Number::Plain, Type::Int32),
        (Of::Enum(of), Type::String) => {
            Kind::Enum(of.values().map(|value| (Box::from(value.name()), value.number())).collect())
        }
        (Of::Message(message), _) => match (message.full_name(), schema.name.as_deref()) {
            (DECIMAL, Some(logical::DECIMAL)) => {
                let scale = schema.get_param(logical::SCALE).and_then(|scale| scale.parse().ok());
                Kind::Decimal(scale.ok_or_else(no_fit)?)
            }
            (DATE, Some(logical::DATE)) => Kind::Date,
            (TIME, Some(logical::TIME)) => Kind::Time,
            (TIMESTAMP, Some(logical::TIMESTAMP)) => Kind::Timestamp,
            (name, _) if is_wrapper(name) => {
                let wrapped = message.get_field(1).ok_or_else(no_fit)?;
                Kind::Wrapper(Box::new(one(&wrapped, schema, options)?))
            }
            _ if schema.ty == Type::Struct => Kind::Message(Box::new(compile(schema, &message, options)?)),
            _ => return Err(no_fit()),
        },
        _ => return Err(no_fit()),
    })
}

/// What a missing field without presence is.
pub(super) fn zero(kind: &Kind) -> Value {
    match kind {
        Kind::Number(_, Type::Int8) => Value::I8(0),
        Kind::Number(_, Type::Int16) => Value::I16(0),
        Kind::Number(_, Type::Int32) => Value::I32(0),
        Kind::Number(..) => Value::I64(0),
        Kind::Float => Value::F32(0.0),
        Kind::Double => Value::F64(0.0),
        Kind::Bool => Value::Bool(false),
        Kind::Text => Value::Text("".into()),
        Kind::Bytes => Value::Bytes([].into()),
        Kind::Enum(symbols) => {
            let none = symbols.iter().find(|(_, number)| *number == 0).or(symbols.first());
            none.map_or(Value::Null, |(name, _)| Value::Text(name.clone()))
        }
        _ => Value::Null,
    }
}
