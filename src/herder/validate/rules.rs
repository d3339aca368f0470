//! Rules for the keys that every connector has. Pure.

use connector_api::Config;
use regex::Regex;

use super::WorkerFacts;
use super::chain;
use super::form::{ConfigForm, GivenValues, KeyNaming};
use crate::herder::bounds;
use crate::kafka::consumer::offset_reset_fault;
use crate::kafka::settings::value_fault;
use crate::kafka::{ClientRole, overrides, topic_name};
use crate::keys;
use crate::worker;

fn list<'a>(config: &'a Config, key: &str) -> Vec<&'a str> {
    config
        .get(key)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn is(config: &Config, key: &str, value: &str) -> bool {
    config
        .get(key)
        .is_some_and(|given| given.trim().eq_ignore_ascii_case(value))
}

/// Checks that the worker can create as many tasks as the config asks for.
pub(super) fn check_tasks(form: &mut ConfigForm, config: &Config, most: usize) {
    let is_number = config
        .get("tasks.max")
        .is_none_or(|text| text.trim().parse::<i32>().is_ok());
    if let (true, Err(text)) = (is_number, bounds::tasks(config, most)) {
        form.error("tasks.max", text);
    }
}

/// Checks exactly-once delivery (KIP-618) and topic creation (KIP-158).
pub(super) fn check_source(form: &mut ConfigForm, config: &Config, worker: &WorkerFacts) {
    if is(config, "exactly.once.support", "required") && !worker.exactly_once_source {
        form.error(
            "exactly.once.support",
            "This worker does not have exactly-once source support enabled.",
        );
    }
    if is(config, "transaction.boundary", "connector") {
        form.error(
            "transaction.boundary",
            "The connector does not support connector-defined transaction boundaries with the given configuration. \
             Please reconfigure it to use a different transaction boundary definition.",
        );
    }
    const OFFSETS: &str = "offsets.storage.topic";
    if let Some(topic) = config
        .get(OFFSETS)
        .map(str::trim)
        .filter(|it| !it.is_empty())
    {
        check_topic_name(form, OFFSETS, topic);
    }
    if let Some(letters) = given_topic(config) {
        check_topic_name(form, DLQ_TOPIC, letters);
        check_dlq_replication(form, config);
    }
    if config.with_prefix("topic.creation.").is_empty() {
        return;
    }
    let given: GivenValues = config
        .iter()
        .map(|(k, v)| (k.to_owned(), Some(v.to_owned())))
        .collect();
    let groups = chain::aliases(form, config, "topic.creation.groups");
    for group in groups
        .iter()
        .map(String::as_str)
        .filter(|group| *group != "default")
        .chain(["default"])
    {
        let prefix = format!("topic.creation.{group}.");
        let naming = KeyNaming {
            prefix: &prefix,
            text_prefix: &prefix,
            group: None,
        };
        // Groups inherit counts from the default group, so only that one must have them.
        let own = config.with_prefix(&prefix);
        let needed =
            |key: &&connector_api::ConfigKey| group == "default" || own.get(key.name).is_some();
        for key in keys::TOPIC_GROUP.iter().filter(needed) {
            form.add(std::slice::from_ref(key), &given, naming);
        }
    }
}

/// Checks `topics` or `topics.regex`, the dead-letter topic and the consumer group.
pub(super) fn check_sink(form: &mut ConfigForm, config: &Config, worker: &WorkerFacts) {
    let topics = list(config, "topics");
    let regex = config
        .get("topics.regex")
        .map(str::trim)
        .filter(|regex| !regex.is_empty());
    let both = match (topics.is_empty(), regex) {
        (false, Some(_)) => {
            Some("topics and topics.regex are mutually exclusive options, but both are set.")
        }
        (true, None) => Some("Must configure one of topics or topics.regex"),
        _ => None,
    };
    if let Some(text) = both {
        form.error("topics", text);
        form.error("topics.regex", text);
    }
    if let Some(dlq) = given_topic(config) {
        check_dead_letters(form, dlq, &topics, regex);
        check_topic_name(form, DLQ_TOPIC, dlq);
        check_dlq_replication(form, config);
    }
    for topic in &topics {
        check_topic_name(form, "topics", topic);
    }
    let overridden = config.get("consumer.override.group.id");
    let group = overridden.map_or_else(
        || format!("connect-{}", config.get("name").unwrap_or_default()),
        str::to_owned,
    );
    if group == worker.group_id {
        let (key, what) = match overridden {
            Some(group) => (
                "consumer.override.group.id",
                format!("Consumer group {group}"),
            ),
            None => (
                "name",
                format!(
                    "Consumer group for sink connector named {}",
                    config.get("name").unwrap_or_default()
                ),
            ),
        };
        form.error(
            key,
            format!("{what} conflicts with Connect worker group {group}"),
        );
    }
}

