//! One key: its declaration, and how its text is parsed and checked.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::Regex;

/// The type of a key's value, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are ConfigDef.Type's own names")]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    /// Never shown: `[hidden]` in forms, masked in logs.
    Password,
}

impl ConfigType {
    /// Its name in REST answers and texts.
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

/// How much a key matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are ConfigDef.Importance's own names")]
pub enum Importance {
    High,
    Medium,
    Low,
}

/// How wide a form draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are ConfigDef.Width's own names")]
pub enum Width {
    None,
    Short,
    Medium,
    Long,
}

/// What holds when the key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// It has to be given.
    Required,
    /// Nothing.
    Null,
    /// This text, parsed like a given one.
    Text(&'static str),
}

/// What a value must satisfy, with Kafka's texts.
#[derive(Clone, Copy, Debug)]
pub enum KeyValidator {
    /// Anything.
    Any,
    /// `String must be non-empty`.
    NonEmpty,
    /// `Empty list`.
    NonEmptyList,
    /// `Value must be at least N`.
    AtLeast(i64),
    /// `Value must be at least A` / `Value must be no more than B`.
    Between(i64, i64),
    /// `String must be one of: a, b`.
    OneOf(&'static [&'static str]),
    /// `String must be one of (case insensitive): A, B`.
    OneOfIgnoreCase(&'static [&'static str]),
    /// A list with no item twice: `Duplicate alias provided.`
    Distinct,
    /// A check of its own over the trimmed text; the error is the reason alone.
    By(fn(&str) -> Result<(), String>),
    /// The same; its texts show a list as it was given, where those of the others show `[a, b]`.
    ByText(fn(&str) -> Result<(), String>),
}

impl KeyValidator {
    /// What it allows, as the end of a key's documentation; empty where no few words can say it.
    pub fn allowed(self) -> String {
        match self {
            Self::Any | Self::By(_) | Self::ByText(_) => String::new(),
            Self::NonEmpty | Self::NonEmptyList => " Not empty.".to_owned(),
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

/// One key of a plug-in.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: ConfigType,
    /// What holds when it is absent.
    pub default: DefaultValue,
    /// What its value must satisfy.
    pub check: KeyValidator,
    /// How much it matters.
    pub importance: Importance,
    /// The form group it stands in; forms order keys by their place in the table.
    pub group: &'static str,
    /// How wide a form draws it.
    pub width: Width,
    /// Its label in forms.
    pub label: &'static str,
    /// What it does, in our own words.
    pub doc: &'static str,
    /// Other spellings of the same key (the peers'); the first one present counts when the key itself is absent.
    pub aliases: &'static [&'static str],
    /// Keys whose visibility or recommended values depend on it.
    pub dependents: &'static [&'static str],
    /// Values that a form offers; a [`ConfigReport`](super::ConfigReport) may name others.
    pub recommended: &'static [&'static str],
    /// Its place in its form group; `None` counts the keys of its group in this table, from 1.
    pub order: Option<i32>,
    /// Words that are accepted beside the values of its type (in any letter case; read as lower-case text).
    pub also: &'static [&'static str],
    /// Not Kafka Connect's or its peers', so that it stands behind theirs in its form group.
    pub own: bool,
    /// Not part of forms and documentation (task keys the connector writes itself).
    pub internal: bool,
    /// Taken so that existing configurations load, and read by nothing.
    pub idle: bool,
}

impl ConfigKey {
    /// A key with the usual rest: no check, medium importance and width, no aliases.
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
        }
    }

    /// What forms and the reference say of it.
    pub fn documentation(&self) -> Cow<'static, str> {
        if self.idle {
            format!("Without effect: {}", self.doc).into()
        } else {
            self.doc.into()
        }
    }

    /// Its default as it may be shown; `None` where there is none.
    pub fn shown_default(&self) -> Option<&'static str> {
        match self.default {
            DefaultValue::Required | DefaultValue::Null | DefaultValue::Text("") => None,
            DefaultValue::Text(_) if self.ty == ConfigType::Password => Some("hidden"),
            DefaultValue::Text(text) => Some(text),
        }
    }

    /// Nothing reads it: it is taken so that existing configurations load. Its text says why, from a small letter on.
    #[must_use]
    pub const fn without_effect(mut self) -> Self {
        self.idle = true;
        self
    }

    /// Sets the check.
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

    /// Sets width and label.
    #[must_use]
    pub const fn form(mut self, width: Width, label: &'static str) -> Self {
        self.width = width;
        self.label = label;
        self
    }

    /// Sets the other spellings.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the dependents.
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

    /// Sets its place in its form group.
    #[must_use]
    pub const fn order(mut self, order: i32) -> Self {
        self.order = Some(order);
        self
    }

    /// Sets words that are accepted beside the values of its type.
    #[must_use]
    pub const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    /// Marks it as ours alone.
    #[must_use]
    pub const fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Marks it as internal.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Parses and checks a value, or the default when there is none.
    /// Errors: the full text, such as `Invalid value x for configuration k: Not a number of type INT`.
    pub fn parse(&self, raw: Option<&str>) -> Result<ParsedValue, String> {
        let (parsed, errors) = self.evaluate(raw);
        errors.into_iter().next().map_or(Ok(parsed), Err)
    }

    /// The value as far as it can be parsed (a form shows it), and every text about it, as `ConfigDef.validate` does:
    /// a number that cannot be parsed fails its range as well.
    pub fn evaluate(&self, raw: Option<&str>) -> (ParsedValue, Vec<String>) {
        self.evaluate_as(self.name, raw)
    }

    /// The same where the key stands under another name (`transforms.NAME.field`), which its texts then show.
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

    /// The text about a null in the place of a value, where the check does not let it pass.
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
            KeyValidator::NonEmptyList if *parsed == ParsedValue::List(Vec::new()) => {
                Err("Empty list".to_owned())
            }
            KeyValidator::NonEmptyList => Ok(()),
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

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum ParsedValue {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

/// A check that every item of a comma-separated list is a regular expression.
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
