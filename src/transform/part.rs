//! The part of a record that a transform works on, and plans that are computed once per schema.

use std::ops::Deref;
use std::sync::Arc;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, Width};
use connector_api::{Datum, Error, Field, Record, Result, Schema, SchemaType, Value};

use super::located::not_an_object;
use crate::convert::java;
use crate::convert::trail::{declared, shortened};

/// Declares a key as transforms do: without a form group or width.
pub(super) const fn key(
    name: &'static str,
    ty: ConfigType,
    default: DefaultValue,
    importance: Importance,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, default, "", doc)
        .importance(importance)
        .form(Width::None, name)
}

pub(super) const REPLACE_NULL: &str = "replace.null.with.default";

pub(super) const REPLACE_NULL_KEY: ConfigKey = key(
    REPLACE_NULL,
    ConfigType::Boolean,
    DefaultValue::Text("true"),
    Importance::Medium,
    "Whether a null field counts as its schema's default.",
);

/// Key or value: the `$Key` and `$Value` of class names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordPart {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

impl RecordPart {
    /// Returns the name of the part in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    pub(super) fn of_mut(self, record: &mut Record) -> &mut Datum {
        match self {
            Self::Key => &mut record.key,
            Self::Value => &mut record.value,
        }
    }
}

/// Takes the members of a struct.
/// Errors: Connect's text if it is not a struct.
pub(super) fn struct_members(value: &mut Value, purpose: &str) -> Result<Vec<Value>> {
    match value {
        Value::Struct(members) => Ok(std::mem::take(members).into_vec()),
        other => Err(wrong_struct(other, purpose)),
    }
}

/// Checks that a value is a struct or null.
/// Errors: Connect's text about anything else.
pub(super) fn struct_or_null(value: &Value, purpose: &str) -> Result<()> {
    if matches!(value, Value::Struct(_) | Value::Null) {
        Ok(())
    } else {
        Err(wrong_struct(value, purpose))
    }
}

/// Takes the entries of a schemaless map.
/// Errors: Connect's text if it is not a map.
pub(super) fn map_entries(value: &mut Value, purpose: &str) -> Result<Vec<(Value, Value)>> {
    match value {
        Value::Map(entries) => Ok(std::mem::take(entries).into_vec()),
        other => Err(wrong_map(other, purpose)),
    }
}

/// Returns Connect's error about a value that should be a struct.
#[cold]
pub(super) fn wrong_struct(value: &Value, purpose: &str) -> Error {
    let found = java::class_name(value);
    let error = Error::record(format!(
        "Only Struct objects supported for [{purpose}], found: {found}"
    ));
    not_an_object(error, value)
}

/// Returns Connect's error about a schemaless value that should be a map.
#[cold]
pub(super) fn wrong_map(value: &Value, purpose: &str) -> Error {
    let found = java::class_name(value);
    let error = Error::record(format!(
        "Only Map objects supported in absence of schema for [{purpose}], found: {found}"
    ));
    not_an_object(error, value)
}

/// Returns the value of an entry.
pub(super) fn entry<'a>(entries: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    entries
        .iter()
        .find(|(key, _)| key.as_str() == Some(name))
        .map(|(_, value)| value)
}

/// Sets an entry; an existing one keeps its position.
pub(super) fn set_entry(entries: &mut Vec<(Value, Value)>, name: &str, value: Value) {
    match entries
        .iter_mut()
        .find(|(key, _)| key.as_str() == Some(name))
    {
        Some((_, old)) => *old = value,
        None => entries.push((Value::Text(name.into()), value)),
    }
}

/// Returns the default of a null member if `replace` is set, otherwise the value.
pub(super) fn or_default(value: Value, schema: &Schema, replace: bool) -> Value {
    match &schema.default {
        Some(default) if replace && value.is_null() => default.clone(),
        _ => value,
    }
}

/// Replaces nulls by the defaults of their fields.
pub(super) fn fill_defaults(members: &mut [Value], fields: &[Field], replace: bool) {
    if !replace {
        return;
    }
    for (member, field) in members.iter_mut().zip(fields) {
        if let Some(default) = &field.schema.default
            && member.is_null()
        {
            *member = default.clone();
        }
    }
}

