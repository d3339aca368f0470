//! Our own `rowferry.transforms.Expression`: filters records by an expression, and computes fields
//! of their values.
//!
//! Expressions are Rhai's, without statements: `value.price * value.quantity`,
//! `topic.starts_with("eu.")`, `value.name ?? "unknown"`. They can use `value`, `key`, `headers`,
//! `topic`, `partition`, `offset` and `timestamp`; null is `()`, and a decimal is a 64-bit float.
//! Operations, time, depth and sizes are limited, and errors never show values.
//!
//! Limiting operations does not limit time: copying a long text takes as long as thousands of other
//! operations. Therefore the clock is read every few operations. A record that took too long is
//! evaluated a second time before it counts as bad, because the process may have been suspended
//! meanwhile.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

mod limits;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, MoreStringPackage, Package,
};
use rhai::{AST, Dynamic, Engine, EvalAltResult, Scope};

use self::limits::{EvaluationDeadline, MAX_ITEMS, MAX_TEXT, is_small, text_functions, too_large};
use super::part::{
    SchemaPlans, fields, key, list_fields, map_entries, set_entry, struct_members, with_basics_of,
};

const PURPOSE: &str = "computed fields";
const MAX_DEPTH: usize = 64;

/// Keys of the transform, in addition to one `set.FIELD` for each of `fields`.
pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "filter",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::High,
        "Expression. Only records for which it is true are kept. Not set: all records are kept.",
    )
    .check(KeyValidator::By(check_expression)),
    key(
        "fields",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::High,
        "Computed fields of the value, as field:type; set.FIELD has the expression of each. A type \
         is int8, int16, int32, int64, float32, float64, boolean or string.",
    ),
    key(
        "max.operations",
        ConfigType::Long,
        DefaultValue::Text("10000"),
        Importance::Low,
        "Maximum number of operations of one expression for one record.",
    )
    .check(KeyValidator::AtLeast(1)),
    key(
        "max.time.ms",
        ConfigType::Long,
        DefaultValue::Text("100"),
        Importance::Low,
        "Maximum time of all expressions for one record, in milliseconds.",
    )
    .check(KeyValidator::Between(1, 60_000)),
];

fn engine(operations: u64, deadline: &EvaluationDeadline) -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    engine.set_max_operations(operations);
    deadline.ends(&mut engine);
    engine.set_max_expr_depths(MAX_DEPTH);
    engine.set_max_string_size(MAX_TEXT);
    engine.set_max_array_size(MAX_ITEMS);
    engine.set_max_map_size(MAX_ITEMS);
    engine.disable_symbol("eval");
    engine.register_type_with_name::<ExpressionInput>("row");
    engine.register_indexer_get(|row: &mut ExpressionInput, name: &str| row.get(name));
    text_functions(&mut engine);
    engine
}

fn check_expression(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Ok(())
    } else {
        compile(&engine(1, &EvaluationDeadline::new()), text).map(drop)
    }
}

fn compile(engine: &Engine, text: &str) -> Result<AST, String> {
    engine
        .compile_expression(text)
        .map_err(|error| format!("Invalid expression: {error}"))
}

/// A key or value; an expression copies only the members that it names.
#[derive(Clone)]
struct ExpressionInput(Arc<Datum>);

impl ExpressionInput {
    fn get(&self, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        let found = match (&self.0.schema, &self.0.value) {
            (Some(schema), Value::Struct(members)) => {
                let found = schema
                    .field_index(name)
                    .and_then(|at| members.get(at).zip(schema.fields.get(at)));
                found.map(|(value, field)| (value, Some(&*field.schema)))
            }
            (_, Value::Map(entries)) => {
                let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
                let of = self
                    .0
                    .schema
                    .as_ref()
                    .and_then(|schema| schema.values.as_deref());
                found.map(|(_, value)| (value, of))
            }
            _ => None,
        };
        let Some((value, schema)) = found else {
            return Ok(Dynamic::UNIT);
        };
        if is_small(value) {
            Ok(dynamic(value, schema))
        } else {
            Err(too_large("A part of the record"))
        }
    }
}

