//! Which table a topic goes to. Pure text.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, Result};

use crate::ident::TableId;
use crate::url::Database;

/// The rules of `table.name.format`, `table.name.normalize` and `topics.to.tables.mapping`.
#[derive(Clone, Debug)]
pub struct Naming {
    format: String,
    normalize: bool,
    unquoted: bool,
    mapping: HashMap<String, String>,
}

/// Bytes of an identifier that PostgreSQL keeps (NAMEDATALEN - 1).
const POSTGRES_NAME: usize = 63;

impl Naming {
    /// `mapping` holds items `topic:table` that have been checked; `unquoted` is `quote.sql.identifiers=never`.
    pub fn new(format: String, normalize: bool, unquoted: bool, mapping: &[String]) -> Self {
        let pair = |item: &String| item.split_once(':').map(|(topic, table)| (topic.to_owned(), table.to_owned()));
        Self { format, normalize, unquoted, mapping: mapping.iter().filter_map(pair).collect() }
    }

    /// A column's name. Names are always quoted; where they are asked not to be, PostgreSQL would fold them to lower
    /// case, so that is done here.
    pub fn column(&self, name: &Arc<str>, database: Database) -> Arc<str> {
        if self.folds(database) { Arc::from(name.to_lowercase()) } else { Arc::clone(name) }
    }

    fn folds(&self, database: Database) -> bool {
        self.unquoted && database == Database::Postgres
    }

    /// The table of a topic, as [`Naming::column`] quotes and the database cuts it, with the qualifiers that its name has.
    /// Errors: `Config` when the name has no, empty or too many parts.
    pub fn table(&self, topic: &str, database: Database) -> Result<TableId> {
        let mut id = self.whole(topic, database)?;
        if self.folds(database) {
            for part in [&mut id.catalog, &mut id.schema].into_iter().flatten().chain([&mut id.table]) {
                *part = part.to_lowercase();
            }
        }
        if database == Database::Postgres {
            id.table.truncate(id.table.floor_char_boundary(POSTGRES_NAME));
        }
        Ok(id)
    }

    fn whole(&self, topic: &str, database: Database) -> Result<TableId> {
        let name = match self.mapping.get(topic) {
            Some(table) => table.clone(),
            None if self.mapping.is_empty() => self.formatted(topic),
            None => {
                return Err(Error::config(format!(
                    "topic {topic} is not in topics.to.tables.mapping: add {topic}:table to it"
                )));
            }
        };
        if name.trim().is_empty() {
            return Err(Error::config(format!(
                "Destination table name for topic '{topic}' is empty using the format string '{}'",
                self.format
            )));
        }
        if self.normalize {
            let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
            return Ok(TableId::bare(name.chars().map(keep).collect::<String>()));
        }
        self.qualified(&name, topic, database)
    }

    fn formatted(&self, topic: &str) -> String {
        let suffix = topic.rsplit('.').next().unwrap_or(topic);
        self.format.replace("${topic}", topic).replace("${topic.suffix}", suffix)
    }

    fn qualified(&self, name: &str, topic: &str, database: Database) -> Result<TableId> {
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
            (Database::MySql, [catalog]) => Ok(TableId::in_catalog(std::mem::take(catalog), table)),
            (Database::Postgres, [schema]) => Ok(TableId::in_schema(std::mem::take(schema), table)),
            (Database::Postgres, [catalog, schema]) => {
                Ok(TableId { catalog: Some(std::mem::take(catalog)), schema: Some(std::mem::take(schema)), table })
            }
            (Database::MySql, _) => Err(bad("MariaDB and MySQL know two parts, database.table")),
            (Database::Sqlite | Database::Postgres, _) => Err(bad("it has more parts than the database knows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Naming;
    use crate::url::Database;

    #[test]
    fn topics_find_their_tables() {
        for (format, normalize, topic, want) in [
            ("${topic}", false, "users", "users"),
            ("kafka_${topic}", false, "users", "kafka_users"),
            ("all", false, "users", "all"),
            ("${topic.suffix}", false, "server.shop.users", "users"),
            ("${topic.suffix}", false, "users", "users"),
            ("other.${topic}", false, "users", "other.users"),
            ("`shop.users`", false, "x", "shop.users"),
            ("kafka_topic_${topic}", true, "--some_topic", "kafka_topic___some_topic"),
            ("kafka_topic_${topic}", true, "this.is.topic.with.dots", "kafka_topic_this_is_topic_with_dots"),
            ("kafka_topic_${topic}", true, "orders_topic_#3", "kafka_topic_orders_topic__3"),
        ] {
            let table = Naming::new(format.into(), normalize, false, &[]).table(topic, Database::MySql).unwrap();
            assert_eq!(table.to_string(), want);
        }
        let dotted = Naming::new("${topic}".into(), false, false, &[]);
        assert!(dotted.table("server.db.table", Database::MySql).unwrap_err().message().contains("two parts"));
        let table = dotted.table("server.s.t", Database::Postgres).unwrap();
        assert_eq!((table.catalog.as_deref(), table.schema.as_deref()), (Some("server"), Some("s")));
        let unquoted = Naming::new("${topic}".into(), false, true, &[]);
        assert_eq!(unquoted.table("MyUsers", Database::Postgres).unwrap().table, "myusers");
        assert_eq!(unquoted.table("MyUsers", Database::MySql).unwrap().table, "MyUsers");
        assert_eq!(&*unquoted.column(&"fullName".into(), Database::Postgres), "fullname");
        assert_eq!(dotted.table(&"é".repeat(40), Database::Postgres).unwrap().table, "é".repeat(31));
    }

    #[test]
    fn a_mapping_alone_names_tables() {
        let naming = Naming::new("${topic}".into(), false, false, &["some_topic:same_table".into()]);
        assert_eq!(naming.table("some_topic", Database::Sqlite).unwrap().table, "same_table");
        assert!(naming.table("other", Database::Sqlite).is_err());
    }
}
