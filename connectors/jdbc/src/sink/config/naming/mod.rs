//! Names the table that a topic or a record is written to. Pure.

mod format;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Record, Result};

use self::format::{NameFormat, TopicName};
use crate::dialect;
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// The rules of `table.name.format`, `collection.naming.strategy`, `table.name.normalize` and
/// `topics.to.tables.mapping`.
#[derive(Clone, Debug)]
pub struct TableNaming {
    format: NameFormat,
    letters: NameLetters,
    unquoted: bool,
    mapping: HashMap<String, String>,
}

/// Which characters of a topic a table's name keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameLetters {
    /// All characters.
    All,
    /// All but dots, which become `_`.
    NoDots,
    /// ASCII letters, digits and `_`, of the whole name.
    Normalized,
}

/// True if one of Debezium's naming strategies replaces a topic's dots by `_`.
pub(crate) fn joins_dots(strategy: &str) -> bool {
    matches!(
        strategy.rsplit('.').next(),
        Some("DefaultCollectionNamingStrategy" | "DefaultTableNamingStrategy")
    )
}

/// Refuses everything but Debezium's own strategies.
pub(crate) fn check_strategy(strategy: &str) -> std::result::Result<(), String> {
    let as_it_is = strategy.is_empty() || strategy.ends_with("PassthroughCollectionNamingStrategy");
    if as_it_is || joins_dots(strategy) {
        return Ok(());
    }
    Err(
        "Java classes are not supported; use DefaultCollectionNamingStrategy (dots become _) or \
         PassthroughCollectionNamingStrategy (topics are unchanged), or write the name in \
         table.name.format"
            .to_owned(),
    )
}

/// Refuses an empty format, and one with an unknown `${…}`.
pub(crate) fn check_format(text: &str) -> std::result::Result<(), String> {
    if text.is_empty() {
        return Err("String must be non-empty".to_owned());
    }
    NameFormat::read(text).map(drop)
}

impl TableNaming {
    /// Creates the rules from checked settings: `mapping` holds items `topic:table`; `unquoted` is
    /// `quote.sql.identifiers=never`.
    pub fn new(format: &str, letters: NameLetters, unquoted: bool, mapping: &[String]) -> Self {
        let pair = |item: &String| {
            item.split_once(':')
                .map(|(topic, table)| (topic.to_owned(), table.to_owned()))
        };
        let format = NameFormat::read(format).unwrap_or_default();
        Self {
            format,
            letters,
            unquoted,
            mapping: mapping.iter().filter_map(pair).collect(),
        }
    }

    /// True if the table depends on a record's source, not on its topic alone; see
    /// [`TableNaming::name`].
    pub fn is_by_source(&self) -> bool {
        self.mapping.is_empty() && self.format.is_by_source()
    }

    /// Returns the name that a record's topic and source give, for [`TableNaming::named`]. `None`
    /// if the record has no value, so that its source is unknown.
    /// Errors: `Record` if its value names no source.
    pub fn name(&self, record: &Record) -> Result<Option<Arc<str>>> {
        if record.value.value.is_null() {
            return Ok(None);
        }
        Ok(Some(Arc::from(
            self.format
                .text(&self.topic(&record.topic), Some(&record.value))?,
        )))
    }

    /// Returns a column's name. Names are always quoted; PostgreSQL would fold unquoted ones to
    /// lower case, so `quote.sql.identifiers=never` folds them here.
    pub fn column(&self, name: &Arc<str>, database: DatabaseKind) -> Arc<str> {
        if self.folds(database) {
            Arc::from(name.to_lowercase())
        } else {
            Arc::clone(name)
        }
    }

    fn folds(&self, database: DatabaseKind) -> bool {
        self.unquoted && dialect::of(database).capabilities().folds_names
    }

    /// Returns the table of a topic with the qualifiers that its name has, folded like
    /// [`TableNaming::column`] and cut as the database cuts names.
    /// Errors: `Config` if the name has no, empty or too many parts, or depends on the record.
    pub fn table(&self, topic: &str, database: DatabaseKind) -> Result<TableId> {
        let name = match self.mapping.get(topic) {
            Some(table) => table.clone(),
            None if self.mapping.is_empty() => self.format.text(&self.topic(topic), None)?,
            None => {
                return Err(Error::config(format!(
                    "topic {topic} is not in topics.to.tables.mapping: add {topic}:table to it"
                )));
            }
        };
        self.named(&name, topic, database)
    }

    /// Returns the table of that name, like [`TableNaming::table`].
    pub fn named(&self, name: &str, topic: &str, database: DatabaseKind) -> Result<TableId> {
        let mut id = self.whole(name, topic, database)?;
        if self.folds(database) {
            for part in [&mut id.catalog, &mut id.schema]
                .into_iter()
                .flatten()
                .chain([&mut id.table])
            {
                *part = part.to_lowercase();
            }
        }
        let capabilities = dialect::of(database).capabilities();
        if capabilities.truncates_names {
            let most = capabilities.limits.identifier;
            id.table.truncate(id.table.floor_char_boundary(most));
        }
        Ok(id)
    }

