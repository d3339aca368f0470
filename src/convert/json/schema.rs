//! Reads and writes schemas as JSON text, with Connect's texts about errors in them. Runs once per
//! distinct schema.

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Error, Field, Result, Schema, SchemaType, Value};

use super::JsonOptions;
use super::decode::read_default;
use super::encode::{write, write_text};
use super::plan::JsonNode;
use super::reader::{JsonReader, JsonToken};
use crate::convert::limits::parameters;
use crate::convert::trail::LocatedError;

/// Maximum nesting of schemas.
const MAX_LEVELS: usize = 200;

const TYPES: [(SchemaType, &str); 12] = [
    (SchemaType::Int8, "int8"),
    (SchemaType::Int16, "int16"),
    (SchemaType::Int32, "int32"),
    (SchemaType::Int64, "int64"),
    (SchemaType::Float32, "float"),
    (SchemaType::Float64, "double"),
    (SchemaType::Boolean, "boolean"),
    (SchemaType::String, "string"),
    (SchemaType::Bytes, "bytes"),
    (SchemaType::Array, "array"),
    (SchemaType::Map, "map"),
    (SchemaType::Struct, "struct"),
];

/// Appends a schema; `field` is its name as a member of a struct.
pub(super) fn write_schema(
    schema: &Schema,
    field: Option<&str>,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend(
        TYPES
            .iter()
            .filter(|(ty, _)| *ty == schema.ty)
            .flat_map(|(_, name)| name.bytes()),
    );
    out.push(b'"');
    write_inner(schema, options, out)?;
    out.extend_from_slice(if schema.optional {
        b",\"optional\":true"
    } else {
        b",\"optional\":false"
    });
    if let Some(name) = &schema.name {
        out.extend_from_slice(b",\"name\":");
        write_text(name, out);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
    }
    if let Some(doc) = &schema.doc {
        out.extend_from_slice(b",\"doc\":");
        write_text(doc, out);
    }
    write_parameters(schema, out);
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        let bare = Arc::new(Schema {
            default: None,
            ..schema.clone()
        });
        if bare.ty == SchemaType::Struct {
            return Err(Error::record("Mismatching schema."));
        }
        write(&JsonNode::compile(&bare), default, options, out)?;
    }
    if let Some(field) = field {
        out.extend_from_slice(b",\"field\":");
        write_text(field, out);
    }
    out.push(b'}');
    Ok(())
}

fn write_inner(schema: &Schema, options: &JsonOptions, out: &mut Vec<u8>) -> Result<()> {
    let member = |name: &str, inner: &Option<Arc<Schema>>, out: &mut Vec<u8>| {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match inner {
            Some(inner) => write_schema(inner, None, options, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    };
    match schema.ty {
        SchemaType::Array => member("items", &schema.values, out),
        SchemaType::Map => {
            member("keys", &schema.keys, out)?;
            member("values", &schema.values, out)
        }
        SchemaType::Struct => {
            out.extend_from_slice(b",\"fields\":[");
            for (at, field) in schema.fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_schema(&field.schema, Some(&field.name), options, out)?;
            }
            out.push(b']');
            Ok(())
        }
        _ => Ok(()),
    }
}

fn write_parameters(schema: &Schema, out: &mut Vec<u8>) {
    if schema.params.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"parameters\":");
    let mut mark = b'{';
    for (name, value) in &schema.params {
        out.push(mark);
        mark = b',';
        write_text(name, out);
        out.push(b':');
        write_text(value, out);
    }
    out.push(b'}');
}

/// The members of a schema's JSON object, each as its text.
#[derive(Default)]
struct SchemaMembers<'a> {
    ty: Option<&'a str>,
    optional: Option<&'a str>,
    name: Option<&'a str>,
    version: Option<&'a str>,
    doc: Option<&'a str>,
    parameters: Option<&'a str>,
    default: Option<&'a str>,
    fields: Option<&'a str>,
    items: Option<&'a str>,
    keys: Option<&'a str>,
    values: Option<&'a str>,
    field: Option<&'a str>,
}

