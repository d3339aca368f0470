//! Transforms that take the topic from the record: Confluent's `ExtractTopic` and
//! `MessageTimestampRouter`. The behaviour follows their public documentation; the texts are our
//! own.

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value, logical,
};

use super::date_format::DateFormat;
use super::part::{RecordPart, key};
use super::route::check_format;

/// The keys of [`ExtractTopic`].
pub(crate) const EXTRACT_KEYS: &[ConfigKey] = &[
    key(
        "field",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::Medium,
        "Field, or header, with the name of the topic. Not set: the whole key or value is the name.",
    ),
    key(
        "field.format",
        ConfigType::String,
        DefaultValue::Text("PLAIN"),
        Importance::Medium,
        "PLAIN: field is the name of a field. JSON_PATH: field is a path, such as $.a.b or \
         $[\"a\"][\"b\"].",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["PLAIN", "JSON_PATH"])),
    key(
        "skip.missing.or.null",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Low,
        "Whether records whose name is missing or null keep their topic. If false, they are errors.",
    ),
];

/// Where [`ExtractTopic`] finds the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicPlace {
    /// In the key or value.
    In(RecordPart),
    Header,
}

/// Sets the topic to the text of a field or header.
pub(crate) struct ExtractTopic {
    place: TopicPlace,
    field: String,
    path: Vec<String>,
    skip: bool,
}

/// Checks constraints between keys: a header must be named, a path must be valid.
pub(crate) fn check_header(config: &Config, report: &mut ConfigReport) {
    if config
        .get("field")
        .is_none_or(|field| field.trim().is_empty())
    {
        report.error(
            "field",
            "Missing required configuration \"field\": the header with the topic's name",
        );
    }
    let plain = config
        .get("field.format")
        .is_none_or(|format| format.trim().eq_ignore_ascii_case("PLAIN"));
    if !plain {
        report.error(
            "field.format",
            "A header is selected by name only: field.format must be PLAIN",
        );
    }
}

/// Checks constraints between keys: a path must be valid.
pub(crate) fn check_part(config: &Config, report: &mut ConfigReport) {
    let is_path = config
        .get("field.format")
        .is_some_and(|format| format.trim().eq_ignore_ascii_case("JSON_PATH"));
    let field = config.get("field").unwrap_or_default();
    if is_path && let Err(why) = members(field) {
        report.invalid("field", field, &why);
    }
}

impl ExtractTopic {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(place: TopicPlace, config: &Config) -> Result<Self, ConfigReport> {
        let (field, format, skip) = config.read(EXTRACT_KEYS, |keys| {
            (
                keys.text("field"),
                keys.text("field.format"),
                keys.bool("skip.missing.or.null"),
            )
        })?;
        let mut report = ConfigReport::default();
        match place {
            TopicPlace::Header => check_header(config, &mut report),
            TopicPlace::In(_) => check_part(config, &mut report),
        }
        if !report.is_ok() {
            return Err(report);
        }
        let path = match (place, format.eq_ignore_ascii_case("JSON_PATH")) {
            (TopicPlace::In(_), true) => members(&field).unwrap_or_default(),
            (TopicPlace::In(_), false) if !field.is_empty() => vec![field.clone()],
            _ => Vec::new(),
        };
        Ok(Self {
            place,
            field,
            path,
            skip,
        })
    }

    fn name<'a>(&self, record: &'a Record) -> Option<&'a Value> {
        let datum: &Datum = match self.place {
            TopicPlace::Header => {
                &record
                    .headers
                    .iter()
                    .rfind(|header| *header.key == *self.field)?
                    .datum
            }
            TopicPlace::In(RecordPart::Key) => &record.key,
            TopicPlace::In(RecordPart::Value) => &record.value,
        };
        let (mut value, mut schema) = (&datum.value, datum.schema.as_deref());
        for name in &self.path {
            (value, schema) = member(value, schema, name)?;
        }
        Some(value).filter(|value| !value.is_null())
    }
}

/// Returns a member of a struct or map, with its schema.
fn member<'a>(
    value: &'a Value,
    schema: Option<&'a Schema>,
    name: &str,
) -> Option<(&'a Value, Option<&'a Schema>)> {
    match (value, schema) {
        (Value::Struct(members), Some(schema)) => {
            let at = schema.field_index(name)?;
            Some((
                members.get(at)?,
                schema.fields.get(at).map(|field| &*field.schema),
            ))
        }
        (Value::Map(entries), schema) => {
            let found = super::part::entry(entries, name)?;
            Some((found, schema.and_then(|schema| schema.values.as_deref())))
        }
        _ => None,
    }
}