fn dynamic(value: &Value, schema: Option<&Schema>) -> Dynamic {
    let inner = schema.and_then(|schema| schema.values.as_deref());
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(b) => (*b).into(),
        Value::F32(n) => f64::from(*n).into(),
        Value::F64(n) => (*n).into(),
        Value::Decimal(n) => n.to_string().parse::<f64>().unwrap_or(f64::NAN).into(),
        Value::Text(text) => (&**text).into(),
        Value::Bytes(bytes) => Dynamic::from_blob(bytes.to_vec()),
        Value::Array(items) => {
            Dynamic::from_array(items.iter().map(|item| dynamic(item, inner)).collect())
        }
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?.into(), dynamic(value, inner))));
            Dynamic::from_map(entries.collect())
        }
        Value::Struct(members) => {
            let fields = schema
                .map_or(&[][..], |schema| &schema.fields)
                .iter()
                .zip(members);
            Dynamic::from_map(
                fields
                    .map(|(f, value)| ((&*f.name).into(), dynamic(value, Some(&f.schema))))
                    .collect(),
            )
        }
        other => other.as_i64().unwrap_or_default().into(),
    }
}

/// Returns a part of the record as an expression sees it: whole structs and maps by name, anything
/// else as a value.
/// Errors: `Record` if it is larger than an expression may process.
fn visible(name: &str, datum: &Arc<Datum>) -> Result<Dynamic> {
    match &datum.value {
        Value::Struct(_) | Value::Map(_) => Ok(Dynamic::from(ExpressionInput(Arc::clone(datum)))),
        other if is_small(other) => Ok(dynamic(other, datum.schema.as_deref())),
        _ => Err(Error::record(format!(
            "the {name} is too large for an expression: the limits are {MAX_TEXT} bytes and \
             {MAX_ITEMS} items"
        ))),
    }
}

/// Returns the headers by name.
fn visible_headers(record: &Record) -> Result<Dynamic> {
    if record.headers.len() > MAX_ITEMS
        || !record
            .headers
            .iter()
            .all(|header| is_small(&header.datum.value))
    {
        return Err(Error::record(format!(
            "there are too many headers for an expression, or they are too large: the limits are \
             {MAX_ITEMS} headers of {MAX_TEXT} bytes each"
        )));
    }
    let headers = record.headers.iter();
    let headers = headers.map(|h| {
        (
            (&*h.key).into(),
            dynamic(&h.datum.value, h.datum.schema.as_deref()),
        )
    });
    Ok(Dynamic::from_map(headers.collect()))
}

struct ComputedField {
    name: Arc<str>,
    ty: SchemaType,
    expression: AST,
}

/// Filters records by an expression, and computes fields of their values.
pub(crate) struct Expression {
    engine: Engine,
    filter: Option<AST>,
    fields: Vec<ComputedField>,
    within: Duration,
    deadline: EvaluationDeadline,
    plans: SchemaPlans<(Arc<Schema>, Vec<usize>)>,
}