impl<'a> SchemaMembers<'a> {
    /// Splits a schema into members. The last of duplicate members counts; unknown ones are
    /// ignored.
    fn read(text: &'a str, options: &JsonOptions) -> Result<Self> {
        let mut found = Self::default();
        each_member(text, options, |name, value| {
            let slot = match name {
                "type" => &mut found.ty,
                "optional" => &mut found.optional,
                "name" => &mut found.name,
                "version" => &mut found.version,
                "doc" => &mut found.doc,
                "parameters" => &mut found.parameters,
                "default" => &mut found.default,
                "fields" => &mut found.fields,
                "items" => &mut found.items,
                "keys" => &mut found.keys,
                "values" => &mut found.values,
                "field" => &mut found.field,
                _ => return,
            };
            *slot = Some(value);
        })?;
        Ok(found)
    }
}

/// Calls `visit` for each member of the object in `text`; never if it is not an object.
fn each_member<'a>(
    text: &'a str,
    options: &JsonOptions,
    mut visit: impl FnMut(&str, &'a str),
) -> Result<()> {
    let mut reader = JsonReader::new(text, options.strict);
    if reader.peek() != Some(b'{') {
        return Ok(());
    }
    reader.token()?;
    let mut first = true;
    while let Some(name) = reader.next_member(first)? {
        first = false;
        reader.peek();
        let start = reader.at();
        reader.skip()?;
        visit(&name, reader.span(start, reader.at()));
    }
    Ok(())
}

/// Returns the text in a JSON string; `None` for any other value.
fn text_in<'a>(json: &'a str, options: &JsonOptions) -> Result<Option<Cow<'a, str>>> {
    if !json.starts_with('"') {
        return Ok(None);
    }
    match JsonReader::new(json, options.strict).token()? {
        JsonToken::Text(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// Reads a schema; `None` for JSON null. The text must be well-formed.
/// Errors: Connect's texts.
pub(super) fn read_schema(text: &str, options: &JsonOptions) -> Result<Option<Schema>> {
    read_level(text, options, 0)
        .map(|found| found.map(|(schema, _)| schema))
        .map_err(LocatedError::located_in_schema)
}

/// The types that a schema may name.
const KNOWN_TYPES: &str = "type must be one of int8, int16, int32, int64, float, double, boolean, string, bytes, array, \
     map and struct, in lower case; a logical type, such as \
     org.apache.kafka.connect.data.Timestamp, is given by name beside the type. Check what the \
     producer writes.";

/// Returns the name of a field whose schema could not be read.
#[cold]
fn name_of(text: &str, options: &JsonOptions) -> String {
    let name = SchemaMembers::read(text, options)
        .ok()
        .and_then(|members| members.field)
        .and_then(|field| text_in(field, options).ok().flatten());
    name.map_or_else(|| "?".to_owned(), Cow::into_owned)
}

/// A schema and its name as a member of a struct.
type NamedSchema<'a> = (Schema, Option<Cow<'a, str>>);

fn read_level<'a>(
    text: &'a str,
    options: &JsonOptions,
    level: usize,
) -> Result<Option<NamedSchema<'a>>, LocatedError> {
    if text == "null" {
        return Ok(None);
    }
    if level > MAX_LEVELS {
        let error = Error::record(format!("the schema has more than {MAX_LEVELS} levels"));
        return Err(error.into());
    }
    let members = SchemaMembers::read(text, options)?;
    let name = members
        .ty
        .map(|ty| text_in(ty, options))
        .transpose()?
        .flatten();
    let name = name.ok_or_else(|| Error::record("Schema must contain 'type' field"))?;
    let ty = TYPES
        .iter()
        .find(|(_, text)| *text == name)
        .map(|(ty, _)| *ty);
    let ty = ty.ok_or_else(|| {
        let error = Error::record(format!("Unknown schema type: {name}"));
        LocatedError::from(error).hint(KNOWN_TYPES)
    })?;
    let mut schema = Schema::of(ty);
    match ty {
        SchemaType::Array => {
            let items = members.items.filter(|items| *items != "null");
            let items = items
                .ok_or_else(|| Error::record("Array schema did not specify the element type"))?;
            schema.values = inner(items, options, level, "valueSchema", "[]").map(Some)?;
        }
        SchemaType::Map => {
            let keys = members
                .keys
                .ok_or_else(|| Error::record("Map schema did not specify the key type"))?;
            let values = members
                .values
                .ok_or_else(|| Error::record("Map schema did not specify the value type"))?;
            schema.keys = inner(keys, options, level, "keySchema", "{}").map(Some)?;
            schema.values = inner(values, options, level, "valueSchema", "{}").map(Some)?;
        }
        SchemaType::Struct => schema.fields = read_fields(members.fields, options, level)?,
        _ => {}
    }
    read_attributes(&mut schema, &members, options)?;
    let field = members
        .field
        .map(|field| text_in(field, options))
        .transpose()?
        .flatten();
    Ok(Some((schema, field)))
}

