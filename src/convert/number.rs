//! Fixed-width numbers, big-endian:
//! `org.apache.kafka.connect.converters.{Short,Integer,Long,Float,Double,Boolean}Converter`.

use std::sync::Arc;

use connector_api::{Converter, Datum, EncodedPresence, Error, Result, Schema, SchemaType, Value};

use super::java;

/// Writes and reads numbers of one type. The number types accept any schema, as Kafka's do; Boolean
/// checks it.
pub(crate) struct NumberConverter {
    schema: Arc<Schema>,
    name: &'static str,
}

impl NumberConverter {
    /// Creates the converter of a number type or BOOLEAN; `None` for any other type.
    pub(crate) fn new(ty: SchemaType) -> Option<Self> {
        let name = match ty {
            SchemaType::Int16 => "short",
            SchemaType::Int32 => "integer",
            SchemaType::Int64 => "long",
            SchemaType::Float32 => "float",
            SchemaType::Float64 => "double",
            SchemaType::Boolean => "boolean",
            _ => return None,
        };
        Some(Self {
            schema: Arc::new(Schema::of(ty).optional(true)),
            name,
        })
    }

    fn read(&self, bytes: &[u8]) -> Option<Value> {
        Some(match self.schema.ty {
            SchemaType::Int16 => Value::I16(i16::from_be_bytes(bytes.try_into().ok()?)),
            SchemaType::Int32 => Value::I32(i32::from_be_bytes(bytes.try_into().ok()?)),
            SchemaType::Int64 => Value::I64(i64::from_be_bytes(bytes.try_into().ok()?)),
            SchemaType::Float32 => Value::F32(f32::from_be_bytes(bytes.try_into().ok()?)),
            SchemaType::Float64 => Value::F64(f64::from_be_bytes(bytes.try_into().ok()?)),
            _ => match bytes {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
        })
    }

    #[cold]
    fn wrong_value(&self, value: &Value) -> Error {
        let class = java::class_name(value);
        Error::record(match self.schema.ty {
            SchemaType::Boolean => {
                format!("BooleanConverter is not compatible with objects of type class {class}")
            }
            _ => format!("Failed to serialize to {} (was class {class}): ", self.name),
        })
    }
}

impl Converter for NumberConverter {
    fn encode(
        &mut self,
        _topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<EncodedPresence> {
        if let Some(schema) = &datum.schema
            && self.schema.ty == SchemaType::Boolean
            && schema.ty != SchemaType::Boolean
        {
            return Err(Error::record(format!(
                "Invalid schema type for BooleanConverter: {}",
                schema.ty.name()
            )));
        }
        match (self.schema.ty, &datum.value) {
            (_, Value::Null) => return Ok(EncodedPresence::Absent),
            (SchemaType::Int16, Value::I16(n)) => out.extend_from_slice(&n.to_be_bytes()),
            (SchemaType::Int32, Value::I32(n)) => out.extend_from_slice(&n.to_be_bytes()),
            (SchemaType::Int64, Value::I64(n)) => out.extend_from_slice(&n.to_be_bytes()),
            (SchemaType::Float32, Value::F32(n)) => out.extend_from_slice(&n.to_be_bytes()),
            // Kafka's serializer of doubles normalizes NaN; that of floats keeps its bits.
            (SchemaType::Float64, Value::F64(n)) if n.is_nan() => {
                out.extend_from_slice(&[0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
            }
            (SchemaType::Float64, Value::F64(n)) => out.extend_from_slice(&n.to_be_bytes()),
            (SchemaType::Boolean, Value::Bool(b)) => out.push(u8::from(*b)),
            (_, other) => return Err(self.wrong_value(other)),
        }
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let value = match bytes {
            None => Value::Null,
            Some(bytes) => self.read(bytes).ok_or_else(|| {
                Error::record(format!(
                    "Failed to deserialize {}: {} bytes of another form",
                    self.name,
                    bytes.len()
                ))
            })?,
        };
        Ok(Datum::new(Arc::clone(&self.schema), value))
    }
}
