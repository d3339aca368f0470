//! Transforms that rename the topic: `RegexRouter` and `TimestampRouter`.

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::pattern::{Captures, Pattern};
use connector_api::{Error, Record, Result, TopicOffset, Transform};

use super::date_format::DateFormat;
use super::part::key;

/// Maximum length, in characters, of a text that names are inserted into, possibly many times;
/// topic names have at most 249.
const MAX_TEMPLATE: usize = 1000;

/// Checks that a text is a regular expression.
/// Errors: Connect's text.
pub(super) fn check_regex(text: &str) -> Result<(), String> {
    Pattern::new(text).map(drop).map_err(invalid)
}

fn invalid(error: String) -> String {
    format!("Invalid regex: {error}")
}

/// Checks that a text that names are inserted into is short enough.
pub(super) fn check_template(text: &str) -> Result<(), String> {
    if text.chars().count() <= MAX_TEMPLATE {
        return Ok(());
    }
    Err(format!(
        "it has at most {MAX_TEMPLATE} characters (MAX_TEMPLATE)"
    ))
}

/// Checks a topic format like [`check_template`], and for unknown `${…}`, which would remain in the
/// topic name and make it illegal.
pub(super) fn check_format(text: &str) -> Result<(), String> {
    check_template(text)?;
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("${") {
        let Some((name, behind)) = behind.split_once('}') else {
            return Err("a ${ has no closing }".to_owned());
        };
        if !["topic", "timestamp"].contains(&name) {
            return Err(format!(
                "${{{name}}} is unknown; only ${{topic}} and ${{timestamp}} exist"
            ));
        }
        rest = behind;
    }
    Ok(())
}

/// Compiles an expression that must match the whole text.
/// Errors: as a report on the key `name`.
pub(super) fn whole(name: &str, pattern: &str) -> Result<Pattern, ConfigReport> {
    Pattern::whole(pattern).map_err(|error| refused(name, pattern, error))
}

fn refused(name: &str, pattern: &str, error: String) -> ConfigReport {
    let mut report = ConfigReport::default();
    report.invalid(name, pattern, &invalid(error));
    report
}

/// True if the pattern matches the whole text.
/// Errors: `Record` if the expression needs too many steps for this text.
pub(super) fn matches_whole(pattern: &Pattern, text: &str) -> Result<bool> {
    pattern
        .matches(text)
        .map_err(|undecided| Error::record(undecided.to_string()))
}

/// Advice about a replacement.
const GROUPS: &str = "The replacement refers to groups of the regular expression: $1 or ${name}, and \\$ for the \
     character $.";
/// Advice about a format of timestamps.
const FORMAT: &str =
    "timestamp.format must be a pattern as in java.text.SimpleDateFormat, such as yyyyMMdd.";

/// The keys of [`RegexRouter`].
pub(crate) const REGEX_KEYS: &[ConfigKey] = &[
    key(
        "regex",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Regular expression that must match the whole name of the topic.",
    )
    .check(KeyValidator::By(check_regex)),
    key(
        "replacement",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Replacement of the first match; $1 and ${name} are replaced by groups of the match.",
    )
    .check(KeyValidator::By(check_template)),
];

/// A regular expression that must match the whole name, and the replacement for its first match.
pub(super) struct TopicRename {
    whole: Pattern,
    first: Pattern,
    replacement: Result<Vec<ReplacementPiece>, &'static str>,
}

/// A piece of a replacement.
enum ReplacementPiece {
    Text(String),
    Group(usize),
    Named(String),
}

impl TopicRename {
    /// Compiles the expression; `key` names its setting in texts. An invalid replacement is
    /// reported only at the first match, as in Kafka Connect.
    /// Errors: an invalid expression.
    pub(super) fn new(key: &str, regex: &str, replacement: &str) -> Result<Self, ConfigReport> {
        let first = Pattern::new(regex).map_err(|error| refused(key, regex, error))?;
        let replacement = pieces(replacement, first.groups());
        Ok(Self {
            whole: whole(key, regex)?,
            first,
            replacement,
        })
    }