    fn topic<'a>(&self, topic: &'a str) -> TopicName<'a> {
        let shown = if self.letters == NameLetters::NoDots {
            topic.replace('.', "_").into()
        } else {
            topic.into()
        };
        TopicName {
            whole: topic,
            shown,
        }
    }

    fn whole(&self, name: &str, topic: &str, database: DatabaseKind) -> Result<TableId> {
        if name.trim().is_empty() {
            return Err(Error::config(format!(
                "Destination table name for topic '{topic}' is empty using the format string '{}'",
                self.format
            )));
        }
        if self.letters == NameLetters::Normalized {
            let keep = |c: char| {
                if c.is_ascii_alphanumeric() || c == '_' {
                    c
                } else {
                    '_'
                }
            };
            return Ok(TableId::bare(name.chars().map(keep).collect::<String>()));
        }
        self.qualified(name, topic, database)
    }

    fn qualified(&self, name: &str, topic: &str, database: DatabaseKind) -> Result<TableId> {
        let bad = |why: &str| {
            Error::config(format!(
                "Table {name} cannot be the target of topic {topic}: {why}; set table.name.format, \
                 table.name.normalize=true or route the topic to a name without dots (RegexRouter)"
            ))
        };
        let Some(mut parts) = TableId::split(name) else {
            return Err(bad("its name has an empty part or more than three"));
        };
        let table = parts.pop().unwrap_or_default();
        match (database, parts.as_mut_slice()) {
            (_, []) => Ok(TableId::bare(table)),
            (DatabaseKind::MySql, [catalog]) => {
                Ok(TableId::in_catalog(std::mem::take(catalog), table))
            }
            (DatabaseKind::Postgres, [schema]) => {
                Ok(TableId::in_schema(std::mem::take(schema), table))
            }
            (DatabaseKind::Postgres, [catalog, schema]) => Ok(TableId {
                catalog: Some(std::mem::take(catalog)),
                schema: Some(std::mem::take(schema)),
                table,
            }),
            (DatabaseKind::MySql, _) => {
                Err(bad("MariaDB and MySQL support two parts, database.table"))
            }
            (DatabaseKind::Sqlite | DatabaseKind::Postgres, _) => {
                Err(bad("it has more parts than the database supports"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NameLetters, TableNaming};
    use crate::url::DatabaseKind;

    #[test]
    fn topics_find_their_tables() {
        for (format, letters, topic, want) in [
            ("${topic}", NameLetters::All, "users", "users"),
            ("kafka_${topic}", NameLetters::All, "users", "kafka_users"),
            ("all", NameLetters::All, "users", "all"),
            (
                "${topic}",
                NameLetters::NoDots,
                "srv.public.users",
                "srv_public_users",
            ),
            (
                "other.${topic}",
                NameLetters::NoDots,
                "srv.public.users",
                "other.srv_public_users",
            ),
            (
                "${topic.suffix}",
                NameLetters::NoDots,
                "srv.public.users",
                "users",
            ),
            (
                "${topic.suffix}",
                NameLetters::All,
                "server.shop.users",
                "users",
            ),
            ("${topic.suffix}", NameLetters::All, "users", "users"),
            ("other.${topic}", NameLetters::All, "users", "other.users"),
            ("`shop.users`", NameLetters::All, "x", "shop.users"),
            (
                "kafka_topic_${topic}",
                NameLetters::Normalized,
                "--some_topic",
                "kafka_topic___some_topic",
            ),
            (
                "kafka_topic_${topic}",
                NameLetters::Normalized,
                "this.is.topic.with.dots",
                "kafka_topic_this_is_topic_with_dots",
            ),
            (
                "kafka_topic_${topic}",
                NameLetters::Normalized,
                "orders_topic_#3",
                "kafka_topic_orders_topic__3",
            ),
        ] {
            let table = TableNaming::new(format, letters, false, &[])
                .table(topic, DatabaseKind::MySql)
                .unwrap();
            assert_eq!(table.to_string(), want);
        }
        let dotted = TableNaming::new("${topic}", NameLetters::All, false, &[]);
        assert!(
            dotted
                .table("server.db.table", DatabaseKind::MySql)
                .unwrap_err()
                .message()
                .contains("two parts")
        );
        let table = dotted.table("server.s.t", DatabaseKind::Postgres).unwrap();
        assert_eq!(
            (table.catalog.as_deref(), table.schema.as_deref()),
            (Some("server"), Some("s"))
        );
        let unquoted = TableNaming::new("${topic}", NameLetters::All, true, &[]);
        assert_eq!(
            unquoted
                .table("MyUsers", DatabaseKind::Postgres)
                .unwrap()
                .table,
            "myusers"
        );
        assert_eq!(
            unquoted
                .table("MyUsers", DatabaseKind::MySql)
                .unwrap()
                .table,
            "MyUsers"
        );
        assert_eq!(
            &*unquoted.column(&"fullName".into(), DatabaseKind::Postgres),
            "fullname"
        );
        assert_eq!(
            dotted
                .table(&"é".repeat(40), DatabaseKind::Postgres)
                .unwrap()
                .table,
            "é".repeat(31)
        );
    }

    #[test]
    fn a_mapping_alone_names_tables() {
        let naming = TableNaming::new(
            "${topic}",
            NameLetters::All,
            false,
            &["some_topic:same_table".into()],
        );
        assert_eq!(
            naming
                .table("some_topic", DatabaseKind::Sqlite)
                .unwrap()
                .table,
            "same_table"
        );
        assert!(naming.table("other", DatabaseKind::Sqlite).is_err());
    }
}
