//! Client settings: converts the Java client's names, as workers and connectors use them, to
//! librdkafka's. Pure.
//!
//! In order of increasing precedence: defaults set here, the worker's top-level keys, its
//! `producer.` / `consumer.` / `admin.` keys, the connector's overrides, and what the caller needs
//! for correctness ([`ClientSettings::set`]).

use std::collections::BTreeMap;

use connector_api::{Config, Error};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::{jaas, overrides};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRole {
    Producer,
    Consumer,
    /// Creates topics and reads metadata.
    Admin,
}

impl ClientRole {
    /// Returns the prefix of this client's keys in the worker's settings.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.",
            Self::Consumer => "consumer.",
            Self::Admin => "admin.",
        }
    }

    /// Returns the prefix of this client's keys in a connector's config.
    pub fn override_prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.override.",
            Self::Consumer => "consumer.override.",
            Self::Admin => "admin.override.",
        }
    }
}

/// The clients that know a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientSet {
    All,
    Only(ClientRole),
}

impl ClientSet {
    /// True if that client knows the setting.
    pub(crate) fn has(self, client: ClientRole) -> bool {
        self == Self::All || self == Self::Only(client)
    }
}

/// How a Java setting is converted.
#[derive(Clone, Copy)]
pub(crate) enum SettingTarget {
    /// Same name, same value.
    Same,
    /// Other name, same value.
    Name(&'static str),
    /// Other name, value in lower case (enumerations).
    Lower(&'static str),
    /// Other name, bytes converted to kilobytes.
    Kbytes(&'static str),
    /// Ignored: it has no meaning for librdkafka or this runtime.
    Nothing,
    /// Converted by a function.
    By(fn(&str, &mut ClientSettings) -> Result<(), Error>),
}

/// The conversion of one Java setting.
pub(crate) struct SettingRule {
    /// Name in the Java client.
    pub java: &'static str,
    /// Clients that know it.
    pub clients: ClientSet,
    /// True if a connector may override it.
    pub connector: bool,
    /// How it is converted.
    pub to: SettingTarget,
}

const fn all(java: &'static str, connector: bool, to: SettingTarget) -> SettingRule {
    SettingRule {
        java,
        clients: ClientSet::All,
        connector,
        to,
    }
}

const fn producer(java: &'static str, connector: bool, to: SettingTarget) -> SettingRule {
    SettingRule {
        java,
        clients: ClientSet::Only(ClientRole::Producer),
        connector,
        to,
    }
}

const fn consumer(java: &'static str, connector: bool, to: SettingTarget) -> SettingRule {
    SettingRule {
        java,
        clients: ClientSet::Only(ClientRole::Consumer),
        connector,
        to,
    }
}

/// All settings that are understood.
pub(crate) const RULES: &[SettingRule] = &[
    all("bootstrap.servers", true, SettingTarget::Same),
    all("client.id", true, SettingTarget::Same),
    all("client.rack", true, SettingTarget::Same),
    all("client.dns.lookup", true, SettingTarget::Same),
    all("connections.max.idle.ms", true, SettingTarget::Same),
    all(
        "metadata.max.age.ms",
        true,
        SettingTarget::Name("topic.metadata.refresh.interval.ms"),
    ),
    all("reconnect.backoff.ms", true, SettingTarget::Same),
    all("reconnect.backoff.max.ms", true, SettingTarget::Same),
    all("retry.backoff.ms", true, SettingTarget::Same),
    all("retry.backoff.max.ms", true, SettingTarget::Same),
    all(
        "request.timeout.ms",
        true,
        SettingTarget::Name("socket.timeout.ms"),
    ),
    all(
        "send.buffer.bytes",
        true,
        SettingTarget::Name("socket.send.buffer.bytes"),
    ),
    all(
        "receive.buffer.bytes",
        true,
        SettingTarget::Name("socket.receive.buffer.bytes"),
    ),
    all(
        "socket.connection.setup.timeout.ms",
        true,
        SettingTarget::Same,
    ),
    all(
        "security.protocol",
        true,
        SettingTarget::Lower("security.protocol"),
    ),
    all("sasl.mechanism", true, SettingTarget::Same),
    all(
        "sasl.jaas.config",
        true,
        SettingTarget::By(sasl_jaas_config),
    ),
    all("sasl.username", true, SettingTarget::Same),
    all("sasl.password", true, SettingTarget::Same),
    all(
        "ssl.truststore.certificates",
        true,
        SettingTarget::Name("ssl.ca.pem"),
    ),
    all(
        "ssl.keystore.certificate.chain",
        true,
        SettingTarget::Name("ssl.certificate.pem"),
    ),
    all("ssl.keystore.key", true, SettingTarget::Name("ssl.key.pem")),
    all("ssl.key.password", true, SettingTarget::Same),
    all(
        "ssl.truststore.location",
        false,
        SettingTarget::By(truststore_location),
    ),
    all("ssl.truststore.password", false, SettingTarget::Nothing),
    all("ssl.truststore.type", false, SettingTarget::Nothing),
    all(
        "ssl.keystore.location",
        false,
        SettingTarget::By(keystore_location),
    ),
    all("ssl.keystore.password", false, SettingTarget::Same),
    all("ssl.keystore.type", false, SettingTarget::Nothing),
    all(
        "ssl.endpoint.identification.algorithm",
        false,
        SettingTarget::By(endpoint_identification),
    ),
    all("ssl.cipher.suites", false, SettingTarget::Same),
    all("ssl.enabled.protocols", false, SettingTarget::Nothing),
    all("ssl.protocol", false, SettingTarget::Nothing),
    all("sasl.kerberos.service.name", false, SettingTarget::Same),
    all(
        "sasl.oauthbearer.token.endpoint.url",
        false,
        SettingTarget::By(token_endpoint),
    ),
    all(
        "sasl.oauthbearer.client.credentials.client.id",
        false,
        SettingTarget::Name("sasl.oauthbearer.client.id"),
    ),
    all(
        "sasl.oauthbearer.client.credentials.client.secret",
        false,
        SettingTarget::Name("sasl.oauthbearer.client.secret"),
    ),
    all("sasl.oauthbearer.scope", false, SettingTarget::Same),
    all(
        "sasl.login.callback.handler.class",
        false,
        SettingTarget::Nothing,
    ),
    all("interceptor.classes", false, SettingTarget::Nothing),
    all("metric.reporters", false, SettingTarget::Nothing),
    producer("acks", true, SettingTarget::Same),
    producer("batch.size", true, SettingTarget::Same),
    producer("batch.num.messages", true, SettingTarget::Same),
    producer(
        "buffer.memory",
        true,
        SettingTarget::Kbytes("queue.buffering.max.kbytes"),
    ),
    producer("queue.buffering.max.kbytes", true, SettingTarget::Same),
    producer("queue.buffering.max.messages", true, SettingTarget::Same),
    producer(
        "compression.type",
        true,
        SettingTarget::Lower("compression.type"),
    ),
    producer("compression.level", true, SettingTarget::Same),
    producer(
        "compression.gzip.level",
        true,
        SettingTarget::Name("compression.level"),
    ),
    producer(
        "compression.lz4.level",
        true,
        SettingTarget::Name("compression.level"),
    ),
    producer(
        "compression.zstd.level",
        true,
        SettingTarget::Name("compression.level"),
    ),
    producer("delivery.timeout.ms", true, SettingTarget::Same),
    producer("linger.ms", true, SettingTarget::Same),
    producer(
        "max.request.size",
        true,
        SettingTarget::Name("message.max.bytes"),
    ),
    producer("message.max.bytes", true, SettingTarget::Same),
    producer(
        "max.in.flight.requests.per.connection",
        true,
        SettingTarget::Same,
    ),
    producer("max.block.ms", true, SettingTarget::Nothing),
    producer("retries", true, SettingTarget::Same),
    producer("transaction.timeout.ms", true, SettingTarget::Same),
    producer("key.serializer", false, SettingTarget::Nothing),
    producer("value.serializer", false, SettingTarget::Nothing),
    consumer("auto.offset.reset", true, SettingTarget::Same),
    consumer("check.crcs", true, SettingTarget::Same),
    consumer("fetch.max.bytes", true, SettingTarget::Same),
    consumer(
        "fetch.max.wait.ms",
        true,
        SettingTarget::Name("fetch.wait.max.ms"),
    ),
    consumer("fetch.min.bytes", true, SettingTarget::Same),
    consumer("group.id", true, SettingTarget::Same),
    consumer("heartbeat.interval.ms", true, SettingTarget::Same),
    consumer(
        "isolation.level",
        true,
        SettingTarget::Lower("isolation.level"),
    ),
    consumer("max.partition.fetch.bytes", true, SettingTarget::Same),
    consumer("max.poll.interval.ms", true, SettingTarget::Same),
    consumer("max.poll.records", true, SettingTarget::Nothing),
    consumer(
        "partition.assignment.strategy",
        true,
        SettingTarget::By(assignment_strategy),
    ),
    consumer("queued.max.messages.kbytes", true, SettingTarget::Same),
    consumer("queued.min.messages", true, SettingTarget::Same),
    consumer("session.timeout.ms", true, SettingTarget::Same),
    consumer("default.api.timeout.ms", true, SettingTarget::Nothing),
    consumer("key.deserializer", false, SettingTarget::Nothing),
    consumer("value.deserializer", false, SettingTarget::Nothing),
];

/// Defaults of all clients.
const DEFAULTS: &[(&str, &str)] = &[
    ("bootstrap.servers", "localhost:9092"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "2000"),
    ("log.connection.close", "false"),
    ("enable.metrics.push", "false"),
    ("allow.auto.create.topics", "false"),
];

/// Defaults of producers. `murmur2_random` chooses partitions as Java clients do; librdkafka's own
/// default differs. Records linger about as long as a request is in flight, so that whatever has
/// gathered meanwhile is sent next: with less, librdkafka would busy-poll for the end of the one
/// request; with more, it would wait for a whole batch.
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("acks", "all"),
    ("compression.type", "lz4"),
    ("partitioner", "murmur2_random"),
    ("message.max.bytes", "1048576"),
    ("batch.num.messages", "100000"),
    ("linger.ms", "5"),
    ("queue.buffering.max.kbytes", "32768"),
    ("delivery.report.only.error", "true"),
];

/// Defaults of consumers. Without the short `fetch.queue.backoff.ms`, a full queue would pause
/// fetching for a second.
const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "3000"),
    ("topic.metadata.refresh.interval.ms", "2000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
];

/// Settings of one client, under librdkafka's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings(BTreeMap<String, String>);

/// Returns why a value of a Java setting cannot be used, as far as that is known without a broker.
/// `None` for a value that can be used, and for unknown settings.
pub(crate) fn value_fault(client: ClientRole, name: &str, value: &str) -> Option<String> {
    let rule = RULES
        .iter()
        .find(|rule| rule.java == name && rule.clients.has(client))?;
    let mut settings = ClientSettings(BTreeMap::new());
    if let Err(error) = settings.apply(rule, value) {
        return Some(error.message().to_owned());
    }
    match settings.native().create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(_, reason, ..)) => Some(reason),
        Err(other) => Some(other.to_string()),
    }
}

