//! Configuration keys: how one is declared, parsed and checked.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::Regex;

/// The type of a key's value, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ConfigDef.Type's own names")]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    /// A secret, never shown: `[hidden]` in forms, masked in logs.
    Password,
}

impl ConfigType {
    /// Returns the name used in REST responses and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// How important a key is to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ConfigDef.Importance's own names")]
pub enum Importance {
    High,
    Medium,
    Low,
}

/// Width of a key's input field in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ConfigDef.Width's own names")]
pub enum Width {
    None,
    Short,
    Medium,
    Long,
}

/// The value of a key that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// The key must be set.
    Required,
    /// The key is null when absent.
    Null,
    /// This text, parsed as if it had been given.
    Text(&'static str),
}

/// A constraint on a value. The texts of violations are Kafka's.
#[derive(Clone, Copy, Debug)]
pub enum KeyValidator {
    /// Accepts every value.
    Any,
    /// `String must be non-empty`.
    NonEmpty,
    /// `Empty list`.
    NonEmptyList,
    /// `Empty list`, and no empty item: `a, , b` and `a,`.
    Names,
    /// `Value must be at least N`.
    AtLeast(i64),
    /// `Value must be at least A` / `Value must be no more than B`.
    Between(i64, i64),
    /// `String must be one of: a, b`.
    OneOf(&'static [&'static str]),
    /// `String must be one of (case insensitive): A, B`.
    OneOfIgnoreCase(&'static [&'static str]),
    /// A list without duplicates: `Duplicate alias provided.`
    Distinct,
    /// A custom check of the trimmed text; returns only the reason of a violation.
    By(fn(&str) -> Result<(), String>),
    /// Like [`KeyValidator::By`], except that its texts show a list as it was given; the others
    /// show `[a, b]`.
    ByText(fn(&str) -> Result<(), String>),
}

impl KeyValidator {
    /// Returns a sentence about the allowed values to append to a key's documentation; empty if no
    /// short one exists.
    pub fn allowed(self) -> String {
        match self {
            Self::Any | Self::By(_) | Self::ByText(_) => String::new(),
            Self::NonEmpty | Self::NonEmptyList | Self::Names => " Not empty.".to_owned(),
            Self::Distinct => " No name twice.".to_owned(),
            Self::AtLeast(least) => format!(" At least {least}."),
            Self::Between(least, most) => format!(" From {least} to {most}."),
            Self::OneOf(values) | Self::OneOfIgnoreCase(values) => {
                let named: Vec<_> = values
                    .iter()
                    .filter(|v| !v.is_empty())
                    .map(|v| format!("`{v}`"))
                    .collect();
                format!(" One of {}.", named.join(", "))
            }
        }
    }
}

/// The declaration of one configuration key of a plug-in.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Name of the key.
    pub name: &'static str,
    /// Type of its value.
    pub ty: ConfigType,
    /// Value used when the key is absent.
    pub default: DefaultValue,
    /// Constraint on the value.
    pub check: KeyValidator,
    /// How important the key is to users.
    pub importance: Importance,
    /// Form group that shows the key; forms order keys by their position in the table.
    pub group: &'static str,
    /// Width of the input field in a form.
    pub width: Width,
    /// Label of the input field in a form.
    pub label: &'static str,
    /// Documentation, in our own words rather than Kafka's.
    pub doc: &'static str,
    /// Other spellings of the key (those of comparable connectors). If the key itself is absent,
    /// the first alias present is used.
    pub aliases: &'static [&'static str],
    /// Keys whose visibility or recommended values depend on this key.
    pub dependents: &'static [&'static str],
    /// Values that a form offers; a [`ConfigReport`](super::ConfigReport) may replace them.
    pub recommended: &'static [&'static str],
    /// Position in the form group. If `None`, keys of the group are numbered from 1 in table order.
    pub order: Option<i32>,
    /// Words accepted in addition to the values of its type, in any letter case; read as lower-case
    /// text.
    pub also: &'static [&'static str],
    /// True for a key that neither Kafka Connect nor comparable connectors have; forms list it
    /// after theirs.
    pub own: bool,
    /// Excluded from forms and documentation: a key that the connector writes into task configs.
    pub internal: bool,
    /// Accepted so that existing configurations load, but never read.
    pub idle: bool,
    /// Why the key of a transform cannot be set on a source connector, whose records have no offset
    /// yet; empty if it can. Validation appends it to the key's error.
    pub not_on_sources: &'static str,
}

