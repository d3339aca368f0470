//! Turns the values of one column into parameters. How is decided once per shape and table, then
//! applied to every record.
//!
//! Pure. Text and bytes are borrowed from the record; decimals and points in time become SQL texts.

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Decimal, Error, Result, Schema, SchemaType, SinkRecord, Value};

use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;
use crate::dialect::source_type::BITS;
use crate::dialect::writing::{ColumnCapacity, KeyForm, StatementColumn, WriteDialect, hex};
use crate::driver::SqlParam;
use crate::sink::config::adapt_rules::NESTED;
use crate::sink::config::columns::{RecordColumn, ValueSlot};
use crate::sink::config::{SchemaEvolution, SinkConfig, TimeRules};
use crate::sink::mapping::adapt::{debezium, type_of};
use crate::sink::mapping::fit::Fit;
use crate::sink::mapping::foreign;
use crate::sink::mapping::hstore;
use crate::sink::mapping::key_form::in_form;
use crate::sink::mapping::kind::{BindKind, ColumnUses, KnownColumn, kind_of};
use crate::sink::mapping::time::parse_instant;
use crate::sink::mapping::value_source::ValueSource;
use crate::sink::write::copy::CopyText;
use crate::sink::write::header::{header, header_bytes};
use crate::sink::write::room::excess;
use crate::zone::JdbcTimeZone;

/// Why NULL is refused where the server would store something else.
const NO_NULL: &str = "NULL cannot be stored in type TIMESTAMP NOT NULL, for which the server would store the current \
     time; allow NULL (auto.evolve=widen does), leave the field out (field.exclude.list) for the \
     column's own default, or give the field a default in the record's schema (used with replace.null.with.default)";

/// Binds the values of one column.
#[derive(Clone, Debug)]
pub struct ColumnBinder {
    /// The column's name in the table.
    pub name: Arc<str>,
    slot: ValueSlot,
    source: ValueSource,
    kind: BindKind,
    /// How values are converted so that they keep their meaning in the column.
    fit: Fit,
    column: Option<Arc<KnownColumn>>,
    /// Replaces NULL in the record.
    default: Option<Value>,
    /// The SQL type that values are cast to.
    cast: String,
    /// True if the column holds more digits than a 32-bit float.
    wide_float: bool,
    as_text: bool,
    /// The column numbers its rows itself, see [`ColumnMeta`].
    pub always_numbered: bool,
    own_equality: Option<String>,
    /// Most digits of a decimal.
    decimal_digits: Option<usize>,
    time: Arc<TimeRules>,
    /// The longest value that fits before the column has to be lengthened.
    room: Option<ColumnCapacity>,
    /// The values are little-endian, and the column wants big-endian.
    reversed: bool,
    /// The server would store another value for NULL.
    refuses_null: bool,
    /// The column holds text, as which a list would be written in the database's own format.
    refuses_lists: bool,
    /// The form of the column's values, if it is part of the key.
    key_form: KeyForm,
}

impl ColumnBinder {
    /// Creates the binder of one column of a shape; `meta` is the table's column.
    pub fn new(
        config: &SinkConfig,
        time: &Arc<TimeRules>,
        writing: &WriteDialect,
        column: &RecordColumn,
        meta: Option<&ColumnMeta>,
    ) -> Self {
        let instant = !column.key && config.time.fields.contains(&*column.field);
        // array items are bound like single values
        let schema = innermost(&column.schema);
        let items = column.schema.ty == SchemaType::Array;
        let uses = ColumnUses {
            schema: Some(Arc::new(schema.clone())),
            key: column.key,
            instant,
            items,
        };
        let known = meta.map(|m| KnownColumn::new(writing, m, uses));
        let (kind, meaning) = kind_of(schema, instant, known.as_ref().map(|known| &known.holds));
        let replace = column.key || config.replace_null;
        let time = time_of(time, known.as_ref());
        Self {
            name: meta.map_or_else(|| Arc::clone(&column.name), |m| Arc::from(m.name.as_str())),
            slot: column.slot.clone(),
            source: ValueSource::of(column),
            kind,
            fit: known.as_ref().map_or(Fit::Open, |known| known.fit(meaning)),
            column: known.map(Arc::new),
            default: column.schema.default.clone().filter(|_| replace),
            cast: meta.map_or_else(String::new, |m| writing.columns.cast(m)),
            as_text: writing.capabilities.binds_text,
            always_numbered: meta.is_some_and(|m| m.always_numbered),
            own_equality: meta.and_then(|m| m.own_equality.clone()),
            decimal_digits: meta.and_then(|m| writing.columns.decimal_digits(m)),
            wide_float: meta
                .is_some_and(|m| !matches!(m.data_type.as_str(), "float" | "real" | "float4")),
            time,
            reversed: is_reversed(schema, meta),
            refuses_null: meta.is_some_and(|m| writing.columns.replaces_null(m)),
            refuses_lists: refuses_lists(writing, meta),
            key_form: meta
                .filter(|_| column.key)
                .map_or(KeyForm::AsIs, |m| writing.columns.key_form(m)),
            room: meta
                .filter(|_| config.evolve == SchemaEvolution::Widen)
                .and_then(|m| writing.columns.capacity(m)),
        }
    }

