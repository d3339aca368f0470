//! `table.name.format`: text with placeholders, parsed once.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same schema"
)]

use std::borrow::Cow;
use std::fmt;

use connector_api::{Datum, Error, Result, Schema, Value};

/// A parsed format.
#[derive(Clone, Debug, Default)]
pub(super) struct NameFormat(Vec<FormatPiece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum FormatPiece {
    Text(String),
    /// `${topic}`
    Topic,
    /// `${topic.suffix}`
    Suffix,
    /// `${source.FIELD}`
    Source(String),
}

/// A topic's name, in the forms that a table's name uses.
pub(super) struct TopicName<'a> {
    /// The name unchanged.
    pub whole: &'a str,
    /// The name with the characters replaced that the naming rules exclude.
    pub shown: Cow<'a, str>,
}

impl NameFormat {
    /// Parses a format.
    /// Errors: why, for an unknown placeholder.
    pub(super) fn read(text: &str) -> std::result::Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, behind)) = behind.split_once('}') else {
                return Err("a ${ has no closing }".to_owned());
            };
            pieces.push(FormatPiece::Text(before.to_owned()));
            pieces.push(match (name, name.strip_prefix("source.")) {
                ("topic", _) => FormatPiece::Topic,
                ("topic.suffix", _) => FormatPiece::Suffix,
                (_, Some(field)) if !field.is_empty() => FormatPiece::Source(field.to_owned()),
                _ => {
                    return Err(format!(
                        "${{{name}}} is unknown; use ${{topic}}, ${{topic.suffix}} or \
                         ${{source.FIELD}}, such as ${{source.table}}"
                    ));
                }
            });
            rest = behind;
        }
        pieces.push(FormatPiece::Text(rest.to_owned()));
        pieces.retain(|piece| *piece != FormatPiece::Text(String::new()));
        Ok(Self(pieces))
    }

    /// True if the name depends on the source of a change event.
    pub(super) fn is_by_source(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, FormatPiece::Source(_)))
    }

    /// Returns the name.
    /// Errors: `Record` if the value has no such source field; `Config` if there is no value.
    pub(super) fn text(&self, topic: &TopicName<'_>, value: Option<&Datum>) -> Result<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                FormatPiece::Text(text) => out.push_str(text),
                FormatPiece::Topic => out.push_str(&topic.shown),
                FormatPiece::Suffix => {
                    out.push_str(topic.whole.rsplit('.').next().unwrap_or(topic.whole));
                }
                FormatPiece::Source(field) => {
                    let Some(value) = value else {
                        return Err(Error::config(format!(
                            "the table {self} depends on the record"
                        )));
                    };
                    let source = member(Some((value.schema.as_deref(), &value.value)), "source");
                    let found = member(source, field).map(|(_, value)| value);
                    let Some(Value::Text(name)) = found else {
                        return Err(Error::record(format!(
                            "table.name.format {self} needs the text source.{field}, which the \
                             record's value does not have: only Debezium's change events have it \
                             (but not rows that ExtractNewRecordState has extracted from them)"
                        )));
                    };
                    out.push_str(name);
                }
            }
        }
        Ok(out)
    }
}

impl fmt::Display for NameFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            FormatPiece::Text(text) => f.write_str(text),
            FormatPiece::Topic => f.write_str("${topic}"),
            FormatPiece::Suffix => f.write_str("${topic.suffix}"),
            FormatPiece::Source(field) => write!(f, "${{source.{field}}}"),
        })
    }
}

/// A value and its schema, if it has one.
type SchemaMember<'a> = (Option<&'a Schema>, &'a Value);

/// Returns the member of that name of a struct, or of an object without schema.
fn member<'a>(of: Option<SchemaMember<'a>>, name: &str) -> Option<SchemaMember<'a>> {
    match of? {
        (Some(schema), Value::Struct(members)) => {
            let at = schema.field_index(name)?;
            Some((Some(&*schema.fields[at].schema), members.get(at)?))
        }
        (_, Value::Map(entries)) => {
            let entry = entries.iter().find(|(key, _)| key.as_str() == Some(name));
            entry.map(|(_, value)| (None, value))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Datum, Value};

    use super::{NameFormat, TopicName};

    fn text(format: &str, source: &[(&str, Value)]) -> Result<String, String> {
        let object = |entries: &[(&str, Value)]| {
            Value::Map(
                entries
                    .iter()
                    .map(|(k, v)| (Value::Text((*k).into()), v.clone()))
                    .collect(),
            )
        };
        let value = Datum {
            schema: None,
            value: object(&[("source", object(source))]),
        };
        let topic = TopicName {
            whole: "a.b.c",
            shown: "a_b_c".into(),
        };
        NameFormat::read(format)?
            .text(&topic, Some(&value))
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn placeholders_are_replaced_by_what_they_name_or_refused() {
        let source = [
            ("db", Value::Text("shop".into())),
            ("table", Value::Text("users".into())),
            ("ts", Value::I64(1)),
        ];
        assert_eq!(text("x_${source.table}", &source).unwrap(), "x_users");
        assert_eq!(
            text("${source.db}.${source.table}_${topic}", &source).unwrap(),
            "shop.users_a_b_c"
        );
        assert_eq!(text("${topic.suffix}", &source).unwrap(), "c");
        for (format, want) in [
            ("${source.schema}", "source.schema"),
            ("${source.ts}", "source.ts"),
            ("${table}", "${table} is unknown"),
            ("${Topic}", "${Topic} is unknown"),
            ("${source.}", "is unknown"),
            ("${topic", "no closing }"),
        ] {
            let error = text(format, &source).unwrap_err();
            assert!(error.contains(want), "{format}: {error}");
        }
    }
}