/// Splits a path into names: `$` followed by `.name`, `["name"]` or `['name']` for each.
/// Errors: the part that is anything else.
fn members(path: &str) -> Result<Vec<String>, String> {
    const KNOWN: &str = "a path begins with $, and members follow as .name or [\"name\"]";
    let mut rest = path.trim().strip_prefix('$').ok_or(KNOWN)?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (name, after) = if let Some(after) = rest.strip_prefix('.') {
            after.split_at(after.find(['.', '[']).unwrap_or(after.len()))
        } else {
            let quoted = rest.strip_prefix('[').ok_or(KNOWN)?;
            let quote = quoted
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
                .ok_or(KNOWN)?;
            let (name, after) = quoted[1..].split_once(quote).ok_or(KNOWN)?;
            (name, after.strip_prefix(']').ok_or(KNOWN)?)
        };
        if name.is_empty() || name == "*" {
            return Err(KNOWN.to_owned());
        }
        members.push(name.to_owned());
        rest = after;
    }
    Ok(members)
}

impl Transform for ExtractTopic {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let what = if self.field.is_empty() {
            "the record"
        } else {
            &self.field
        };
        let name = match self.name(&record) {
            Some(Value::Text(name)) if !name.is_empty() => name.clone(),
            Some(Value::Text(_)) | None if self.skip => return Ok(Some(record)),
            Some(Value::Text(_)) | None => {
                return Err(Error::record(format!(
                    "the topic has no name: {what} is missing, null or empty; field chooses what names \
                     it, and with skip.missing.or.null=true such records keep their topic"
                )));
            }
            Some(_) => {
                return Err(Error::record(format!(
                    "the topic has no name: {what} is not a text; field must choose one (Cast can make \
                     it a string before)"
                )));
            }
        };
        record.topic = name.into();
        Ok(Some(record))
    }
}

/// The keys of [`MessageTimestampRouter`].
pub(crate) const TIMESTAMP_KEYS: &[ConfigKey] = &[
    key(
        "topic.format",
        ConfigType::String,
        DefaultValue::Text("${topic}-${timestamp}"),
        Importance::High,
        "New name of the topic; ${topic} is replaced by the old name, ${timestamp} by the \
         timestamp in the value.",
    )
    .check(KeyValidator::By(check_format)),
    key(
        "message.timestamp.keys",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Fields of the value that may contain the timestamp; the first one that exists is used.",
    )
    .check(KeyValidator::NonEmptyList),
    key(
        "message.timestamp.format",
        ConfigType::String,
        DefaultValue::Text("yyyyMMdd"),
        Importance::High,
        "Format of a timestamp that is a text, as in java.text.SimpleDateFormat, in UTC.",
    ),
    key(
        "topic.timestamp.format",
        ConfigType::String,
        DefaultValue::Text("yyyyMMdd"),
        Importance::High,
        "Format of the timestamp in the topic's name, as in java.text.SimpleDateFormat, in UTC.",
    ),
];

/// Sets the topic from a timestamp in the value. Unlike Confluent's, it accepts structs, and
/// timestamps that are not text.
pub(crate) struct MessageTimestampRouter {
    topic: String,
    fields: Vec<String>,
    read: DateFormat,
    write: DateFormat,
}

impl MessageTimestampRouter {
    /// Reads the settings. Two-digit years are read as near to `now_ms`.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config, now_ms: i64) -> Result<Self, ConfigReport> {
        let (topic, fields, read, write) = config.read(TIMESTAMP_KEYS, |keys| {
            let (read, write) = (
                keys.text("message.timestamp.format"),
                keys.text("topic.timestamp.format"),
            );
            (
                keys.text("topic.format"),
                keys.list("message.timestamp.keys"),
                read,
                write,
            )
        })?;
        let mut report = ConfigReport::default();
        let mut format = |name: &str, pattern: &str| {
            DateFormat::compile(pattern, now_ms)
                .map_err(|why| report.invalid(name, pattern, &why))
                .ok()
        };
        let formats = (
            format("message.timestamp.format", &read),
            format("topic.timestamp.format", &write),
        );
        match formats {
            (Some(read), Some(write)) => Ok(Self {
                topic,
                fields,
                read,
                write,
            }),
            _ => Err(report),
        }
    }

    /// Returns the timestamp in milliseconds since 1970-01-01 UTC.
    fn moment(&self, value: &Value, schema: Option<&Schema>) -> Option<i64> {
        match value {
            Value::Text(text) => self.read.parse(text),
            Value::I32(days) if schema.is_some_and(|schema| schema.is_named(logical::DATE)) => {
                Some(i64::from(*days) * crate::convert::calendar::DAY_MS)
            }
            Value::I64(millis)
                if schema.is_none_or(|s| {
                    s.is_named(logical::TIMESTAMP) || s.ty == SchemaType::Int64
                }) =>
            {
                Some(*millis)
            }
            _ => None,
        }
    }
}