    /// Returns the new name; `None` if the old one does not match.
    /// Errors: `Record`.
    pub(super) fn apply(&self, name: &str) -> Result<Option<String>> {
        if !matches_whole(&self.whole, name)? {
            return Ok(None);
        }
        let found = self
            .first
            .captures(name)
            .map_err(|undecided| Error::record(undecided.to_string()))?;
        found.map(|found| self.renamed(name, &found)).transpose()
    }

    fn renamed(&self, topic: &str, found: &Captures<'_, str>) -> Result<String> {
        let pieces = self
            .replacement
            .as_ref()
            .map_err(|text| Error::record(*text).and_line(GROUPS))?;
        let whole = found.get(0).map_or(0..0, |all| all.range());
        let mut name = topic[..whole.start].to_owned();
        for piece in pieces {
            let group = match piece {
                ReplacementPiece::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                ReplacementPiece::Group(group) if *group >= found.len() => {
                    return Err(Error::record(format!("No group {group}")).and_line(GROUPS));
                }
                ReplacementPiece::Group(group) => found.get(*group),
                ReplacementPiece::Named(group) if !self.first.has_group(group) => {
                    let error = Error::record(format!("No group with name {{{group}}}"));
                    return Err(error.and_line(GROUPS));
                }
                ReplacementPiece::Named(group) => found.name(group),
            };
            name.push_str(group.map_or("", |group| group.as_str()));
        }
        name.push_str(&topic[whole.end..]);
        Ok(name)
    }
}

/// Parses a replacement as `Matcher.replaceFirst` does: `$12` means group 12 only if that many
/// groups exist.
fn pieces(text: &str, groups: usize) -> Result<Vec<ReplacementPiece>, &'static str> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().ok_or("character to be escaped is missing")?),
            '$' => {
                pieces.push(ReplacementPiece::Text(std::mem::take(&mut plain)));
                match chars.next() {
                    Some('{') => {
                        let mut name = String::new();
                        loop {
                            match chars.next() {
                                Some('}') => break,
                                Some(c) if c.is_ascii_alphanumeric() => name.push(c),
                                _ => return Err("named capturing group is missing trailing '}'"),
                            }
                        }
                        pieces.push(ReplacementPiece::Named(name));
                    }
                    Some(c) => {
                        let digit =
                            |c: &char| c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                        let mut group = digit(&c).ok_or("Illegal group reference")?;
                        while let Some(more) = chars
                            .peek()
                            .and_then(digit)
                            .map(|d| group * 10 + d)
                            .filter(|n| *n <= groups)
                        {
                            group = more;
                            chars.next();
                        }
                        pieces.push(ReplacementPiece::Group(group));
                    }
                    None => return Err("Illegal group reference: group index is missing"),
                }
            }
            c => plain.push(c),
        }
    }
    pieces.push(ReplacementPiece::Text(plain));
    Ok(pieces)
}

/// Warns about a replacement that is invalid or refers to groups that do not exist. It is no error,
/// because Kafka Connect accepts it, and fails at the first topic that matches.
pub(crate) fn check_replacement(config: &Config, report: &mut ConfigReport) {
    let (regex, text) = (config.get("regex"), config.get("replacement"));
    let (Some(Ok(regex)), Some(text)) = (regex.map(Pattern::new), text) else {
        return;
    };
    let broken = match pieces(text, regex.groups()) {
        Err(why) => Some(why.to_owned()),
        Ok(pieces) => pieces.iter().find_map(|piece| match piece {
            ReplacementPiece::Group(group) if *group > regex.groups() => {
                Some(format!("No group {group}"))
            }
            ReplacementPiece::Named(name) if !regex.has_group(name) => {
                Some(format!("No group with name {{{name}}}"))
            }
            ReplacementPiece::Text(_) | ReplacementPiece::Group(_) | ReplacementPiece::Named(_) => {
                None
            }
        }),
    };
    if let Some(why) = broken {
        report.warn(
            "replacement",
            format!("replacement fails at the first topic that matches regex: {why}. {GROUPS}"),
        );
    }
}

