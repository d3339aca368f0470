//! Converts Connect schemas to `.proto` text for registration. The mapping is that of Confluent's
//! ProtobufData.

use connector_api::text::append;
use std::collections::BTreeSet;

use connector_api::{Error, Field, Result, Schema, SchemaType, logical};

use super::ProtobufOptions;
use super::names::{
    CONNECT_TYPE, DATE, DECIMAL, DEFAULT_NAME, TAG, TIME, TIMESTAMP, UNION, is_of_column, is_valid,
    quoted, scrubbed,
};

/// Converts a struct to `.proto` text.
/// Errors: `Record` for anything without a counterpart in Protobuf.
pub(super) fn write(schema: &Schema, options: &ProtobufOptions) -> Result<String> {
    if schema.ty != SchemaType::Struct {
        return Err(Error::record(format!(
            "Protobuf supports only structs, not {}: use another converter here",
            schema.ty.name()
        )));
    }
    let mut writer = ProtobufPayloadWriter {
        options,
        imports: BTreeSet::new(),
        unnamed: 0,
    };
    let (package, name) = writer.message_name(schema)?;
    let mut body = String::new();
    writer.message(schema, &name, 0, &mut body)?;
    let mut out = "syntax = \"proto3\";\n".to_owned();
    if let Some(package) = package {
        append(&mut out, format_args!("package {package};\n"));
    }
    out.push('\n');
    for import in &writer.imports {
        append(&mut out, format_args!("import \"{import}\";\n"));
    }
    if !writer.imports.is_empty() {
        out.push('\n');
    }
    out.push_str(&body);
    Ok(out)
}

/// Returns the name of a field in Protobuf.
/// Errors: `Record` if Protobuf does not allow it.
pub(super) fn field_name<'a>(
    name: &'a str,
    options: &ProtobufOptions,
) -> Result<std::borrow::Cow<'a, str>> {
    match (is_valid(name), options.scrub) {
        (true, _) => Ok(name.into()),
        (false, true) => Ok(scrubbed(name).into()),
        (false, false) => Err(Error::record(format!(
            "Protobuf names have letters, digits and _ only, unlike {name}; rename it with ReplaceField, or set \
             scrub.invalid.names=true"
        ))),
    }
}

struct ProtobufPayloadWriter<'a> {
    options: &'a ProtobufOptions,
    imports: BTreeSet<&'static str>,
    unnamed: usize,
}

/// What Protobuf's types cannot say of a schema. Of its other parameters, only those that describe
/// the field's column are kept, as Confluent's converter drops all.
fn field_params(schema: &Schema) -> Result<Vec<(&str, String)>> {
    let column = schema
        .params
        .iter()
        .filter(|(name, _)| is_of_column(name))
        .map(|(name, value)| (&**name, value.to_string()));
    let mut params: Vec<_> = column.collect();
    if matches!(schema.ty, SchemaType::Int8 | SchemaType::Int16) {
        params.push((CONNECT_TYPE, schema.ty.name().to_ascii_lowercase()));
    }
    if schema.is_named(logical::DECIMAL) {
        let scale = schema.get_param(logical::SCALE);
        let scale = scale
            .ok_or_else(|| Error::record("Invalid Decimal schema: scale parameter not found."))?;
        let precision = schema.get_param(logical::PRECISION);
        params.extend(precision.map(|precision| ("precision", precision.to_owned())));
        params.push((logical::SCALE, scale.to_owned()));
    }
    Ok(params)
}