impl Transform for MessageTimestampRouter {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let Datum { schema, value } = &record.value;
        let found = self.fields.iter().find_map(|name| {
            let found =
                member(value, schema.as_deref(), name).filter(|(value, _)| !value.is_null());
            found.map(|(value, schema)| (name, value, schema))
        });
        let Some((name, value, schema)) = found else {
            let fields = self.fields.join(", ");
            return Err(Error::record(format!(
                "the value has none of the fields {fields} of message.timestamp.keys, or they are null"
            )));
        };
        let moment = self.moment(value, schema).ok_or_else(|| {
            Error::record(format!(
                "field {name} does not contain a timestamp in the format of \
                 message.timestamp.format"
            ))
        })?;
        let text = self.write.format(moment);
        record.topic = self
            .topic
            .replace("${topic}", &record.topic)
            .replace("${timestamp}", &text)
            .into();
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Field, Header};

    use super::*;

    fn record() -> Record {
        let inner = Schema::structure(
            None,
            vec![Field::new("f.3", Schema::of(SchemaType::String))],
        );
        let fields = vec![
            Field::new("f1", inner),
            Field::new("f2", Schema::of(SchemaType::String).optional(true)),
            Field::new("day", Schema::date()),
            Field::new("time", Schema::of(SchemaType::String)),
        ];
        let inner = Value::Struct([Value::Text("deep".into())].into());
        let members = [
            inner,
            Value::Null,
            Value::I32(18_000),
            Value::Text("2019-08-06".into()),
        ];
        let value = Datum::new(
            Arc::new(Schema::structure(None, fields)),
            Value::Struct(members.into()),
        );
        let key = Datum {
            schema: None,
            value: Value::Text("by-key".into()),
        };
        let header = Header {
            key: "h".into(),
            datum: Datum {
                schema: None,
                value: Value::Text("by-header".into()),
            },
        };
        Record {
            topic: "bar".into(),
            partition: None,
            key,
            value,
            timestamp_ms: None,
            headers: vec![header],
        }
    }

    fn topic(place: TopicPlace, config: &[(&str, &str)]) -> Result<String> {
        let config: Config = config
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Ok(ExtractTopic::new(place, &config)?
            .apply(record(), None)?
            .unwrap()
            .topic
            .to_string())
    }

    #[test]
    fn a_topic_is_named_by_key_value_field_path_or_header() {
        let (key, value) = (
            TopicPlace::In(RecordPart::Key),
            TopicPlace::In(RecordPart::Value),
        );
        assert_eq!(topic(key, &[]).unwrap(), "by-key");
        assert_eq!(topic(value, &[("field", "time")]).unwrap(), "2019-08-06");
        assert_eq!(
            topic(TopicPlace::Header, &[("field", "h")]).unwrap(),
            "by-header"
        );
        let path = ("field.format", "JSON_PATH");
        assert_eq!(
            topic(value, &[("field", "$.f1['f.3']"), path]).unwrap(),
            "deep"
        );
        assert_eq!(
            topic(value, &[("field", "$[\"f1\"][\"f.3\"]"), path]).unwrap(),
            "deep"
        );
        for missing in ["f2", "none"] {
            assert!(
                topic(value, &[("field", missing)])
                    .unwrap_err()
                    .message()
                    .contains("missing, null or empty")
            );
            assert_eq!(
                topic(
                    value,
                    &[("field", missing), ("skip.missing.or.null", "true")]
                )
                .unwrap(),
                "bar"
            );
        }
        assert!(
            topic(value, &[("field", "day")])
                .unwrap_err()
                .message()
                .contains("is not a text")
        );
        assert!(topic(TopicPlace::Header, &[]).is_err());
        for bad in ["f1", "$.", "$..f1", "$[*]", "$.a[?(@.b)]", "$['a"] {
            assert!(topic(value, &[("field", bad), path]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_topic_is_named_by_a_moment_in_the_value() {
        let routed = |keys: &str, topic: &str| {
            let config = Config::from([
                ("topic.format", topic),
                ("message.timestamp.keys", keys),
                ("message.timestamp.format", "yyyy-MM-dd"),
                ("topic.timestamp.format", "yyyy.MM.dd"),
            ]);
            let routed = MessageTimestampRouter::new(&config, 0)?.apply(record(), None)?;
            Ok::<_, Error>(routed.unwrap().topic.to_string())
        };
        assert_eq!(
            routed("timestamp,time,ts", "foo-${topic}-${timestamp}").unwrap(),
            "foo-bar-2019.08.06"
        );
        assert_eq!(routed("day", "${timestamp}").unwrap(), "2019.04.14");
        assert!(
            routed("f2,none", "x")
                .unwrap_err()
                .message()
                .contains("none of the fields f2, none")
        );
        assert!(
            routed("f1", "x")
                .unwrap_err()
                .message()
                .contains("does not contain a timestamp")
        );
        assert!(routed("", "x").is_err());
        for bad in ["${value}", "x-${Timestamp}", "${topic"] {
            assert!(routed("day", bad).is_err(), "{bad}");
            let config = Config::from([("topic.format", bad)]);
            assert!(
                super::super::route::TimestampRouter::new(&config).is_err(),
                "{bad}"
            );
        }
    }
}