    /// Adapts to a changed column.
    pub fn refresh(&mut self, writing: &WriteDialect, meta: &ColumnMeta) {
        self.cast = writing.columns.cast(meta);
        self.own_equality.clone_from(&meta.own_equality);
        self.wide_float = !matches!(meta.data_type.as_str(), "float" | "real" | "float4");
        self.room = writing.columns.capacity(meta);
        self.refuses_null = writing.columns.replaces_null(meta);
        let Some(known) = self.column.as_deref() else {
            return;
        };
        if known.uses.key {
            self.key_form = writing.columns.key_form(meta);
        }
        if let Some(schema) = known.uses.schema.clone() {
            let known = KnownColumn::new(writing, meta, known.uses.clone());
            let (kind, meaning) = kind_of(&schema, known.uses.instant, Some(&known.holds));
            (self.kind, self.fit, self.column) = (kind, known.fit(meaning), Some(Arc::new(known)));
        }
    }

    /// True if two different values may become equal in the column.
    pub fn may_merge(&self) -> bool {
        !matches!(self.fit, Fit::Open | Fit::Uuid | Fit::Finite)
            || matches!(self.kind, BindKind::Debezium(_) | BindKind::Span(_))
    }

    /// Returns the room that a record's value needs if the column has less, in the units of its
    /// [`ColumnCapacity`].
    pub fn excess(&self, record: &SinkRecord) -> Option<u64> {
        let room = self.room?;
        let numbers = matches!(
            room,
            ColumnCapacity::Digits { .. } | ColumnCapacity::Bits { .. }
        );
        // a date has a number of its own, and no column of numbers takes it
        if numbers && self.kind != BindKind::Plain {
            return None;
        }
        let within = |of: &'_ Value, n: usize| match of {
            Value::Struct(members) => members.get(n).and_then(|value| excess(value, room)),
            _ => None,
        };
        match &self.slot {
            ValueSlot::Key => excess(&record.record.key.value, room),
            ValueSlot::Value => excess(&record.record.value.value, room),
            ValueSlot::KeyField(n) => within(&record.record.key.value, *n),
            ValueSlot::ValueField(n) => within(&record.record.value.value, *n),
            _ => None,
        }
    }

    /// Creates the binder for a value of a statement that the user wrote.
    pub fn of_value(
        config: &SinkConfig,
        time: &Arc<TimeRules>,
        writing: &WriteDialect,
        (name, meta): (&str, Option<&ColumnMeta>),
        schema: &Arc<Schema>,
    ) -> Self {
        let name: Arc<str> = Arc::from(name);
        let column = RecordColumn {
            field: Arc::clone(&name),
            name: Arc::clone(&name),
            schema: Arc::clone(schema),
            key: false,
            slot: ValueSlot::Value,
        };
        // the target column is unknown, so a 32-bit float keeps the digits of its shortest text
        let mut binder = Self {
            wide_float: !writing.capabilities.binds_text,
            source: ValueSource::parameter(&name, schema),
            ..Self::new(config, time, writing, &column, None)
        };
        if let Some(meta) = meta {
            let instant = config.time.fields.contains(&*name);
            let items = schema.ty == SchemaType::Array;
            // the value may be used to look rows up
            let known = KnownColumn::new(
                writing,
                meta,
                ColumnUses {
                    schema: None,
                    key: true,
                    instant,
                    items,
                },
            );
            let (kind, meaning) = kind_of(innermost(schema), instant, Some(&known.holds));
            binder.time = time_of(time, Some(&known));
            binder.reversed = is_reversed(innermost(schema), Some(meta));
            binder.refuses_lists = refuses_lists(writing, Some(meta));
            binder.refuses_null = writing.columns.replaces_null(meta);
            (binder.kind, binder.fit, binder.column) =
                (kind, known.fit(meaning), Some(Arc::new(known)));
        }
        binder
    }

    /// Returns the parameter of a value without schema.
    pub fn schemaless(&self, value: &Value) -> Result<SqlParam<'_>> {
        self.with_schema(&Schema::of(type_of(value)), value)
    }

    /// Returns the parameter of a value that has its own schema.
    pub fn with_schema(&self, schema: &Schema, value: &Value) -> Result<SqlParam<'static>> {
        let known = self.column.as_deref();
        let instant = known.is_some_and(|known| known.uses.instant);
        let (kind, meaning) = kind_of(schema, instant, known.map(|known| &known.holds));
        let fit = known.map_or(Fit::Open, |known| known.fit(meaning));
        let binder = Self {
            kind,
            fit,
            default: schema.default.clone(),
            source: self.source.typed(schema),
            ..self.clone()
        };
        Ok(match binder.value(value)? {
            SqlParam::Text(text) => SqlParam::Text(Cow::Owned(text.into_owned())),
            SqlParam::Bytes(bytes) => SqlParam::Bytes(Cow::Owned(bytes.into_owned())),
            SqlParam::Null => SqlParam::Null,
            SqlParam::Bool(flag) => SqlParam::Bool(flag),
            SqlParam::I64(n) => SqlParam::I64(n),
            SqlParam::U64(n) => SqlParam::U64(n),
            SqlParam::F32(n) => SqlParam::F32(n),
            SqlParam::F64(n) => SqlParam::F64(n),
        })
    }

    /// The column's type with its length, as SQL.
    pub fn full_type(&self) -> &str {
        match &self.column {
            // with a length it is one of the types that SQL itself has words for
            Some(column) if column.ty.ends_with(')') && self.cast.starts_with("pg_catalog.") => {
                &column.ty
            }
            _ => &self.cast,
        }
    }

    /// True if the column has a spatial type.
    pub fn is_spatial(&self) -> bool {
        const TYPES: [&str; 6] = [
            "point",
            "linestring",
            "polygon",
            "geometry",
            "geometrycollection",
            "multi",
        ];
        let ty = self.column.as_ref().map(|column| column.ty.as_str());
        ty.is_some_and(|ty| TYPES.iter().any(|spatial| ty.starts_with(spatial)))
    }

    /// True if the column holds references to objects of the database, which it looks up by the
    /// name that it gets (`regclass`, `regtype`, …).
    pub fn looks_up(&self) -> bool {
        self.cast.starts_with("pg_catalog.\"reg")
    }

    /// True if a record's text has more characters than the column takes, or another number of bits
    /// than a `bit(n)` has.
    pub fn exceeds(&self, record: &SinkRecord) -> bool {
        let limit = self.column.as_ref().and_then(|column| {
            let (name, length) = column.ty.split_once('(')?;
            let length = length.trim_end_matches(')').parse::<usize>().ok()?;
            Some((name, length))
        });
        match (limit, self.param(record)) {
            (Some(("bit", length)), Ok(SqlParam::Text(text))) => text.len() != length,
            (Some((name, length)), Ok(SqlParam::Text(text))) => {
                name.starts_with("character") && text.chars().count() > length
                    || name == "bit varying" && text.len() > length
            }
            _ => false,
        }
    }

    /// Returns the column as a statement names it.
    pub fn statement_column(&self) -> StatementColumn<'_> {
        StatementColumn {
            name: &self.name,
            cast: &self.cast,
            always_numbered: self.always_numbered,
            own_equality: self.own_equality.as_deref(),
        }
    }

    /// Returns the parameter of a record.
    /// Errors: `Record` if the value does not fit any column type.
    pub fn param<'a>(&'a self, record: &'a SinkRecord) -> Result<SqlParam<'a>> {
        self.checked(self.found(record)?)
    }

    /// Appends a record's value to COPY rows. Errors: see [`Self::param`].
    pub fn append(&self, record: &SinkRecord, rows: &mut CopyText) -> Result<()> {
        match self.found(record)? {
            SqlParam::Null => rows.null(),
            SqlParam::I64(n) => rows.text(itoa::Buffer::new().format(n)),
            SqlParam::F64(n) => rows.plain(format_args!("{n:?}")),
            SqlParam::Bytes(bytes) => rows.bytes(&bytes),
            other => match self.text(other) {
                SqlParam::Text(text) => rows.text(&text),
                _ => rows.null(),
            },
        }
        Ok(())
    }

    fn found<'a>(&'a self, record: &'a SinkRecord) -> Result<SqlParam<'a>> {
        let value = match &self.slot {
            ValueSlot::Topic => return Ok(SqlParam::Text(Cow::Borrowed(&record.record.topic))),
            ValueSlot::Partition => return Ok(SqlParam::I64(i64::from(record.at.partition))),
            ValueSlot::Offset => return Ok(SqlParam::I64(record.at.offset)),
            ValueSlot::Key => &record.record.key.value,
            ValueSlot::Value => &record.record.value.value,
            ValueSlot::KeyField(n) => self.field(&record.record.key.value, *n)?,
            ValueSlot::ValueField(n) => self.field(&record.record.value.value, *n)?,
            ValueSlot::Timestamp => {
                let text = record
                    .record
                    .timestamp_ms
                    .map(|millis| self.time.timestamp(millis, 1000));
                return Ok(text.map_or(SqlParam::Null, |text| SqlParam::Text(Cow::Owned(text))));
            }
            ValueSlot::Header(name) if self.holds(&TargetColumnType::Bytes) => {
                return header_bytes(&record.record.headers, name);
            }
            ValueSlot::Header(name) => {
                return header(&record.record.headers, name).and_then(|param| self.fitted(param));
            }
        };
        self.stored(value)
    }

    fn holds(&self, target: &TargetColumnType) -> bool {
        self.column
            .as_ref()
            .is_some_and(|known| known.holds == *target)
    }

    /// Returns the parameter of a value.
    pub fn value<'a>(&'a self, value: &'a Value) -> Result<SqlParam<'a>> {
        self.checked(self.stored(value)?)
    }

    fn checked<'a>(&self, param: SqlParam<'a>) -> Result<SqlParam<'a>> {
        if self.refuses_null && matches!(param, SqlParam::Null) {
            return Err(self.wrong(NO_NULL));
        }
        Ok(self.converted(param))
    }

    fn converted<'a>(&self, param: SqlParam<'a>) -> SqlParam<'a> {
        if self.as_text {
            self.text(param)
        } else {
            param
        }
    }

    fn stored<'a>(&'a self, value: &'a Value) -> Result<SqlParam<'a>> {
        let value = match (value, &self.default) {
            (Value::Null, Some(default)) => default,
            _ => value,
        };
        if self.as_text
            && let Value::Array(items) = value
        {
            if self.refuses_lists {
                return Err(
                    self.unsupported("Unsupported source data type: ARRAY, for a column of text")
                );
            }
            let mut out = String::new();
            self.array(items, &mut out)?;
            return Ok(SqlParam::Text(Cow::Owned(out)));
        }
        self.bound(value)
    }

    /// Converts a parameter to text that SQL casts.
    fn text<'a>(&self, param: SqlParam<'a>) -> SqlParam<'a> {
        let text = match param {
            SqlParam::Null | SqlParam::Text(_) => return param,
            SqlParam::Bool(flag) => {
                return SqlParam::Text(Cow::Borrowed(if flag { "true" } else { "false" }));
            }
            SqlParam::I64(n) => itoa::Buffer::new().format(n).to_owned(),
            SqlParam::U64(n) => itoa::Buffer::new().format(n).to_owned(),
            SqlParam::F32(n) if self.wide_float => format!("{:?}", f64::from(n)),
            SqlParam::F32(n) => format!("{n:?}"),
            SqlParam::F64(n) => format!("{n:?}"),
            SqlParam::Bytes(bytes) => {
                let mut out = String::with_capacity(bytes.len() * 2 + 2);
                out.push_str("\\x");
                hex(&bytes, &mut out);
                out
            }
        };
        SqlParam::Text(Cow::Owned(text))
    }

    /// Appends an array in PostgreSQL's text format: `{1,"two",NULL}`.
    fn array(&self, items: &[Value], out: &mut String) -> Result<()> {
        out.push('{');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            if let Value::Array(items) = item {
                self.array(items, out)?;
                continue;
            }
            match self.text(self.bound(item)?) {
                SqlParam::Text(text) => {
                    out.push('"');
                    for c in text.chars() {
                        if matches!(c, '"' | '\\') {
                            out.push('\\');
                        }
                        out.push(c);
                    }
                    out.push('"');
                }
                _ => out.push_str("NULL"),
            }
        }
        out.push('}');
        Ok(())
    }

    fn field<'a>(&self, of: &'a Value, n: usize) -> Result<&'a Value> {
        match of {
            Value::Struct(fields) => fields
                .get(n)
                .ok_or_else(|| self.wrong("its struct has too few fields")),
            _ => Err(self.wrong("its value is not a struct, although its schema says so")),
        }
    }

    fn bound<'a>(&'a self, value: &'a Value) -> Result<SqlParam<'a>> {
        let mut param = self.bind_value(value)?;
        if self.fit != Fit::Open {
            param = self
                .fitted(param)
                .map_err(|error| foreign::explained(error, value))?;
        }
        Ok(if self.key_form == KeyForm::AsIs {
            param
        } else {
            in_form(self.key_form, param)
        })
    }

    fn fitted<'a>(&self, param: SqlParam<'a>) -> Result<SqlParam<'a>> {
        self.fit
            .apply(param, &self.time)
            .map_err(|why| self.wrong(&why))
    }

    /// Binds a value that is more than its plain type says.
    fn converted_by_kind<'a>(&self, value: &'a Value) -> Result<SqlParam<'a>> {
        let text = |text: String| Ok(SqlParam::Text(Cow::Owned(text)));
        match (self.kind, value.as_i64(), value) {
            (BindKind::Date, Some(days), _) => text(self.time.date(days)),
            (BindKind::Time, Some(millis), _) => text(self.time.time(millis)),
            (BindKind::Timestamp, Some(millis), _) => text(self.time.timestamp(millis, 1000)),
            (BindKind::Instant, Some(units), _) => {
                text(self.time.timestamp(units, self.time.units_per_second))
            }
            (BindKind::Instant, None, Value::Text(iso)) => self.instant(iso),
            (BindKind::Debezium(meaning), ..) => match debezium::text(meaning, value, &self.time) {
                Some(Value::Text(sql)) => text(sql.to_string()),
                _ => Err(self.wrong(
                    "its value is not as its schema's name promises, or is out of its range",
                )),
            },
            (BindKind::Span(per_second), Some(units), _) => {
                Ok(SqlParam::I64(debezium::micros(units, per_second)))
            }
            (BindKind::Bits, _, Value::Bytes(bits)) => match debezium::number_of_bits(bits) {
                Some(n) => Ok(SqlParam::I64(n)),
                None => Err(self.wrong(
                    "its bits are a number of more than 63 bits; a BIT or BLOB column stores them",
                )),
            },
            (BindKind::Geometry(fields, format), ..) => {
                fields.param(value, format).map_err(|why| self.wrong(&why))
            }
            (BindKind::Hstore, _, Value::Map(entries)) => match hstore::of_map(entries) {
                Some(map) => text(map),
                None => Err(self.wrong(
                    "its map has a nested name or value, and type hstore stores texts only; use \
                         a jsonb column with nested.mode=json",
                )),
            },
            (BindKind::Hstore, _, Value::Text(json)) => Ok(SqlParam::Text(
                hstore::of_json(json).map_or(Cow::Borrowed(&**json), Cow::Owned),
            )),
            _ => Err(self.wrong("its value does not fit its schema's logical type")),
        }
    }

    fn bind_value<'a>(&self, value: &'a Value) -> Result<SqlParam<'a>> {
        if self.kind != BindKind::Plain && !value.is_null() {
            return self.converted_by_kind(value);
        }
        Ok(match value {
            Value::Null => SqlParam::Null,
            Value::Bool(flag) => SqlParam::Bool(*flag),
            Value::I8(n) => SqlParam::I64(i64::from(*n)),
            Value::I16(n) => SqlParam::I64(i64::from(*n)),
            Value::I32(n) => SqlParam::I64(i64::from(*n)),
            Value::I64(n) => SqlParam::I64(*n),
            Value::F32(n) if self.wide_float && !self.as_text => SqlParam::F64(widened(*n)),
            Value::F32(n) => SqlParam::F32(*n),
            Value::F64(n) => SqlParam::F64(*n),
            Value::Decimal(n)
                if self
                    .decimal_digits
                    .is_some_and(|most| n.significant_digits() > most) =>
            {
                return Err(self.wrong(
                    "its decimal has more digits than the database supports; use a TEXT column",
                ));
            }
            Value::Decimal(n) if !n.has_usual_scale() => {
                let (scale, most) = (n.scale(), Decimal::MAX_SCALE);
                return Err(self.wrong(&format!(
                    "its decimal has scale {scale}; scales from -{most} to {most} are supported \
                     (Decimal::MAX_SCALE)"
                )));
            }
            Value::Decimal(n) => SqlParam::Text(Cow::Owned(digits(n))),
            Value::Text(text) => SqlParam::Text(Cow::Borrowed(text)),
            Value::Bytes(bytes) if self.reversed => {
                SqlParam::Bytes(bytes.iter().rev().copied().collect::<Vec<_>>().into())
            }
            Value::Bytes(bytes) => SqlParam::Bytes(Cow::Borrowed(bytes)),
            Value::Array(_) | Value::Map(_) | Value::Struct(_) => {
                return Err(self.nested(value));
            }
        })
    }

    fn instant(&self, text: &str) -> Result<SqlParam<'static>> {
        let per_second = self.time.units_per_second;
        let units = text
            .trim()
            .parse()
            .ok()
            .or_else(|| parse_instant(text, per_second));
        match units {
            Some(units) => Ok(SqlParam::Text(Cow::Owned(
                self.time.timestamp(units, per_second),
            ))),
            None => Err(self.wrong(
                "timestamp.fields.list names it, but its text is neither digits nor an ISO \
                     8601 time",
            )),
        }
    }

    #[cold]
    fn nested(&self, value: &Value) -> Error {
        let ty = match value {
            Value::Array(_) => "ARRAY",
            Value::Map(_) => "MAP",
            _ => "STRUCT",
        };
        self.unsupported(&format!("Unsupported source data type: {ty}"))
    }

    #[cold]
    fn unsupported(&self, why: &str) -> Error {
        let error = Error::record(format!("column {}: {why}", self.name));
        error.and_line(NESTED).and_line(&self.described(NESTED))
    }

    #[cold]
    fn wrong(&self, why: &str) -> Error {
        Error::record(format!("column {}: {why}", self.name)).and_line(&self.described(why))
    }

    /// Returns the line of an error that names the field, its type, the column's type and the
    /// settings that help.
    pub fn described(&self, why: &str) -> String {
        let ty = self.column.as_ref().map(|column| column.ty.as_str());
        self.source.line(ty, why)
    }
}