/// Checks a value before it is stored in a struct, as Connect does.
/// Errors: null for a required field.
pub(super) fn check_member(name: &str, schema: &Schema, value: &Value) -> Result<()> {
    if value.is_null() && !schema.optional {
        let ty = schema.ty.name();
        let error = Error::record(format!(
            "Invalid value: null used for required field: \"{name}\", schema type: {ty}"
        ));
        return Err(error.and_line(
            "The schema of the key or value is not optional, but it is null: an earlier transform \
             or the producer sent one without the other.",
        ));
    }
    Ok(())
}

/// Creates a required schema of type `ty` with the name, version, documentation and parameters of
/// `schema`.
pub(super) fn with_basics_of(schema: &Schema, ty: SchemaType) -> Schema {
    Schema {
        name: schema.name.clone(),
        version: schema.version,
        doc: schema.doc.clone(),
        params: schema.params.clone(),
        ..Schema::of(ty)
    }
}

/// Checks a struct schema's fields as Connect's builder does.
/// Errors: an empty or a duplicate name.
pub(super) fn fields(fields: Vec<Field>) -> Result<Box<[Field]>> {
    let mut names = std::collections::HashSet::with_capacity(fields.len());
    for field in &fields {
        if field.name.is_empty() {
            return Err(Error::record("fieldName cannot be null.").and_line(
                "A new field of this transform would have no name: check the names that its \
                 settings give.",
            ));
        }
        if !names.insert(&*field.name) {
            let name = &field.name;
            let error = Error::record(format!(
                "Cannot create field because of field name duplication {name}"
            ));
            return Err(error.and_line(&format!(
                "The transform would give the name {name} to two fields: choose another name in \
                 its settings, or remove or rename one of the fields before it, with ReplaceField.",
                name = shortened(name)
            )));
        }
    }
    Ok(fields.into())
}

/// Returns the fields of a struct.
/// Errors: Connect's text about any other type.
pub(super) fn list_fields(schema: &Schema) -> Result<&[Field]> {
    if schema.ty == SchemaType::Struct {
        Ok(&schema.fields)
    } else {
        let error = Error::record("Cannot list fields on non-struct type");
        Err(error.and_line(&format!(
            "The schema is {}, which has no fields, and the settings of this transform name \
             fields: wrap the key or value in an object first (HoistField), or apply the transform \
             to other topics only (a predicate of the class TopicNameMatches).",
            declared(schema)
        )))
    }
}

/// A cache of plans for the last schemas seen, looked up by pointer first and by content second.
pub(super) struct SchemaPlans<T> {
    made: Vec<SchemaPlan<T>>,
}

/// A plan for one schema, computed once.
pub(super) struct SchemaPlan<T> {
    schema: Arc<Schema>,
    /// True if any field has a default. Searching for one in vain takes as long as the rest of a
    /// transform.
    pub(super) has_defaults: bool,
    made: T,
}

impl<T> Deref for SchemaPlan<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.made
    }
}

impl<T> SchemaPlans<T> {
    /// The capacity of the same cache in Connect's transforms.
    const KEPT: usize = 16;

    pub(super) fn new() -> Self {
        Self { made: Vec::new() }
    }

    /// Returns the plan for `schema`, computing it if it is not cached. Entries are kept in order
    /// of last use.
    pub(super) fn of(
        &mut self,
        schema: &Arc<Schema>,
        make: impl FnOnce(&Schema) -> Result<T>,
    ) -> Result<&SchemaPlan<T>> {
        let found = self
            .made
            .iter()
            .position(|known| Arc::ptr_eq(&known.schema, schema));
        let found = found.or_else(|| self.made.iter().position(|known| known.schema == *schema));
        match found {
            Some(0) => {}
            Some(at) => self.made.swap(0, at),
            None => {
                let made = make(schema)?;
                self.made.truncate(Self::KEPT - 1);
                let has_defaults = schema
                    .fields
                    .iter()
                    .any(|field| field.schema.default.is_some());
                self.made.insert(
                    0,
                    SchemaPlan {
                        schema: Arc::clone(schema),
                        has_defaults,
                        made,
                    },
                );
            }
        }
        self.made
            .first()
            .ok_or_else(|| Error::fatal("the plan of a schema is missing"))
    }
}
