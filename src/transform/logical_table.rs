//! Debezium's `ByLogicalTableRouter`: routes the topics of several physical tables to the topic of
//! one logical table.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value};

use super::part::{SchemaPlans, fields, key};
use super::route::{TopicRename, check_regex, check_template};

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "topic.regex",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Regular expression that must match the whole name of the topic.",
    )
    .check(KeyValidator::By(check_regex)),
    key(
        "topic.replacement",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Topic of the logical table; $1 and ${name} are replaced by groups of the match.",
    )
    .check(KeyValidator::NonEmpty),
    key(
        "key.enforce.uniqueness",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Whether the key gets an additional field, which distinguishes the physical tables.",
    ),
    key(
        "key.field.name",
        ConfigType::String,
        DefaultValue::Text("__dbz__physicalTableIdentifier"),
        Importance::Low,
        "Name of that field.",
    )
    .check(KeyValidator::NonEmpty),
    key(
        "key.field.regex",
        ConfigType::String,
        DefaultValue::Null,
        Importance::Low,
        "Regular expression for the topic's old name, to shorten it for that field.",
    )
    .check(KeyValidator::By(check_regex)),
    key(
        "key.field.replacement",
        ConfigType::String,
        DefaultValue::Null,
        Importance::Low,
        "Shortened value, with groups of key.field.regex.",
    )
    .check(KeyValidator::By(check_template)),
];

/// Routes the topics of several physical tables to the topic of one logical table.
pub(crate) struct ByLogicalTableRouter {
    topic: TopicRename,
    key_field: Option<Arc<str>>,
    physical: Option<TopicRename>,
    keys: SchemaPlans<Arc<Schema>>,
}

/// Checks constraints between keys.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if config.get("key.field.regex").is_some() && config.get("key.field.replacement").is_none() {
        report.invalid(
            "key.field.replacement",
            "null",
            "key.field.replacement must be set when key.field.regex is",
        );
    }
    let topic = config.get("topic.replacement").unwrap_or_default();
    if let Err(why) = check_template(topic) {
        report.invalid("topic.replacement", topic, &why);
    }
}

impl ByLogicalTableRouter {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        let (topic, unique, name, physical) = config.read(KEYS, |keys| {
            let topic = (keys.text("topic.regex"), keys.text("topic.replacement"));
            let physical = (
                keys.text_opt("key.field.regex"),
                keys.text_opt("key.field.replacement"),
            );
            (
                topic,
                keys.bool("key.enforce.uniqueness"),
                keys.text("key.field.name"),
                physical,
            )
        })?;
        let mut report = ConfigReport::default();
        check(config, &mut report);
        if !report.is_ok() {
            return Err(report);
        }
        let physical = match physical {
            (Some(regex), Some(replacement)) => {
                Some(TopicRename::new("key.field.regex", &regex, &replacement)?)
            }
            _ => None,
        };
        let topic = TopicRename::new("topic.regex", &topic.0, &topic.1)?;
        Ok(Self {
            topic,
            key_field: unique.then(|| name.into()),
            physical,
            keys: SchemaPlans::new(),
        })
    }

    fn extend_key(&mut self, record: &mut Record, old: &str) -> Result<()> {
        let Some(name) = &self.key_field else {
            return Ok(());
        };
        let physical = match &self.physical {
            Some(rename) => rename.apply(old)?,
            None => None,
        };
        let physical = Value::Text(physical.as_deref().unwrap_or(old).into());
        let (Some(schema), Value::Struct(members)) = (&record.key.schema, &mut record.key.value)
        else {
            return Ok(());
        };
        let extended = self.keys.of(schema, |schema| {
            let mut list: Vec<Field> = schema.fields.to_vec();
            list.push(Field::new(Arc::clone(name), Schema::of(SchemaType::String)));
            Ok(Arc::new(Schema {
                fields: fields(list)?,
                ..schema.clone()
            }))
        })?;
        let mut extended_members = std::mem::take(members).into_vec();
        extended_members.push(physical);
        *members = extended_members.into();
        record.key.schema = Some(Arc::clone(extended));
        Ok(())
    }
}

impl Transform for ByLogicalTableRouter {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let Some(topic) = self.topic.apply(&record.topic)? else {
            return Ok(Some(record));
        };
        let old = std::mem::replace(&mut record.topic, topic.into());
        self.extend_key(&mut record, &old)?;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Datum;

    use super::*;

    #[test]
    fn shards_become_one_topic_with_distinct_keys() {
        let key = Arc::new(Schema::structure(
            None,
            vec![Field::new("id", Schema::of(SchemaType::Int32))],
        ));
        let record = |topic: &str| Record {
            topic: topic.into(),
            partition: None,
            key: Datum::new(Arc::clone(&key), Value::Struct([Value::I32(1)].into())),
            value: Datum::NONE,
            timestamp_ms: None,
            headers: Vec::new(),
        };
        let config = Config::from([
            ("topic.regex", "(.*)orders_shard_(\\d+)"),
            ("topic.replacement", "$1all_orders"),
            ("key.field.name", "shard"),
            ("key.field.regex", "(.*)orders_shard_(\\d+)"),
            ("key.field.replacement", "$2"),
        ]);
        let mut router = ByLogicalTableRouter::new(&config).unwrap();
        let out = router
            .apply(record("db.orders_shard_7"), None)
            .unwrap()
            .unwrap();
        assert_eq!(&*out.topic, "db.all_orders");
        assert_eq!(
            out.key.value,
            Value::Struct([Value::I32(1), Value::Text("7".into())].into())
        );
        assert_eq!(&*out.key.schema.unwrap().fields[1].name, "shard");
        assert_eq!(
            router.apply(record("db.other"), None).unwrap(),
            Some(record("db.other"))
        );
    }
}