impl ProtobufPayloadWriter<'_> {
    /// Returns the package and the simple name of a message.
    fn message_name(&mut self, schema: &Schema) -> Result<(Option<String>, String)> {
        let Some(name) = schema.name.as_deref() else {
            self.unnamed += 1;
            return Ok((None, format!("{DEFAULT_NAME}{}", self.unnamed)));
        };
        let (package, simple) = name
            .rsplit_once('.')
            .map_or((None, name), |(package, name)| (Some(package), name));
        let part = |part: &str| field_name(part, self.options).map(std::borrow::Cow::into_owned);
        let package = package
            .map(|package| package.split('.').map(part).collect::<Result<Vec<_>>>())
            .transpose()?;
        Ok((package.map(|parts| parts.join(".")), part(simple)?))
    }

    fn message(
        &mut self,
        schema: &Schema,
        name: &str,
        level: usize,
        out: &mut String,
    ) -> Result<()> {
        let indent = "  ".repeat(level);
        append(out, format_args!("{indent}message {name} {{\n"));
        let numbers = numbers(schema);
        let mut numbers = numbers.into_iter();
        let mut inner = Vec::new();
        for field in &schema.fields {
            let named = |e: Error| e.context(format_args!("field {}", field.name));
            if let Some(union) = field
                .schema
                .name
                .as_deref()
                .and_then(|name| name.strip_prefix(UNION))
            {
                append(
                    out,
                    format_args!("{indent}  oneof {} {{\n", field_name(union, self.options)?),
                );
                for (branch, number) in field.schema.fields.iter().zip(&mut numbers) {
                    let text = self.field(branch, number, "", &mut inner).map_err(named)?;
                    append(out, format_args!("{indent}    {text}\n"));
                }
                append(out, format_args!("{indent}  }}\n"));
                continue;
            }
            let plain = !matches!(field.schema.ty, SchemaType::Array | SchemaType::Map);
            let label = if plain && field.schema.optional && self.options.optional {
                "optional "
            } else {
                ""
            };
            let number = numbers.next().unwrap_or_default();
            let text = self
                .field(field, number, label, &mut inner)
                .map_err(named)?;
            append(out, format_args!("{indent}  {text}\n"));
        }
        let mut written: Vec<(String, Schema)> = Vec::new();
        for (name, schema) in inner {
            match written.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if known.fields == schema.fields => {}
                Some(_) => {
                    return Err(Error::record(format!(
                        "Protobuf cannot have two messages with the name {name}"
                    )));
                }
                None => {
                    out.push('\n');
                    self.message(&schema, &name, level + 1, out)?;
                    written.push((name, schema));
                }
            }
        }
        append(out, format_args!("{indent}}}\n"));
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        number: u32,
        label: &str,
        inner: &mut Vec<(String, Schema)>,
    ) -> Result<String> {
        let schema = &*field.schema;
        let no_schema = || Error::record("a list or map has no schema of its items");
        let (ty, of) = match schema.ty {
            SchemaType::Array => {
                let items = schema.values.as_deref().ok_or_else(no_schema)?;
                (format!("repeated {}", self.single(items, inner)?), items)
            }
            SchemaType::Map => {
                let (keys, values) = schema
                    .keys
                    .as_deref()
                    .zip(schema.values.as_deref())
                    .ok_or_else(no_schema)?;
                if keys.name.is_some()
                    || matches!(
                        keys.ty,
                        SchemaType::Float32 | SchemaType::Float64 | SchemaType::Bytes
                    )
                {
                    return Err(Error::record(
                        "keys of maps are integers, booleans or text in Protobuf",
                    ));
                }
                (
                    format!(
                        "map<{}, {}>",
                        self.single(keys, inner)?,
                        self.single(values, inner)?
                    ),
                    values,
                )
            }
            _ => (self.single(schema, inner)?, schema),
        };
        let params = field_params(of)?;
        let name = field_name(&field.name, self.options)?;
        if params.is_empty() {
            return Ok(format!("{label}{ty} {name} = {number};"));
        }
        self.imports.insert("confluent/meta.proto");
        let params = params
            .iter()
            .map(|(key, value)| format!("{{key: {}, value: {}}}", quoted(key), quoted(value)));
        let params = params.collect::<Vec<_>>().join(", ");
        Ok(format!(
            "{label}{ty} {name} = {number} [(confluent.field_meta) = {{params: [{params}]}}];"
        ))
    }

    /// Returns the type of one value; messages that it needs are added to `inner`.
    fn single(&mut self, schema: &Schema, inner: &mut Vec<(String, Schema)>) -> Result<String> {
        let mut known = |name: &str, import: &'static str| {
            self.imports.insert(import);
            Ok(format!(".{name}"))
        };
        match schema.name.as_deref() {
            Some(logical::DECIMAL) => return known(DECIMAL, "confluent/type/decimal.proto"),
            Some(logical::DATE) => return known(DATE, "google/type/date.proto"),
            Some(logical::TIME) => return known(TIME, "google/type/timeofday.proto"),
            Some(logical::TIMESTAMP) => return known(TIMESTAMP, "google/protobuf/timestamp.proto"),
            _ => {}
        }
        Ok(match schema.ty {
            SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 => "int32".to_owned(),
            SchemaType::Int64 => "int64".to_owned(),
            SchemaType::Float32 => "float".to_owned(),
            SchemaType::Float64 => "double".to_owned(),
            SchemaType::Boolean => "bool".to_owned(),
            SchemaType::String => "string".to_owned(),
            SchemaType::Bytes => "bytes".to_owned(),
            SchemaType::Array | SchemaType::Map => {
                return Err(Error::record(
                    "Protobuf has no lists or maps within lists or maps",
                ));
            }
            SchemaType::Struct => {
                let (_, name) = self.message_name(schema)?;
                inner.push((name.clone(), schema.clone()));
                name
            }
        })
    }
}

/// Returns the number of each field, with the fields of a oneof in its position: from their
/// parameters if all have one, otherwise counted from 1.
fn numbers(schema: &Schema) -> Vec<u32> {
    let is_union = |field: &Field| {
        field
            .schema
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with(UNION))
    };
    let fields: Vec<&Field> = schema
        .fields
        .iter()
        .flat_map(|field| {
            if is_union(field) {
                field.schema.fields.iter().collect()
            } else {
                vec![field]
            }
        })
        .collect();
    let given = |field: &&Field| {
        field
            .schema
            .get_param(TAG)?
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
    };
    let given: Option<Vec<u32>> = fields.iter().map(given).collect();
    match given {
        Some(numbers) if numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len() => numbers,
        _ => (1..).take(fields.len()).collect(),
    }
}