impl Expression {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        let (filter, list, operations, within) = config.read(KEYS, |keys| {
            let limits = (
                keys.unsigned("max.operations"),
                Duration::from_millis(keys.unsigned("max.time.ms")),
            );
            (keys.text("filter"), keys.list("fields"), limits.0, limits.1)
        })?;
        let deadline = EvaluationDeadline::new();
        let engine = engine(operations, &deadline);
        let mut report = ConfigReport::default();
        check(config, &mut report);
        if !report.is_ok() {
            return Err(report);
        }
        let compiled = |key: &str, text: &str, report: &mut ConfigReport| {
            compile(&engine, text)
                .map_err(|reason| report.invalid(key, text, &reason))
                .ok()
        };
        let filter = if filter.is_empty() {
            None
        } else {
            compiled("filter", &filter, &mut report)
        };
        let mut fields = Vec::new();
        for (name, ty) in list.iter().filter_map(|item| field(item)) {
            let key = format!("set.{name}");
            let text = config.get(&key).unwrap_or_default().trim();
            if let Some(expression) = compiled(&key, text, &mut report) {
                fields.push(ComputedField {
                    name: name.into(),
                    ty,
                    expression,
                });
            }
        }
        if report.is_ok() {
            Ok(Self {
                engine,
                filter,
                fields,
                within,
                deadline,
                plans: SchemaPlans::new(),
            })
        } else {
            Err(report)
        }
    }

    fn evaluate(&self, what: &str, expression: &AST, scope: &mut Scope<'_>) -> Result<Dynamic> {
        self.engine
            .eval_ast_with_scope::<Dynamic>(scope, expression)
            .map_err(|error| Error::record(format!("the expression of {what} {}", reason(&error))))
    }

    fn keeps(&self, scope: &mut Scope<'_>) -> Result<bool> {
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        let kept = self.evaluate("filter", filter, scope)?;
        kept.as_bool().map_err(|found| {
            Error::record(format!(
                "the expression of filter returns {found}, not a boolean"
            ))
        })
    }

    fn computed(&self, scope: &mut Scope<'_>) -> Result<Vec<Value>> {
        let value = |field: &ComputedField| {
            let found = self.evaluate(&field.name, &field.expression, scope)?;
            typed(&found, field.ty).ok_or_else(|| {
                let (name, found, ty) = (&field.name, found.type_name(), field.ty.name());
                Error::record(format!(
                    "the expression of {name} returns {found}, not {ty}"
                ))
            })
        };
        self.fields.iter().map(value).collect()
    }

    /// Returns the values of the computed fields; `None` if the record is dropped.
    fn outcome(&self, scope: &mut Scope<'_>, compute: bool) -> Result<Option<Vec<Value>>> {
        if !self.keeps(scope)? {
            return Ok(None);
        }
        if compute {
            self.computed(scope).map(Some)
        } else {
            Ok(Some(Vec::new()))
        }
    }

    fn set(&mut self, datum: &mut Datum, computed: Vec<Value>) -> Result<()> {
        let Some(schema) = &datum.schema else {
            let mut entries = map_entries(&mut datum.value, PURPOSE)?;
            for (field, value) in self.fields.iter().zip(computed) {
                set_entry(&mut entries, &field.name, value);
            }
            datum.value = Value::Map(entries.into());
            return Ok(());
        };
        let mut members = struct_members(&mut datum.value, PURPOSE)?;
        let fields = &self.fields;
        let (schema, places) = &**self.plans.of(schema, |schema| extended(fields, schema))?;
        members.resize(schema.fields.len(), Value::Null);
        for (at, value) in places.iter().zip(computed) {
            members[*at] = value;
        }
        *datum = Datum::new(Arc::clone(schema), Value::Struct(members.into()));
        Ok(())
    }
}

/// Checks the computed fields: each needs a type and an expression.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    let engine = engine(1, &EvaluationDeadline::new());
    let list = config.get("fields").unwrap_or_default();
    for item in list
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let Some((name, _)) = field(item) else {
            report.invalid(
                "fields",
                list,
                &format!("{item} does not have the form field:type with a supported type"),
            );
            continue;
        };
        let key = format!("set.{name}");
        match config.get(&key).map(str::trim) {
            None => {
                report.error(
                    "fields",
                    format!("Missing required configuration \"{key}\": the expression of a field"),
                );
            }
            Some(text) => {
                if let Err(reason) = compile(&engine, text) {
                    report.error(
                        "fields",
                        format!("Invalid value {text} for configuration {key}: {reason}"),
                    );
                }
            }
        }
    }
    if list.trim().is_empty()
        && config
            .get("filter")
            .is_none_or(|filter| filter.trim().is_empty())
    {
        report.error("filter", "Neither filter nor fields configured");
    }
}

fn field(item: &str) -> Option<(&str, SchemaType)> {
    const TYPES: [SchemaType; 8] = [
        SchemaType::Int8,
        SchemaType::Int16,
        SchemaType::Int32,
        SchemaType::Int64,
        SchemaType::Float32,
        SchemaType::Float64,
        SchemaType::Boolean,
        SchemaType::String,
    ];
    let (name, ty) = item.rsplit_once(':')?;
    let (name, ty) = (name.trim(), ty.trim());
    let ty = TYPES
        .iter()
        .find(|known| known.name().eq_ignore_ascii_case(ty))?;
    (!name.is_empty()).then_some((name, *ty))
}