/// Reads the schema of the elements of a list, or of the keys or values of a map. `place` is their
/// name in the path of a field.
fn inner(
    text: &str,
    options: &JsonOptions,
    level: usize,
    what: &str,
    place: &str,
) -> Result<Arc<Schema>, LocatedError> {
    match read_level(text, options, level + 1) {
        Ok(Some((schema, _))) => Ok(Arc::new(schema)),
        Ok(None) => Err(Error::record(format!("{what} cannot be null.")).into()),
        Err(error) => Err(error.within_plain(place)),
    }
}

fn read_fields(
    text: Option<&str>,
    options: &JsonOptions,
    level: usize,
) -> Result<Box<[Field]>, LocatedError> {
    let Some(text) = text.filter(|text| text.starts_with('[')) else {
        let error = Error::record("Struct schema's \"fields\" argument is not an array.");
        return Err(error.into());
    };
    let mut reader = JsonReader::new(text, options.strict);
    reader.token()?;
    let mut fields: Vec<Field> = Vec::new();
    let mut names = std::collections::HashSet::new();
    while reader.next_item(fields.is_empty())? {
        reader.peek();
        let start = reader.at();
        reader.skip()?;
        let text = reader.span(start, reader.at());
        let found = read_level(text, options, level + 1)
            .map_err(|error| error.within_plain(&name_of(text, options)))?;
        let unnamed = || Error::record("Struct schema's field name not specified properly");
        let (schema, name) = found.ok_or_else(unnamed)?;
        let name: Arc<str> = name.ok_or_else(unnamed)?.into();
        if name.is_empty() {
            return Err(Error::record("fieldName cannot be null.").into());
        }
        if !names.insert(Arc::clone(&name)) {
            let error = Error::record(format!(
                "Cannot create field because of field name duplication {name}"
            ));
            return Err(error.into());
        }
        fields.push(Field {
            name,
            schema: Arc::new(schema),
        });
    }
    Ok(fields.into())
}

/// Reads the attributes common to all types. Name, version, doc and optional are ignored if they
/// have a wrong JSON type.
fn read_attributes(
    schema: &mut Schema,
    members: &SchemaMembers<'_>,
    options: &JsonOptions,
) -> Result<()> {
    schema.optional = members.optional == Some("true");
    let shared = |json: Option<&str>| -> Result<Option<Arc<str>>> {
        Ok(json
            .map(|json| text_in(json, options))
            .transpose()?
            .flatten()
            .map(Arc::from))
    };
    schema.name = shared(members.name)?;
    schema.doc = shared(members.doc)?;
    if let Some(version) = members
        .version
        .filter(|json| json.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
    {
        schema.version = read_version(version, options)?;
    }
    if let Some(parameters) = members.parameters {
        schema.params = read_parameters(parameters, options)?;
    }
    if let Some(default) = members.default {
        let bare = Arc::new(schema.clone());
        let default: Option<Value> = read_default(default, &bare, options)?;
        schema.default = default;
    }
    Ok(())
}

fn read_version(json: &str, options: &JsonOptions) -> Result<Option<i32>> {
    let JsonToken::Number(number) = JsonReader::new(json, options.strict).token()? else {
        return Ok(None);
    };
    if !number.integral {
        return Ok(None);
    }
    match number.text.parse() {
        Ok(version) => Ok(Some(version)),
        Err(_) if options.strict => Err(Error::record(
            "the version of the schema does not fit 32 bits",
        )),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Connect takes the lowest 32 bits"
        )]
        Err(_) => Ok(Some(number.wrapped_i64() as i32)),
    }
}

type Parameters = Box<[(Arc<str>, Arc<str>)]>;

fn read_parameters(json: &str, options: &JsonOptions) -> Result<Parameters> {
    let mut given = Vec::new();
    each_member(json, options, |name, value| {
        given.push((Arc::<str>::from(name), value));
    })?;
    let text = |(name, json): (Arc<str>, &str)| {
        let text = text_in(json, options)?;
        let text =
            text.ok_or_else(|| Error::record("Schema parameters must have string values."))?;
        Ok((name, Arc::from(text)))
    };
    Ok(parameters(
        given
            .into_iter()
            .map(text)
            .collect::<Result<Vec<_>>>()?
            .into_iter(),
    ))
}