/// Warns about a format that is invalid. It is no error, because Kafka Connect accepts it, and
/// fails at the first record.
pub(crate) fn check_timestamp(config: &Config, report: &mut ConfigReport) {
    if let Some(Err(why)) = config
        .get("timestamp.format")
        .map(|text| DateFormat::compile(text, 0))
    {
        report.warn(
            "timestamp.format",
            format!("timestamp.format fails at the first record: {why}. {FORMAT}"),
        );
    }
}

/// Renames topics by a regular expression.
pub(crate) struct RegexRouter {
    rename: TopicRename,
}

impl RegexRouter {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        let (regex, replacement) = config.read(REGEX_KEYS, |keys| {
            (keys.text("regex"), keys.text("replacement"))
        })?;
        Ok(Self {
            rename: TopicRename::new("regex", &regex, &replacement)?,
        })
    }
}

impl Transform for RegexRouter {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        if let Some(name) = self.rename.apply(&record.topic)? {
            record.topic = name.into();
        }
        Ok(Some(record))
    }
}

/// The keys of [`TimestampRouter`].
pub(crate) const TIMESTAMP_KEYS: &[ConfigKey] = &[
    key(
        "topic.format",
        ConfigType::String,
        DefaultValue::Text("${topic}-${timestamp}"),
        Importance::High,
        "New name of the topic; ${topic} is replaced by the old name, ${timestamp} by the record's \
         timestamp.",
    )
    .check(KeyValidator::By(check_format)),
    key(
        "timestamp.format",
        ConfigType::String,
        DefaultValue::Text("yyyyMMdd"),
        Importance::High,
        "Format of the timestamp, as in java.text.SimpleDateFormat, in UTC.",
    ),
];

/// Renames topics by the record's timestamp.
pub(crate) struct TimestampRouter {
    topic: String,
    format: Result<DateFormat, String>,
}

impl TimestampRouter {
    /// Reads the settings. An invalid format is reported only at the first record, as in Kafka
    /// Connect.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(TIMESTAMP_KEYS, |keys| Self {
            topic: keys.text("topic.format"),
            format: DateFormat::compile(&keys.text("timestamp.format"), 0),
        })
    }
}

impl Transform for TimestampRouter {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let Some(millis) = record.timestamp_ms else {
            let error = Error::record(format!(
                "Timestamp missing on record: topic {}",
                record.topic
            ));
            return Err(error.and_line(
                "topic.format puts the timestamp of the record itself into the topic's name; a \
                 timestamp in a field of the value can be used with MessageTimestampRouter.",
            ));
        };
        let format = self
            .format
            .as_ref()
            .map_err(|text| Error::record(text.clone()).and_line(FORMAT))?;
        let text = format.format(millis);
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
    use super::*;

    #[test]
    fn what_fails_at_the_first_record_is_a_warning() {
        let warned = |check: fn(&Config, &mut ConfigReport), config: &[(&str, &str)]| {
            let mut report = ConfigReport::default();
            let config = config
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            check(&config.collect(), &mut report);
            assert!(report.is_ok());
            report
                .warnings
                .into_iter()
                .map(|it| it.message)
                .collect::<Vec<_>>()
                .join("|")
        };
        let rename = |to: &str| {
            warned(
                check_replacement,
                &[("regex", "(?<a>x)(y)"), ("replacement", to)],
            )
        };
        for right in ["$1", "$2$1", "${a}", "\\$", "t", ""] {
            assert_eq!(rename(right), "", "{right}");
        }
        for (wrong, text) in [
            ("$3", "No group 3"),
            ("${b}", "No group with name {b}"),
            ("$", "Illegal group reference: group index is missing"),
            ("$x", "Illegal group reference"),
            ("\\", "character to be escaped is missing"),
        ] {
            let warning = rename(wrong);
            assert!(
                warning.contains(text) && warning.contains("${name}"),
                "{warning}"
            );
        }
        let format = |text: &str| warned(check_timestamp, &[("timestamp.format", text)]);
        assert_eq!(format("yyyy-MM"), "");
        assert!(format("bad").contains("Illegal pattern character 'b'"));
    }
}