impl ClientSettings {
    /// Returns the settings of a client of the worker, or of a connector if its config is given.
    /// Errors: `Config` for a value that cannot be converted, or an override that is refused.
    pub fn of(
        client: ClientRole,
        worker: &Config,
        connector: Option<&Config>,
    ) -> Result<Self, Error> {
        let defaults = match client {
            ClientRole::Producer => PRODUCER_DEFAULTS,
            ClientRole::Consumer => CONSUMER_DEFAULTS,
            ClientRole::Admin => &[],
        };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings = Self(DEFAULTS.iter().chain(defaults).map(own).collect());
        for rule in RULES.iter().filter(|rule| rule.clients == ClientSet::All) {
            if let Some(value) = worker.get(rule.java) {
                settings.apply(rule, value)?;
            }
        }
        let prefix = client.prefix();
        for (name, value) in worker.with_prefix(prefix).iter() {
            match RULES
                .iter()
                .find(|rule| rule.java == name && rule.clients.has(client))
            {
                Some(rule) => settings
                    .apply(rule, value)
                    .map_err(|e| e.context(format_args!("{prefix}{name}")))?,
                None => tracing::warn!(
                    "worker setting {prefix}{name} has no counterpart here and is ignored"
                ),
            }
        }
        if let Some(connector) = connector {
            for (name, value) in overrides::read(worker, connector, client)?.iter() {
                if let Some(rule) = RULES
                    .iter()
                    .find(|rule| rule.java == name && rule.clients.has(client))
                {
                    settings.apply(rule, value)?;
                }
            }
        }
        Ok(settings)
    }