impl ConfigKey {
    /// Creates a key with defaults for the rest: no check, medium importance and width, no aliases.
    pub const fn new(
        name: &'static str,
        ty: ConfigType,
        default: DefaultValue,
        group: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            ty,
            default,
            check: KeyValidator::Any,
            importance: Importance::Medium,
            group,
            width: Width::Medium,
            label: name,
            doc,
            aliases: &[],
            dependents: &[],
            recommended: &[],
            order: None,
            also: &[],
            own: false,
            internal: false,
            idle: false,
            not_on_sources: "",
        }
    }

    /// Returns the documentation shown in forms and in the reference.
    pub fn documentation(&self) -> Cow<'static, str> {
        if self.idle {
            format!("Without effect: {}", self.doc).into()
        } else {
            self.doc.into()
        }
    }

    /// Returns the default as it may be shown; `None` if there is none.
    pub fn shown_default(&self) -> Option<&'static str> {
        match self.default {
            DefaultValue::Required | DefaultValue::Null | DefaultValue::Text("") => None,
            DefaultValue::Text(_) if self.ty == ConfigType::Password => Some("hidden"),
            DefaultValue::Text(text) => Some(text),
        }
    }

    /// Marks the key as accepted but never read, so that existing configurations load. Its
    /// documentation gives the reason, starting with a lower-case letter.
    #[must_use]
    pub const fn without_effect(mut self) -> Self {
        self.idle = true;
        self
    }

    /// Refuses the key on source connectors, with the reason.
    #[must_use]
    pub const fn not_on_sources(mut self, reason: &'static str) -> Self {
        self.not_on_sources = reason;
        self
    }

    /// Sets the constraint on the value.
    #[must_use]
    pub const fn check(mut self, check: KeyValidator) -> Self {
        self.check = check;
        self
    }

    /// Sets the importance.
    #[must_use]
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// Sets width and label of the input field.
    #[must_use]
    pub const fn form(mut self, width: Width, label: &'static str) -> Self {
        self.width = width;
        self.label = label;
        self
    }

    /// Sets other spellings of the key.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the keys that depend on this one.
    #[must_use]
    pub const fn dependents(mut self, dependents: &'static [&'static str]) -> Self {
        self.dependents = dependents;
        self
    }

    /// Sets the values that a form offers.
    #[must_use]
    pub const fn recommended(mut self, recommended: &'static [&'static str]) -> Self {
        self.recommended = recommended;
        self
    }

    /// Sets the position in the form group.
    #[must_use]
    pub const fn order(mut self, order: i32) -> Self {
        self.order = Some(order);
        self
    }

    /// Sets words accepted in addition to the values of its type.
    #[must_use]
    pub const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    /// Marks a key that only Rowferry has.
    #[must_use]
    pub const fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Excludes the key from forms and documentation.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Parses and checks a value, or the default if `raw` is `None`.
    /// Errors: the complete text, such as `Invalid value x for configuration k: Not a number of
    /// type INT`.
    pub fn parse(&self, raw: Option<&str>) -> Result<ParsedValue, String> {
        let (parsed, errors) = self.evaluate(raw);
        errors.into_iter().next().map_or(Ok(parsed), Err)
    }

    /// Returns the value as far as it can be parsed, for display in a form, and the texts of all
    /// problems, as `ConfigDef.validate` does: a number that cannot be parsed also fails its range
    /// check.
    pub fn evaluate(&self, raw: Option<&str>) -> (ParsedValue, Vec<String>) {
        self.evaluate_as(self.name, raw)
    }

    /// Like [`ConfigKey::evaluate`], for a key used under another name (`transforms.NAME.field`),
    /// which the texts then show.
    pub fn evaluate_as(&self, name: &str, raw: Option<&str>) -> (ParsedValue, Vec<String>) {
        let text = match (raw, self.default) {
            (Some(text), _) => text.trim(),
            (None, DefaultValue::Text(text)) => text,
            (None, DefaultValue::Null) => return (ParsedValue::Null, Vec::new()),
            (None, DefaultValue::Required) => {
                let missing = format!(
                    "Missing required configuration \"{name}\" which has no default value."
                );
                return (ParsedValue::Null, vec![missing]);
            }
        };
        let mut errors = Vec::new();
        let parsed = match self.parse_type(text) {
            Ok(parsed) => {
                if let Err(reason) = self.verify(text, &parsed) {
                    errors.push(invalid(name, &self.shown(text, &parsed), &reason));
                }
                parsed
            }
            Err(reason) => {
                errors.push(invalid(
                    name,
                    &self.shown(text, &ParsedValue::Null),
                    &reason,
                ));
                errors.extend(self.refuse_null());
                ParsedValue::Null
            }
        };
        (parsed, errors)
    }

    /// Returns the text about a null value if the constraint rejects null.
    pub fn refuse_null(&self) -> Option<String> {
        match self.check {
            KeyValidator::AtLeast(_) | KeyValidator::Between(..) => {
                Some(invalid(self.name, "null", "Value must be non-null"))
            }
            _ => None,
        }
    }

    fn shown(&self, text: &str, parsed: &ParsedValue) -> String {
        match parsed {
            _ if self.ty == ConfigType::Password => "[hidden]".to_owned(),
            ParsedValue::List(items) if !matches!(self.check, KeyValidator::ByText(_)) => {
                format!("[{}]", items.join(", "))
            }
            _ => text.to_owned(),
        }
    }

    fn parse_type(&self, text: &str) -> Result<ParsedValue, String> {
        let whole = |min: i64, max: i64| match text.parse::<i64>() {
            Ok(n) if (min..=max).contains(&n) => Ok(ParsedValue::Int(n)),
            _ => Err(format!("Not a number of type {}", self.ty.name())),
        };
        if let Some(word) = self
            .also
            .iter()
            .find(|word| word.eq_ignore_ascii_case(text))
        {
            return Ok(ParsedValue::Text((*word).to_owned()));
        }
        match self.ty {
            ConfigType::Boolean if text.eq_ignore_ascii_case("true") => Ok(ParsedValue::Bool(true)),
            ConfigType::Boolean if text.eq_ignore_ascii_case("false") => {
                Ok(ParsedValue::Bool(false))
            }
            ConfigType::Boolean => Err("Expected value to be either true or false".to_owned()),
            ConfigType::Int => whole(i64::from(i32::MIN), i64::from(i32::MAX)),
            ConfigType::Short => whole(i64::from(i16::MIN), i64::from(i16::MAX)),
            ConfigType::Long => whole(i64::MIN, i64::MAX),
            ConfigType::Double => text
                .parse()
                .map(ParsedValue::Double)
                .map_err(|_| "Not a number of type DOUBLE".to_owned()),
            ConfigType::List if text.is_empty() => Ok(ParsedValue::List(Vec::new())),
            ConfigType::List => Ok(ParsedValue::List(
                text.split(',').map(|item| item.trim().to_owned()).collect(),
            )),
            ConfigType::String | ConfigType::Class | ConfigType::Password => {
                Ok(ParsedValue::Text(text.to_owned()))
            }
        }
    }

    fn verify(&self, text: &str, parsed: &ParsedValue) -> Result<(), String> {
        let at_least = |min: i64| match parsed {
            ParsedValue::Int(n) if *n < min => Err(format!("Value must be at least {min}")),
            _ => Ok(()),
        };
        match self.check {
            KeyValidator::Any => Ok(()),
            KeyValidator::NonEmpty if text.is_empty() => Err("String must be non-empty".to_owned()),
            KeyValidator::NonEmpty => Ok(()),
            KeyValidator::NonEmptyList | KeyValidator::Names
                if *parsed == ParsedValue::List(Vec::new()) =>
            {
                Err("Empty list".to_owned())
            }
            KeyValidator::NonEmptyList => Ok(()),
            KeyValidator::Names => match parsed {
                ParsedValue::List(items) if items.iter().any(String::is_empty) => {
                    Err("An item of the list is empty".to_owned())
                }
                _ => Ok(()),
            },
            KeyValidator::AtLeast(min) => at_least(min),
            KeyValidator::Between(min, max) => match parsed {
                ParsedValue::Int(n) if *n > max => Err(format!("Value must be no more than {max}")),
                _ => at_least(min),
            },
            KeyValidator::OneOf(allowed) if allowed.contains(&text) => Ok(()),
            KeyValidator::OneOf(allowed) => {
                Err(format!("String must be one of: {}", allowed.join(", ")))
            }
            KeyValidator::OneOfIgnoreCase(allowed)
                if allowed.iter().any(|a| a.eq_ignore_ascii_case(text)) =>
            {
                Ok(())
            }
            KeyValidator::OneOfIgnoreCase(allowed) => Err(format!(
                "String must be one of (case insensitive): {}",
                allowed.join(", ")
            )),
            KeyValidator::Distinct => match parsed {
                ParsedValue::List(items) => {
                    let mut known = HashSet::with_capacity(items.len());
                    if items.iter().all(|item| known.insert(item)) {
                        Ok(())
                    } else {
                        Err("Duplicate alias provided.".to_owned())
                    }
                }
                _ => Ok(()),
            },
            KeyValidator::By(check) | KeyValidator::ByText(check) => check(text),
        }
    }
}

fn invalid(name: &str, shown: &str, reason: &str) -> String {
    format!("Invalid value {shown} for configuration {name}: {reason}")
}

/// A parsed value of a key.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub enum ParsedValue {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

/// Checks that every item of a comma-separated list is a regular expression.
pub fn regexes(text: &str) -> Result<(), String> {
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        if let Err(error) = Regex::new(item) {
            return Err(format!(
                "Must be a valid comma-separated list of regular expression patterns: {error}"
            ));
        }
    }
    Ok(())
}
