//! A Connect schema beside an Avro schema, compiled for the payload: what is written and read at each place.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Result, Schema, Type, Value, logical};

use super::derive::entry;
use super::names::UNION;
use super::schema::{Avro, Kind as Of};
use super::write::field_name;
use super::{Options, encode};

/// A place in the data.
pub(super) struct Node {
    pub(super) kind: Kind,
    /// In a union: the branch of a null, and that of a value.
    pub(super) null: Option<i64>,
    pub(super) branch: Option<i64>,
    /// What is written in place of a null.
    pub(super) default: Option<Value>,
}

pub(super) enum Kind {
    Bool,
    /// Any integer: its width in Connect.
    Integer(Type),
    F32,
    F64,
    Text,
    Bytes,
    Fixed(usize),
    /// Its scale, and its size where it is a fixed.
    Decimal(i32, Option<usize>),
    Enum(Box<[Box<str>]>, HashMap<Box<str>, i64>),
    Array(Box<Node>),
    /// With text keys.
    Map(Box<Node>),
    Entries(Box<(Node, Node)>),
    Struct(Box<[Member]>),
    /// A union of several types: a struct with a member for each. Branch and node of each member.
    Choice(Box<[(i64, Node)]>),
}

impl Node {
    /// What its schema declares, for errors.
    pub(super) fn declared(&self) -> &'static str {
        match &self.kind {
            Kind::Bool => "BOOLEAN",
            Kind::Integer(ty) => ty.name(),
            Kind::F32 => "FLOAT32",
            Kind::F64 => "FLOAT64",
            Kind::Text => "STRING",
            Kind::Bytes => "BYTES",
            Kind::Fixed(_) => "BYTES of one length (fixed)",
            Kind::Decimal(..) => "Decimal",
            Kind::Enum(..) => "an enum",
            Kind::Array(_) => "ARRAY",
            Kind::Map(_) | Kind::Entries(_) => "MAP",
            Kind::Struct(_) => "STRUCT",
            Kind::Choice(_) => "a union",
        }
    }
}

/// A field of an Avro record.
pub(super) enum Member {
    /// From the struct's member at that place.
    Of(usize, Arc<str>, Node),
    /// Written by its default, as these bytes: the struct has no such member.
    Fixed(Box<[u8]>),
}

/// Compiles the way between a Connect schema and an Avro schema. Errors: `Record` where they do not fit.
pub(super) fn compile(schema: &Arc<Schema>, avro: &Avro, options: &Options) -> Result<Node> {
    let node = |kind| Node { kind, null: None, branch: None, default: schema.default.clone().filter(|d| !d.is_null()) };
    if let Of::Union(branches) = &avro.kind {
        return union(schema, branches, options);
    }
    let no_fit = || {
        let (ours, theirs) = (schema.ty.name(), avro.branch_name());
        Error::record(format!("{ours} does not fit the Avro type {theirs}"))
    };
    let decimal = schema.is_named(logical::DECIMAL);
    let scale = || schema.get_param(logical::SCALE).and_then(|scale| scale.parse::<i32>().ok()).ok_or_else(no_fit);
    Ok(node(match (schema.ty, &avro.kind) {
        (Type::Boolean, Of::Boolean) => Kind::Bool,
        (Type::Int8 | Type::Int16 | Type::Int32, Of::Int | Of::Long) | (Type::Int64, Of::Long) => {
            Kind::Integer(schema.ty)
        }
        (Type::Float32, Of::Float) => Kind::F32,
        (Type::Float32 | Type::Float64, Of::Double) => Kind::F64,
        (Type::String, Of::String) => Kind::Text,
        (Type::String, Of::Enum(_, symbols)) => {
            let numbers = symbols.iter().cloned().zip(0..).collect();
            Kind::Enum(symbols.clone().into(), numbers)
        }
        (Type::Bytes, Of::Bytes) if decimal => Kind::Decimal(scale()?, None),
        (Type::Bytes, Of::Fixed(_, size)) if decimal => Kind::Decimal(scale()?, Some(*size)),
        (Type::Bytes, Of::Bytes) => Kind::Bytes,
        (Type::Bytes, Of::Fixed(_, size)) => Kind::Fixed(*size),
        (Type::Array, Of::Array(items)) => {
            Kind::Array(Box::new(compile(schema.values.as_ref().ok_or_else(no_fit)?, items, options)?))
        }
        (Type::Map, Of::Map(values)) => {
            Kind::Map(Box::new(compile(schema.values.as_ref().ok_or_else(no_fit)?, values, options)?))
        }
        (Type::Map, Of::Array(items)) => {
            let (key, value) = entry(items).ok_or_else(no_fit)?;
            let (keys, values) = schema.keys.as_ref().zip(schema.values.as_ref()).ok_or_else(no_fit)?;
            Kind::Entries(Box::new((compile(keys, key, options)?, compile(values, value, options)?)))
        }
        (Type::Struct, Of::Record(_, fields)) => Kind::Struct(members(schema, fields, options)?),
        _ => return Err(no_fit()),
    }))
}

fn members(schema: &Schema, fields: &[super::schema::Field], options: &Options) -> Result<Box<[Member]>> {
    let mut at = HashMap::with_capacity(schema.fields.len());
    for (number, field) in schema.fields.iter().enumerate() {
        at.insert(field_name(&field.name, options)?.into_owned(), number);
    }
    let member = |field: &super::schema::Field| {
        let named = |e: Error| e.context(format_args!("field {}", field.name));
        if let Some(at) = at.remove(&field.name) {
            let of = &schema.fields[at];
            return Ok(Member::Of(at, Arc::clone(&of.name), compile(&of.schema, &field.ty, options).map_err(named)?));
        }
        let default = field.default.as_ref().ok_or_else(|| {
            Error::record(format!("the schema needs field {}, which the record does not have", field.name))
        })?;
        let bytes = encode::default(default, &field.ty).map_err(named)?;
        Ok(Member::Fixed(bytes.into()))
    };
    let members = fields.iter().map(member).collect::<Result<Box<[_]>>>()?;
    match at.keys().min() {
        Some(left) => Err(Error::record(format!("the schema has no field {left}, which the record has"))),
        None => Ok(members),
    }
}

fn union(schema: &Arc<Schema>, branches: &[Arc<Avro>], options: &Options) -> Result<Node> {
    let numbered = || (0i64..).zip(branches);
    let null = numbered().find(|(_, branch)| branch.is_null()).map(|(at, _)| at);
    let others = || numbered().filter(|(_, branch)| !branch.is_null());
    if schema.is_named(UNION) {
        let choices = schema.fields.iter().map(|field| {
            let found = others().find(|(_, branch)| branch.branch_name() == &*field.name);
            let (at, branch) = found.ok_or_else(|| Error::record(format!("the union has no branch {}", field.name)))?;
            Ok((at, compile(&field.schema, branch, options)?))
        });
        let kind = Kind::Choice(choices.collect::<Result<_>>()?);
        return Ok(Node { kind, null, branch: None, default: None });
    }
    let mut wrong = None;
    for (at, branch) in others() {
        match compile(schema, branch, options) {
            Ok(node) => return Ok(Node { null, branch: Some(at), ..node }),
            Err(error) => wrong = Some(error),
        }
    }
    Err(wrong.unwrap_or_else(|| Error::record("a union of null alone has no counterpart")))
}