/// The scale that the JDBC driver gives to PostgreSQL's numeric without one.
const UNBOUNDED_SCALE: i32 = 127;

/// Returns a decimal as text. The zeros of an unbounded scale are not the value's own.
fn digits(n: &Decimal) -> String {
    let text = n.to_string();
    if n.scale() != UNBOUNDED_SCALE {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns how a column's dates and times are written. Columns that hold instants ignore
/// `db.timezone`, because sessions are in UTC.
fn time_of(time: &Arc<TimeRules>, known: Option<&KnownColumn>) -> Arc<TimeRules> {
    match known.map(|known| &known.holds) {
        Some(TargetColumnType::DateTime { instant: true, .. }) if !time.zone.is_utc() => {
            Arc::new(TimeRules {
                zone: JdbcTimeZone::default(),
                ..TimeRules::clone(time)
            })
        }
        _ => Arc::clone(time),
    }
}

/// True if Debezium's bytes of a bit string, the lowest first, go to a column of bits.
fn is_reversed(schema: &Schema, meta: Option<&ColumnMeta>) -> bool {
    schema.is_named(BITS) && meta.is_some_and(|m| matches!(m.data_type.as_str(), "bit" | "varbit"))
}

/// True if a column holds text, and no list of texts.
fn refuses_lists(writing: &WriteDialect, meta: Option<&ColumnMeta>) -> bool {
    meta.is_some_and(|meta| {
        matches!(
            writing.columns.target_type(meta),
            TargetColumnType::Text | TargetColumnType::ShortText(_)
        )
    })
}

/// Returns the schema of the items of nested arrays.
fn innermost(items: &Schema) -> &Schema {
    match (items.ty, &items.values) {
        (SchemaType::Array, Some(inner)) => innermost(inner),
        _ => items,
    }
}

/// Returns the 64-bit float with the same shortest decimal text, so that 0.1 stays 0.1.
fn widened(n: f32) -> f64 {
    n.to_string().parse().unwrap_or_else(|_| f64::from(n))
}

#[cfg(test)]
mod tests;
