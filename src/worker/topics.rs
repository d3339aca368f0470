//! Decides the partitions and settings of a topic that a source creates: the `topic.creation.*`
//! keys (KIP-158). Pure.

use connector_api::{Config, Error, ErrorKind};
use regex::Regex;

use super::policy::number;
use crate::kafka::admin::TopicSpec;

/// The topic creation rules of one connector, in the order in which they are tried.
#[derive(Clone, Debug)]
pub(super) struct TopicRules {
    groups: Vec<TopicGroup>,
    default: TopicShape,
}

#[derive(Clone, Debug)]
struct TopicGroup {
    alias: String,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    shape: TopicShape,
}

#[derive(Clone, Debug, PartialEq)]
struct TopicShape {
    partitions: i32,
    replication_factor: i32,
    config: Vec<(String, String)>,
}

impl TopicRules {
    /// Reads the keys. Without any, a topic gets one partition and the broker's default replication
    /// factor. Errors: `Config`.
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
        let plain = TopicShape {
            partitions: 1,
            replication_factor: -1,
            config: Vec::new(),
        };
        let default = shape(config, "default", &plain)?;
        let aliases = config.get("topic.creation.groups").unwrap_or_default();
        let group = |alias: &str| {
            let patterns = |end: &str| regexes(config, &format!("topic.creation.{alias}.{end}"));
            let inherited = TopicShape {
                config: Vec::new(),
                ..default.clone()
            };
            Ok(TopicGroup {
                alias: alias.to_owned(),
                include: patterns("include")?,
                exclude: patterns("exclude")?,
                shape: shape(config, alias, &inherited)?,
            })
        };
        let aliases = aliases
            .split(',')
            .map(str::trim)
            .filter(|alias| !alias.is_empty() && *alias != "default");
        Ok(Self {
            groups: aliases.map(group).collect::<Result<_, Error>>()?,
            default,
        })
    }

    /// Returns how to create `topic`: by the first group that includes and does not exclude it.
    pub(super) fn topic_spec(&self, topic: &str) -> TopicSpec {
        let group = self.group(topic);
        let TopicShape {
            partitions,
            replication_factor,
            config,
        } = group.map_or(&self.default, |g| &g.shape).clone();
        TopicSpec {
            topic: topic.to_owned(),
            partitions,
            replication_factor,
            config,
        }
    }

    /// Returns the group that decides about a topic; `None` for the default one.
    fn group(&self, topic: &str) -> Option<&TopicGroup> {
        let hit = |patterns: &[Regex]| patterns.iter().any(|p| p.is_match(topic));
        self.groups
            .iter()
            .find(|g| hit(&g.include) && !hit(&g.exclude))
    }

    /// Appends to the error of a topic that the broker refuses to create the keys that decide about
    /// the topic.
    #[cold]
    pub(super) fn explained(&self, topic: &str, error: Error) -> Error {
        if error.kind() != ErrorKind::Config {
            return error;
        }
        let alias = self.group(topic).map_or("default", |group| &group.alias);
        error.and_line(&format!(
            "The keys that decide about it are topic.creation.{alias}.partitions, \
             topic.creation.{alias}.replication.factor, and topic.creation.{alias}.SETTING for each \
             setting."
        ))
    }
}

fn shape(config: &Config, alias: &str, otherwise: &TopicShape) -> Result<TopicShape, Error> {
    let prefix = format!("topic.creation.{alias}.");
    let count = |end: &str, otherwise: i32| {
        let key = format!("{prefix}{end}");
        match number(config, &key)?.map(i32::try_from) {
            None => Ok(otherwise),
            Some(Ok(n)) if n == -1 || n > 0 => Ok(n),
            Some(_) => Err(Error::config(format!(
                "{key} must be -1 (the broker's default) or at least 1"
            ))),
        }
    };
    let own = ["partitions", "replication.factor", "include", "exclude"];
    let given = config.with_prefix(&prefix);
    let mut settings = otherwise.config.clone();
    settings.extend(
        given
            .iter()
            .filter(|(k, _)| !own.contains(k))
            .map(|(k, v)| (k.to_owned(), v.trim().to_owned())),
    );
    Ok(TopicShape {
        partitions: count("partitions", otherwise.partitions)?,
        replication_factor: count("replication.factor", otherwise.replication_factor)?,
        config: settings,
    })
}

fn regexes(config: &Config, key: &str) -> Result<Vec<Regex>, Error> {
    let items = config
        .get(key)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let regex = |item: &str| {
        Regex::new(&format!("^(?:{item})$"))
            .map_err(|e| Error::config(format!("{key}: not a regular expression: {e}")))
    };
    items.map(regex).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_group_wins_and_inherits_counts() {
        let config = Config::from([
            ("topic.creation.default.partitions", "3"),
            ("topic.creation.default.replication.factor", "2"),
            ("topic.creation.default.retention.ms", "1000"),
            ("topic.creation.groups", "big, small"),
            ("topic.creation.big.include", "db_.*"),
            ("topic.creation.big.exclude", "db_x.*"),
            ("topic.creation.big.partitions", "12"),
            ("topic.creation.big.cleanup.policy", "compact"),
            ("topic.creation.small.include", "db_.*"),
            ("topic.creation.small.partitions", "1"),
        ]);
        let rules = TopicRules::read(&config).unwrap();
        let shape = |topic: &str| {
            let wanted = rules.topic_spec(topic);
            (
                wanted.partitions,
                wanted.replication_factor,
                wanted.config.len(),
            )
        };
        assert_eq!(shape("db_a"), (12, 2, 1));
        assert_eq!(shape("db_xy"), (1, 2, 0));
        assert_eq!(shape("other_db_a"), (3, 2, 1));
        let plain = TopicRules::read(&Config::new()).unwrap().topic_spec("t");
        assert_eq!(
            (
                plain.partitions,
                plain.replication_factor,
                plain.config.len()
            ),
            (1, -1, 0)
        );
    }

    #[test]
    fn the_error_of_a_topic_names_the_keys_of_its_group() {
        let config = Config::from([
            ("topic.creation.groups", "big"),
            ("topic.creation.big.include", "db_.*"),
        ]);
        let rules = TopicRules::read(&config).unwrap();
        for (topic, key) in [
            ("db_a", "topic.creation.big.replication.factor"),
            ("other", "topic.creation.default.replication.factor"),
        ] {
            let error = rules.explained(topic, Error::config("refused"));
            assert!(error.message().contains(key), "{error}");
        }
        let transient = rules.explained("other", Error::retry("away"));
        assert_eq!(transient.message(), "away");
    }

    #[test]
    fn bad_counts_and_patterns_are_named() {
        for (key, value) in [
            ("topic.creation.default.partitions", "0"),
            ("topic.creation.g.include", "("),
        ] {
            let config = Config::from([(key, value), ("topic.creation.groups", "g")]);
            assert!(
                TopicRules::read(&config)
                    .unwrap_err()
                    .message()
                    .contains(key)
            );
        }
    }
}
