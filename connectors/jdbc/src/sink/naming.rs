//! Which table a topic goes to. Pure text.

use std::collections::HashMap;

use connector_api::{Error, Result};

use crate::ident::TableId;
use crate::url::Database;

/// The rules of `table.name.format`, `table.name.normalize` and `topics.to.tables.mapping`.
#[derive(Clone, Debug)]
pub struct Naming {
    format: String,
    normalize: bool,
    mapping: HashMap<String, String>,
}

impl Naming {
    /// `mapping` holds items `topic:table` that have been checked.
    pub fn new(format: String, normalize: bool, mapping: &[String]) -> Self {
        let pair = |item: &String| item.split_once(':').map(|(topic, table)| (topic.to_owned(), table.to_owned()));
        Self { format, normalize, mapping: mapping.iter().filter_map(pair).collect() }
    }

    /// The table of a topic, with the qualifiers that its name has.
    /// Errors: `Config` when the name has no, empty or too many parts.
    pub fn table(&self, topic: &str, database: Database) -> Result<TableId> {
        let name = match self.mapping.get(topic) {
            Some(table) => table.clone(),
            None if self.mapping.is_empty() => self.format.replace("${topic}", topic),
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
            ("other.${topic}", false, "users", "other.users"),
            ("`shop.users`", false, "x", "shop.users"),
            ("kafka_topic_${topic}", true, "--some_topic", "kafka_topic___some_topic"),
            ("kafka_topic_${topic}", true, "this.is.topic.with.dots", "kafka_topic_this_is_topic_with_dots"),
            ("kafka_topic_${topic}", true, "orders_topic_#3", "kafka_topic_orders_topic__3"),
        ] {
            let table = Naming::new(format.into(), normalize, &[]).table(topic, Database::MySql).unwrap();
            assert_eq!(table.to_string(), want);
        }
        let dotted = Naming::new("${topic}".into(), false, &[]);
        assert!(dotted.table("server.db.table", Database::MySql).unwrap_err().message().contains("two parts"));
        let table = dotted.table("server.s.t", Database::Postgres).unwrap();
        assert_eq!((table.catalog.as_deref(), table.schema.as_deref()), (Some("server"), Some("s")));
    }

    #[test]
    fn a_mapping_alone_names_tables() {
        let naming = Naming::new("${topic}".into(), false, &["some_topic:same_table".into()]);
        assert_eq!(naming.table("some_topic", Database::Sqlite).unwrap().table, "same_table");
        assert!(naming.table("other", Database::Sqlite).is_err());
    }
}
