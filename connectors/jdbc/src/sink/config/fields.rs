//! Selects the fields of a value that become columns. Pure.

use connector_api::{Error, Result};

/// The rules of `fields.whitelist`, `field.include.list` and `field.exclude.list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldFilter {
    include: Vec<FieldRule>,
    exclude: Vec<FieldRule>,
}

/// A field of one topic, or of all topics.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRule {
    topic: Option<String>,
    field: String,
}

/// Rejects a name, given by the setting `key`, that differs from a field in letter case only: the
/// setting would silently have no effect on the field.
/// Errors: `Record`.
pub(crate) fn check_case<'a>(
    key: &str,
    name: &str,
    fields: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut alike = fields
        .filter(|field| field.eq_ignore_ascii_case(name))
        .peekable();
    let Some(first) = alike.peek().copied() else {
        return Ok(());
    };
    if alike.any(|field| field == name) {
        return Ok(());
    }
    Err(Error::record(format!(
        "{key} names the field {name}, but the record has {first}: letter case matters in names of \
         fields"
    )))
}

impl FieldRule {
    fn is(&self, topic: &str, field: &str) -> bool {
        self.field == field && self.topic.as_deref().is_none_or(|only| only == topic)
    }
}

impl FieldFilter {
    /// Creates the filter. `whitelist` holds names of fields; the items of the other lists may be
    /// `topic:field`.
    pub fn new(whitelist: Vec<String>, include: &[String], exclude: &[String]) -> Self {
        let plain = |field| FieldRule { topic: None, field };
        let item = |text: &String| match text.split_once(':') {
            Some((topic, field)) => FieldRule {
                topic: Some(topic.to_owned()),
                field: field.to_owned(),
            },
            None => plain(text.clone()),
        };
        let include = whitelist
            .into_iter()
            .map(plain)
            .chain(include.iter().map(item))
            .collect();
        Self {
            include,
            exclude: exclude.iter().map(item).collect(),
        }
    }

    /// True if a field that is not part of the key becomes a column.
    pub fn takes(&self, topic: &str, field: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|item| item.is(topic, field)))
            && !self.exclude.iter().any(|item| item.is(topic, field))
    }

    /// Rejects an item that differs from a field in letter case only: the field would silently be
    /// skipped, or written, contrary to the intention.
    /// Errors: `Record`.
    pub fn check<'a>(
        &self,
        topic: &str,
        fields: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<()> {
        for (key, items) in [
            ("fields.whitelist or field.include.list", &self.include),
            ("field.exclude.list", &self.exclude),
        ] {
            for item in items
                .iter()
                .filter(|item| item.topic.as_deref().is_none_or(|only| only == topic))
            {
                check_case(key, &item.field, fields.clone())?;
            }
        }
        Ok(())
    }

    /// Returns the topics that items of `field.include.list` and `field.exclude.list` name, with the
    /// key.
    pub fn topics(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let include = self.include.iter().map(|item| ("field.include.list", item));
        let exclude = self.exclude.iter().map(|item| ("field.exclude.list", item));
        include
            .chain(exclude)
            .filter_map(|(key, item)| Some((key, item.topic.as_deref()?)))
    }

    /// True if every field becomes a column.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// True if the selection depends on the topic.
    pub fn by_topic(&self) -> bool {
        self.include
            .iter()
            .chain(&self.exclude)
            .any(|item| item.topic.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::FieldFilter;

    #[test]
    fn fields_are_taken_or_left_out_by_name_and_topic() {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        let filter = |whitelist: &[&str], include: &[&str], exclude: &[&str]| {
            FieldFilter::new(list(whitelist), &list(include), &list(exclude))
        };
        for (filter, topic, field, want) in [
            (filter(&[], &[], &[]), "t", "a", true),
            (filter(&["a"], &[], &[]), "t", "a", true),
            (filter(&["a"], &[], &[]), "t", "A", false),
            (filter(&["t:a"], &[], &[]), "t", "a", false),
            (filter(&[], &["t:a"], &[]), "t", "a", true),
            (filter(&[], &["t:a"], &[]), "u", "a", false),
            (filter(&[], &[], &["a"]), "t", "a", false),
            (filter(&[], &[], &["u:a"]), "t", "a", true),
        ] {
            assert_eq!(
                filter.takes(topic, field),
                want,
                "{filter:?} {topic} {field}"
            );
        }
        for (filter, is_right) in [
            (filter(&["a"], &[], &[]), true),
            (filter(&["A"], &[], &[]), false),
            (filter(&["A", "b"], &[], &[]), false),
            (filter(&["gone"], &[], &[]), true),
            (filter(&[], &[], &["A"]), false),
            (filter(&[], &[], &["t:A"]), false),
            (filter(&[], &[], &["u:A"]), true),
        ] {
            assert_eq!(
                filter.check("t", ["a", "b"].into_iter()).is_ok(),
                is_right,
                "{filter:?}"
            );
        }
        assert!(
            filter(&["A"], &[], &[])
                .check("t", ["a", "A"].into_iter())
                .is_ok()
        );
        assert!(filter(&[], &[], &[]).is_all() && filter(&[], &["t:a"], &[]).by_topic());
    }
}
