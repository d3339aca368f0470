//! Converts Protobuf messages to Connect schemas for reading registered schemas. The mapping is
//! that of Confluent's ProtobufData.

use connector_api::{Error, Field, Result, Schema, SchemaType, logical};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::ProtobufOptions;
use super::names::{
    CONNECT_TYPE, DATE, DECIMAL, DEFAULT_NAME, ENUM, TAG, TIME, TIMESTAMP, UNION,
    column_parameters, is_wrapper, parameter,
};

/// Maximum nesting of messages.
const MAX_LEVELS: usize = 60;
/// Maximum number of fields in a message, counting each use of another message.
const MAX_FIELDS: usize = 100_000;

/// Converts a message to a Connect schema.
/// Errors: `Record` for anything without a counterpart.
pub(super) fn derive(message: &MessageDescriptor, options: &ProtobufOptions) -> Result<Schema> {
    ProtobufDeriver {
        options,
        left: MAX_FIELDS,
    }
    .message(message, 0)
}

/// Returns the field name of the struct that represents a oneof.
pub(super) fn union_field(oneof: &OneofDescriptor) -> String {
    let at = oneof.path().last().copied().unwrap_or_default();
    format!("{}_{at}", oneof.name())
}

/// Returns the oneof that a field belongs to, unless it is the synthetic one of an `optional`
/// field.
pub(super) fn oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())
}

struct ProtobufDeriver<'a> {
    options: &'a ProtobufOptions,
    left: usize,
}

impl ProtobufDeriver<'_> {
    fn message(&mut self, message: &MessageDescriptor, level: usize) -> Result<Schema> {
        if level > MAX_LEVELS {
            let name = message.full_name();
            return Err(Error::record(format!(
                "message {name} contains itself, or has too many levels; that is not supported"
            )));
        }
        let mut fields: Vec<Field> = Vec::new();
        for field in message.fields() {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| Error::record("the Protobuf schema is too large"))?;
            let schema = self
                .field(&field, level)
                .map_err(|e| e.context(format_args!("field {}", field.name())))?;
            let schema = schema.param(TAG, &field.number().to_string());
            match oneof(&field).filter(|_| !self.options.flatten) {
                None => fields.push(Field::new(field.name(), schema)),
                Some(oneof) => {
                    let name = union_field(&oneof);
                    let branch = Field::new(field.name(), schema.optional(true));
                    match fields.iter_mut().find(|field| *field.name == *name) {
                        Some(union) => {
                            let schema = std::sync::Arc::make_mut(&mut union.schema);
                            let mut branches = std::mem::take(&mut schema.fields).into_vec();
                            branches.push(branch);
                            schema.fields = branches.into();
                        }
                        None => {
                            let union = Schema::structure(
                                Some(&format!("{UNION}{}", oneof.name())),
                                vec![branch],
                            );
                            fields.push(Field::new(name, union.optional(true)));
                        }
                    }
                }
            }
        }
        let name = if self.options.enhanced {
            message.full_name()
        } else {
            message.name()
        };
        let unnamed = name
            .strip_prefix(DEFAULT_NAME)
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        Ok(Schema::structure((!unnamed).then_some(name), fields))
    }

    fn field(&mut self, field: &FieldDescriptor, level: usize) -> Result<Schema> {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return Err(Error::record("a map without entries"));
            };
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            return Ok(Schema::map(
                self.value(&key, &key, level)?,
                self.value(&value, field, level)?,
            ));
        }
        let schema = self.value(field, field, level)?;
        if field.is_list() {
            return Ok(Schema::array(schema));
        }
        let schema = column_parameters(field)
            .iter()
            .fold(schema, |schema, (name, value)| schema.param(name, value));
        let optional = !self.options.optional || field.supports_presence() && !field.is_required();
        Ok(schema.optional(optional))
    }

    /// Converts one value of a field; `declared` is the field whose options describe it.
    fn value(
        &mut self,
        field: &FieldDescriptor,
        declared: &FieldDescriptor,
        level: usize,
    ) -> Result<Schema> {
        let connect = parameter(declared, CONNECT_TYPE);
        Ok(match (field.kind(), connect.as_deref()) {
            (Kind::Int32, Some("int8")) => Schema::of(SchemaType::Int8),
            (Kind::Int32, Some("int16")) => Schema::of(SchemaType::Int16),
            (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, _) => Schema::of(SchemaType::Int32),
            (
                Kind::Int64
                | Kind::Sint64
                | Kind::Sfixed64
                | Kind::Uint32
                | Kind::Uint64
                | Kind::Fixed32
                | Kind::Fixed64,
                _,
            ) => Schema::of(SchemaType::Int64),
            (Kind::Float, _) => Schema::of(SchemaType::Float32),
            (Kind::Double, _) => Schema::of(SchemaType::Float64),
            (Kind::Bool, _) => Schema::of(SchemaType::Boolean),
            (Kind::String, _) => Schema::of(SchemaType::String),
            (Kind::Bytes, _) => Schema::of(SchemaType::Bytes),
            (Kind::Enum(of), _) if self.options.int_enums => {
                Schema::of(SchemaType::Int32).param(ENUM, of.name())
            }
            (Kind::Enum(of), _) => symbols(&of),
            (Kind::Message(message), _) => match message.full_name() {
                DECIMAL => decimal(declared),
                DATE => Schema::date(),
                TIME => Schema::time(),
                TIMESTAMP => Schema::timestamp(),
                name if is_wrapper(name) => match message.get_field(1) {
                    Some(wrapped) => self.value(&wrapped, &wrapped, level + 1)?,
                    None => return Err(Error::record("a wrapper without a value")),
                },
                _ => self.message(&message, level + 1)?,
            },
        })
    }
}

fn decimal(field: &FieldDescriptor) -> Schema {
    let scale = parameter(field, logical::SCALE)
        .and_then(|scale| scale.parse().ok())
        .unwrap_or_default();
    let schema = Schema::decimal(scale);
    match parameter(field, "precision") {
        Some(precision) => schema.param(logical::PRECISION, &precision),
        None => schema,
    }
}

fn symbols(of: &EnumDescriptor) -> Schema {
    let schema = Schema::of(SchemaType::String).param(ENUM, of.name());
    of.values().fold(schema, |schema, value| {
        schema.param(
            &format!("{ENUM}.{}", value.name()),
            &value.number().to_string(),
        )
    })
}