/// Returns the dead-letter topic, if there is one.
fn given_topic(config: &Config) -> Option<&str> {
    config
        .get(DLQ_TOPIC)
        .map(str::trim)
        .filter(|dlq| !dlq.is_empty())
}

const DLQ_TOPIC: &str = "errors.deadletterqueue.topic.name";

/// Checks a name that no broker would accept.
fn check_topic_name(form: &mut ConfigForm, key: &str, topic: &str) {
    if topic.contains("${") {
        return;
    }
    if let Some(rule) = topic_name::broken_rule(topic) {
        form.error(
            key,
            format!(
                "Invalid value {topic} for configuration {key}: Kafka has no such topic; {rule}"
            ),
        );
    }
}

/// Checks the replication factor of the dead-letter topic; a text that is no number is reported by
/// its key.
fn check_dlq_replication(form: &mut ConfigForm, config: &Config) {
    const KEY: &str = "errors.deadletterqueue.topic.replication.factor";
    let factor = config.get(KEY).map(str::trim);
    let number = factor.and_then(|text| text.parse::<i64>().ok());
    if let Some(n) = number.filter(|n| *n < 1 && *n != -1) {
        form.error(
            KEY,
            format!(
                "Invalid value {n} for configuration {KEY}: it is at least 1, or -1 for the \
                 broker's default"
            ),
        );
    }
}

fn check_dead_letters(form: &mut ConfigForm, dlq: &str, topics: &[&str], regex: Option<&str>) {
    if topics.contains(&dlq) {
        let list = topics.join(", ");
        let text = format!(
            "The DLQ topic '{dlq}' may not be included in the list of topics ('topics=[{list}]') consumed by the connector"
        );
        form.error("topics", text);
    }
    let whole = regex.and_then(|regex| Regex::new(&format!("^(?:{regex})$")).ok());
    if let (Some(regex), true) = (regex, whole.is_some_and(|whole| whole.is_match(dlq))) {
        let text = format!(
            "The DLQ topic '{dlq}' may not be matched by the regex for the topics ('topics.regex={regex}') consumed by \
             the connector"
        );
        form.error("topics.regex", text);
    }
}

/// Checks `task.progress.timeout.ms`, a worker key that a connector may override.
pub(super) fn check_progress_timeout(form: &mut ConfigForm, config: &Config) {
    let Some(value) = config.get(keys::PROGRESS_TIMEOUT) else {
        return;
    };
    form.add_undeclared(keys::PROGRESS_TIMEOUT, Some(value));
    // A reference is resolved only when a task starts.
    if let (Err(error), false) = (worker::progress_limit(config), value.contains("${")) {
        form.error(keys::PROGRESS_TIMEOUT, error.to_string());
    }
}

/// Checks the client settings that a connector overrides: only those that the worker's policy
/// permits, and none that could load a library or run a command.
pub(super) fn check_overrides(form: &mut ConfigForm, config: &Config, worker: &WorkerFacts) {
    for client in [
        ClientRole::Producer,
        ClientRole::Consumer,
        ClientRole::Admin,
    ] {
        for (name, value) in config.with_prefix(client.override_prefix()).iter() {
            let full = format!("{}{name}", client.override_prefix());
            form.add_undeclared(&full, Some(value));
            if let Some(text) = overrides::refusal(&worker.config, client, name) {
                form.error(&full, text);
            }
            // A reference is resolved only when a task starts.
            if value.contains("${") {
                continue;
            }
            let reset = offset_reset_fault(value).filter(|_| name == "auto.offset.reset");
            if let Some(text) = reset {
                form.error(&full, text.to_owned());
            } else if let Some(why) = value_fault(client, name, value) {
                form.error(
                    &full,
                    format!("Invalid value for configuration {full}: {why}"),
                );
            }
        }
    }
}