/// Adds the computed fields to the schema; returns their positions.
fn extended(computed: &[ComputedField], schema: &Schema) -> Result<(Arc<Schema>, Vec<usize>)> {
    let mut list: Vec<Field> = list_fields(schema)?.to_vec();
    let mut places = Vec::with_capacity(computed.len());
    let at: HashMap<Arc<str>, usize> = list
        .iter()
        .enumerate()
        .map(|(at, field)| (Arc::clone(&field.name), at))
        .collect();
    for field in computed {
        let new = Field::new(Arc::clone(&field.name), Schema::of(field.ty).optional(true));
        match at.get(&field.name) {
            Some(at) => {
                list[*at] = new;
                places.push(*at);
            }
            None => {
                places.push(list.len());
                list.push(new);
            }
        }
    }
    let schema = Schema {
        optional: schema.optional,
        fields: fields(list)?,
        ..with_basics_of(schema, SchemaType::Struct)
    };
    Ok((Arc::new(schema), places))
}

/// Converts a result to the declared type; `None` if it is of another type or does not fit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the nearest float is meant"
)]
fn typed(found: &Dynamic, ty: SchemaType) -> Option<Value> {
    if found.is_unit() {
        return Some(Value::Null);
    }
    let float = || {
        found
            .as_float()
            .or_else(|_| found.as_int().map(|n| n as f64))
            .ok()
    };
    Some(match ty {
        SchemaType::Boolean => Value::Bool(found.as_bool().ok()?),
        SchemaType::Float32 => Value::F32(float()? as f32),
        SchemaType::Float64 => Value::F64(float()?),
        SchemaType::String => match found.read_lock::<rhai::ImmutableString>() {
            Some(text) => Value::Text(text.as_str().into()),
            None => return None,
        },
        SchemaType::Int8 => Value::I8(found.as_int().ok()?.try_into().ok()?),
        SchemaType::Int16 => Value::I16(found.as_int().ok()?.try_into().ok()?),
        SchemaType::Int32 => Value::I32(found.as_int().ok()?.try_into().ok()?),
        _ => Value::I64(found.as_int().ok()?),
    })
}

/// Describes an evaluation error without values.
fn reason(error: &EvalAltResult) -> String {
    match error.unwrap_inner() {
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            format!("uses {name}, which does not exist")
        }
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            format!("uses the property {name}, which does not exist")
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            format!("needs {signature}, which does not exist")
        }
        EvalAltResult::ErrorMismatchDataType(needed, found, _) => {
            format!("needs {needed}, but found {found}")
        }
        EvalAltResult::ErrorTooManyOperations(_) => {
            "takes more operations than max.operations allows".to_owned()
        }
        EvalAltResult::ErrorTerminated(..) => "takes longer than max.time.ms allows".to_owned(),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            format!("creates a value that is too large ({what})")
        }
        EvalAltResult::ErrorArithmetic(..) => {
            "cannot be computed: division by zero, or a number is too large".to_owned()
        }
        EvalAltResult::ErrorIndexingType(..) | EvalAltResult::ErrorDotExpr(..) => {
            "accesses a member of something without members, such as null: use `?.` and `??` to \
             handle null"
                .to_owned()
        }
        _ => "cannot be computed for this record".to_owned(),
    }
}

impl Transform for Expression {
    fn apply(&mut self, mut record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let value = Arc::new(std::mem::take(&mut record.value));
        let key = Arc::new(std::mem::take(&mut record.key));
        let mut scope = Scope::new();
        self.deadline.set(self.within);
        scope.push_dynamic("value", visible("value", &value)?);
        scope.push_dynamic("key", visible("key", &key)?);
        scope.push_dynamic("topic", (&*record.topic).into());
        scope.push_dynamic(
            "partition",
            record
                .partition
                .map_or(Dynamic::UNIT, |n| i64::from(n).into()),
        );
        scope.push_dynamic("offset", at.map_or(Dynamic::UNIT, |at| at.offset.into()));
        scope.push_dynamic(
            "timestamp",
            record.timestamp_ms.map_or(Dynamic::UNIT, Dynamic::from),
        );
        scope.push_dynamic("headers", visible_headers(&record)?);
        let compute = !self.fields.is_empty() && !value.value.is_null();
        let mut outcome = self.outcome(&mut scope, compute);
        // The process may have been suspended meanwhile: give the record a second attempt before it
        // counts as bad.
        if outcome.is_err() && self.deadline.is_over() {
            self.deadline.set(self.within);
            outcome = self.outcome(&mut scope, compute);
        }
        drop(scope);
        let Some(computed) = outcome? else {
            return Ok(None);
        };
        record.key = Arc::unwrap_or_clone(key);
        record.value = Arc::unwrap_or_clone(value);
        if compute {
            self.set(&mut record.value, computed)?;
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests;