    fn apply(&mut self, rule: &SettingRule, value: &str) -> Result<(), Error> {
        let value = value.trim();
        match rule.to {
            SettingTarget::Same => self.set(rule.java, value),
            SettingTarget::Name(name) => self.set(name, value),
            SettingTarget::Lower(name) => self.set(name, &value.to_ascii_lowercase()),
            SettingTarget::Kbytes(name) => {
                let bytes: u64 = value
                    .parse()
                    .map_err(|_| Error::config(format!("{}: not a number of bytes", rule.java)))?;
                self.set(name, &(bytes / 1024).max(1).to_string());
            }
            SettingTarget::Nothing => {}
            SettingTarget::By(translate) => translate(value, self)?,
        }
        Ok(())
    }

    /// Sets a librdkafka setting unconditionally.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Sets a librdkafka setting unless it is already set.
    pub fn set_default(&mut self, name: &str, value: &str) {
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| value.to_owned());
    }

    /// Returns the value of a librdkafka setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Removes a librdkafka setting and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Returns a numeric setting, or `otherwise` if it is absent or not a number.
    pub fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(otherwise)
    }

    /// Returns `bootstrap.servers`, for messages.
    pub fn brokers(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or_default()
    }

    pub(super) fn native(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.0 {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

fn sasl_jaas_config(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    for (name, value) in jaas::credentials(value)? {
        settings.set(name, &value);
    }
    Ok(())
}

fn token_endpoint(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    settings.set("sasl.oauthbearer.method", "oidc");
    settings.set("sasl.oauthbearer.token.endpoint.url", value);
    Ok(())
}

fn endpoint_identification(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    settings.set(
        "ssl.endpoint.identification.algorithm",
        if value.is_empty() { "none" } else { value },
    );
    Ok(())
}

fn truststore_location(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    refuse_java_store("ssl.truststore.location", value)?;
    settings.set("ssl.ca.location", value);
    Ok(())
}

/// A PEM file becomes key and certificate locations; a PKCS#12 file is used as it is.
fn keystore_location(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    refuse_java_store("ssl.keystore.location", value)?;
    if value.ends_with(".p12") || value.ends_with(".pfx") {
        settings.set("ssl.keystore.location", value);
    } else {
        settings.set("ssl.certificate.location", value);
        settings.set("ssl.key.location", value);
    }
    Ok(())
}

fn refuse_java_store(key: &str, path: &str) -> Result<(), Error> {
    if path.to_ascii_lowercase().ends_with(".jks") {
        return Err(Error::config(format!(
            "{key}: a Java key store cannot be read; export it as PEM (keytool -importkeystore … -deststoretype PKCS12, then openssl pkcs12)"
        )));
    }
    Ok(())
}

/// Converts class names of the Java client's assignors to librdkafka's names.
fn assignment_strategy(value: &str, settings: &mut ClientSettings) -> Result<(), Error> {
    let name = |class: &str| match class.trim().rsplit('.').next().unwrap_or_default() {
        "RangeAssignor" | "range" => Ok("range"),
        "RoundRobinAssignor" | "roundrobin" => Ok("roundrobin"),
        "CooperativeStickyAssignor" | "cooperative-sticky" => Ok("cooperative-sticky"),
        _ => Err(Error::config(
            "partition.assignment.strategy: supported are RangeAssignor, RoundRobinAssignor and CooperativeStickyAssignor",
        )),
    };
    let names = value.split(',').map(name).collect::<Result<Vec<_>, _>>()?;
    settings.set("partition.assignment.strategy", &names.join(","));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pairs: &[(&str, &str)]) -> Config {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn later_layers_win_and_java_names_become_librdkafkas() {
        let worker = worker(&[
            ("bootstrap.servers", "k:9092"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            (
                "sasl.jaas.config",
                "ScramLoginModule required username=\"u\" password=\"p\";",
            ),
            ("ssl.truststore.location", "/etc/ca.pem"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("key.converter", "x"),
            ("producer.compression.type", "ZSTD"),
            ("producer.buffer.memory", "67108864"),
            ("producer.linger.ms", "1"),
            ("consumer.fetch.max.wait.ms", "9"),
        ]);
        let connector = Config::from([("producer.override.linger.ms", "50"), ("topics", "t")]);
        let settings = ClientSettings::of(ClientRole::Producer, &worker, Some(&connector)).unwrap();
        for (name, value) in [
            ("bootstrap.servers", Some("k:9092")),
            ("security.protocol", Some("sasl_ssl")),
            ("sasl.username", Some("u")),
            ("sasl.password", Some("p")),
            ("ssl.ca.location", Some("/etc/ca.pem")),
            ("ssl.endpoint.identification.algorithm", Some("none")),
            ("compression.type", Some("zstd")),
            ("queue.buffering.max.kbytes", Some("65536")),
            ("linger.ms", Some("50")),
            ("partitioner", Some("murmur2_random")),
            ("fetch.wait.max.ms", None),
            ("key.converter", None),
        ] {
            assert_eq!(settings.get(name), value, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_carried_over_is_refused_with_advice() {
        for (key, value, says) in [
            ("ssl.truststore.location", "/etc/kafka.jks", "PEM"),
            (
                "sasl.jaas.config",
                "com.sun.security.auth.module.LdapLoginModule required;",
                "not supported",
            ),
            ("producer.buffer.memory", "lots", "not a number"),
        ] {
            let message = ClientSettings::of(ClientRole::Producer, &worker(&[(key, value)]), None)
                .unwrap_err();
            assert!(
                message.message().contains(says) && message.message().contains(key),
                "{message}"
            );
        }
    }

    #[test]
    fn every_setting_made_here_is_one_that_librdkafka_knows() {
        for client in [
            ClientRole::Producer,
            ClientRole::Consumer,
            ClientRole::Admin,
        ] {
            let settings = ClientSettings::of(client, &Config::new(), None).unwrap();
            settings.native().create_native_config().unwrap();
        }
    }
}
