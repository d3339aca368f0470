//! Client settings: the Java client's names, as workers and connectors carry them, become librdkafka's. Pure.
//!
//! Order, the later wins: defaults here, the worker's top-level keys, its `producer.` / `consumer.` / `admin.` keys, the
//! connector's overrides, what the caller needs for correctness ([`Settings::set`]).

use std::collections::BTreeMap;

use connector_api::{Config, Error};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::{jaas, overrides};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Writes records.
    Producer,
    /// Reads records.
    Consumer,
    /// Creates topics, asks for metadata.
    Admin,
}

impl Client {
    /// The prefix of its keys in the worker's settings.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.",
            Self::Consumer => "consumer.",
            Self::Admin => "admin.",
        }
    }

    /// The prefix of its keys in a connector's config.
    pub fn override_prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.override.",
            Self::Consumer => "consumer.override.",
            Self::Admin => "admin.override.",
        }
    }
}

/// Which clients know a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Every one.
    All,
    /// One kind.
    Only(Client),
}

impl Clients {
    /// Whether that one does.
    pub fn has(self, client: Client) -> bool {
        self == Self::All || self == Self::Only(client)
    }
}

/// What becomes of a Java setting.
#[derive(Clone, Copy)]
pub enum To {
    /// The same name and value.
    Same,
    /// Another name, the same value.
    Name(&'static str),
    /// Another name; the value in lower case (enumerations).
    Lower(&'static str),
    /// Another name; bytes become kilobytes.
    Kbytes(&'static str),
    /// Means nothing to librdkafka, or to this runtime.
    Nothing,
    /// Something of its own.
    By(fn(&str, &mut Settings) -> Result<(), Error>),
}

/// One Java setting.
pub struct Rule {
    /// Its name in the Java client.
    pub java: &'static str,
    /// Which clients know it.
    pub clients: Clients,
    /// Whether a connector may override it.
    pub connector: bool,
    /// What becomes of it.
    pub to: To,
}

const fn all(java: &'static str, connector: bool, to: To) -> Rule {
    Rule { java, clients: Clients::All, connector, to }
}

const fn producer(java: &'static str, connector: bool, to: To) -> Rule {
    Rule { java, clients: Clients::Only(Client::Producer), connector, to }
}

const fn consumer(java: &'static str, connector: bool, to: To) -> Rule {
    Rule { java, clients: Clients::Only(Client::Consumer), connector, to }
}

/// Every setting that is understood.
pub const RULES: &[Rule] = &[
    all("bootstrap.servers", true, To::Same),
    all("client.id", true, To::Same),
    all("client.rack", true, To::Same),
    all("client.dns.lookup", true, To::Same),
    all("connections.max.idle.ms", true, To::Same),
    all("metadata.max.age.ms", true, To::Name("topic.metadata.refresh.interval.ms")),
    all("reconnect.backoff.ms", true, To::Same),
    all("reconnect.backoff.max.ms", true, To::Same),
    all("retry.backoff.ms", true, To::Same),
    all("retry.backoff.max.ms", true, To::Same),
    all("request.timeout.ms", true, To::Name("socket.timeout.ms")),
    all("send.buffer.bytes", true, To::Name("socket.send.buffer.bytes")),
    all("receive.buffer.bytes", true, To::Name("socket.receive.buffer.bytes")),
    all("socket.connection.setup.timeout.ms", true, To::Same),
    all("security.protocol", true, To::Lower("security.protocol")),
    all("sasl.mechanism", true, To::Same),
    all("sasl.jaas.config", true, To::By(sasl_jaas_config)),
    all("sasl.username", true, To::Same),
    all("sasl.password", true, To::Same),
    all("ssl.truststore.certificates", true, To::Name("ssl.ca.pem")),
    all("ssl.keystore.certificate.chain", true, To::Name("ssl.certificate.pem")),
    all("ssl.keystore.key", true, To::Name("ssl.key.pem")),
    all("ssl.key.password", true, To::Same),
    all("ssl.truststore.location", false, To::By(truststore_location)),
    all("ssl.truststore.password", false, To::Nothing),
    all("ssl.truststore.type", false, To::Nothing),
    all("ssl.keystore.location", false, To::By(keystore_location)),
    all("ssl.keystore.password", false, To::Same),
    all("ssl.keystore.type", false, To::Nothing),
    all("ssl.endpoint.identification.algorithm", false, To::By(endpoint_identification)),
    all("ssl.cipher.suites", false, To::Same),
    all("ssl.enabled.protocols", false, To::Nothing),
    all("ssl.protocol", false, To::Nothing),
    all("sasl.kerberos.service.name", false, To::Same),
    all("sasl.oauthbearer.token.endpoint.url", false, To::By(token_endpoint)),
    all("sasl.oauthbearer.client.credentials.client.id", false, To::Name("sasl.oauthbearer.client.id")),
    all("sasl.oauthbearer.client.credentials.client.secret", false, To::Name("sasl.oauthbearer.client.secret")),
    all("sasl.oauthbearer.scope", false, To::Same),
    all("sasl.login.callback.handler.class", false, To::Nothing),
    all("interceptor.classes", false, To::Nothing),
    all("metric.reporters", false, To::Nothing),
    producer("acks", true, To::Same),
    producer("batch.size", true, To::Same),
    producer("batch.num.messages", true, To::Same),
    producer("buffer.memory", true, To::Kbytes("queue.buffering.max.kbytes")),
    producer("queue.buffering.max.kbytes", true, To::Same),
    producer("queue.buffering.max.messages", true, To::Same),
    producer("compression.type", true, To::Lower("compression.type")),
    producer("compression.level", true, To::Same),
    producer("compression.gzip.level", true, To::Name("compression.level")),
    producer("compression.lz4.level", true, To::Name("compression.level")),
    producer("compression.zstd.level", true, To::Name("compression.level")),
    producer("delivery.timeout.ms", true, To::Same),
    producer("linger.ms", true, To::Same),
    producer("max.request.size", true, To::Name("message.max.bytes")),
    producer("message.max.bytes", true, To::Same),
    producer("max.in.flight.requests.per.connection", true, To::Same),
    producer("max.block.ms", true, To::Nothing),
    producer("retries", true, To::Same),
    producer("transaction.timeout.ms", true, To::Same),
    producer("key.serializer", false, To::Nothing),
    producer("value.serializer", false, To::Nothing),
    consumer("auto.offset.reset", true, To::Same),
    consumer("check.crcs", true, To::Same),
    consumer("fetch.max.bytes", true, To::Same),
    consumer("fetch.max.wait.ms", true, To::Name("fetch.wait.max.ms")),
    consumer("fetch.min.bytes", true, To::Same),
    consumer("group.id", true, To::Same),
    consumer("heartbeat.interval.ms", true, To::Same),
    consumer("isolation.level", true, To::Lower("isolation.level")),
    consumer("max.partition.fetch.bytes", true, To::Same),
    consumer("max.poll.interval.ms", true, To::Same),
    consumer("max.poll.records", true, To::Nothing),
    consumer("partition.assignment.strategy", true, To::By(assignment_strategy)),
    consumer("queued.max.messages.kbytes", true, To::Same),
    consumer("queued.min.messages", true, To::Same),
    consumer("session.timeout.ms", true, To::Same),
    consumer("default.api.timeout.ms", true, To::Nothing),
    consumer("key.deserializer", false, To::Nothing),
    consumer("value.deserializer", false, To::Nothing),
];

/// Defaults for every client.
const DEFAULTS: &[(&str, &str)] = &[
    ("bootstrap.servers", "localhost:9092"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "2000"),
    ("log.connection.close", "false"),
    ("enable.metrics.push", "false"),
    ("allow.auto.create.topics", "false"),
];

/// Defaults for producers. `murmur2_random` is how Java clients choose partitions; librdkafka's own choice differs.
/// Records linger about as long as a request is under way, so that what has come together meanwhile goes next: with less
/// librdkafka would poll without rest for the end of the one request, with more it waits for a whole batch.
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

/// Defaults for consumers. Without the short `fetch.queue.backoff.ms` a full queue would pause fetching for a second.
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

/// Settings of one client, by librdkafka's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Settings for a client of the worker, or of a connector where its config is given.
    /// Errors: `Config` for a value that cannot be carried over, or an override that is refused.
    pub fn of(client: Client, worker: &Config, connector: Option<&Config>) -> Result<Self, Error> {
        let defaults = match client {
            Client::Producer => PRODUCER_DEFAULTS,
            Client::Consumer => CONSUMER_DEFAULTS,
            Client::Admin => &[],
        };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings = Self(DEFAULTS.iter().chain(defaults).map(own).collect());
        for rule in RULES.iter().filter(|rule| rule.clients == Clients::All) {
            if let Some(value) = worker.get(rule.java) {
                settings.apply(rule, value)?;
            }
        }
        let prefix = client.prefix();
        for (name, value) in worker.with_prefix(prefix).iter() {
            match RULES.iter().find(|rule| rule.java == name && rule.clients.has(client)) {
                Some(rule) => settings.apply(rule, value).map_err(|e| e.context(format_args!("{prefix}{name}")))?,
                None => tracing::warn!("worker setting {prefix}{name} has no counterpart here and is ignored"),
            }
        }
        if let Some(connector) = connector {
            for (name, value) in overrides::read(worker, connector, client)?.iter() {
                if let Some(rule) = RULES.iter().find(|rule| rule.java == name && rule.clients.has(client)) {
                    settings.apply(rule, value)?;
                }
            }
        }
        Ok(settings)
    }

    fn apply(&mut self, rule: &Rule, value: &str) -> Result<(), Error> {
        let value = value.trim();
        match rule.to {
            To::Same => self.set(rule.java, value),
            To::Name(name) => self.set(name, value),
            To::Lower(name) => self.set(name, &value.to_ascii_lowercase()),
            To::Kbytes(name) => {
                let bytes: u64 =
                    value.parse().map_err(|_| Error::config(format!("{}: not a number of bytes", rule.java)))?;
                self.set(name, &(bytes / 1024).max(1).to_string());
            }
            To::Nothing => {}
            To::By(translate) => translate(value, self)?,
        }
        Ok(())
    }

    /// Sets a librdkafka setting, whatever it was.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Sets a librdkafka setting where nothing has set it.
    pub fn set_default(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// The value of a librdkafka setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes a setting away.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A setting that is a number, or `otherwise`.
    pub fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
    }

    /// `bootstrap.servers`, for texts.
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

fn sasl_jaas_config(value: &str, settings: &mut Settings) -> Result<(), Error> {
    for (name, value) in jaas::credentials(value)? {
        settings.set(name, &value);
    }
    Ok(())
}

fn token_endpoint(value: &str, settings: &mut Settings) -> Result<(), Error> {
    settings.set("sasl.oauthbearer.method", "oidc");
    settings.set("sasl.oauthbearer.token.endpoint.url", value);
    Ok(())
}

fn endpoint_identification(value: &str, settings: &mut Settings) -> Result<(), Error> {
    settings.set("ssl.endpoint.identification.algorithm", if value.is_empty() { "none" } else { value });
    Ok(())
}

fn truststore_location(value: &str, settings: &mut Settings) -> Result<(), Error> {
    refuse_java_store("ssl.truststore.location", value)?;
    settings.set("ssl.ca.location", value);
    Ok(())
}

/// A PEM file holds key and certificates; a PKCS#12 file is taken as it is.
fn keystore_location(value: &str, settings: &mut Settings) -> Result<(), Error> {
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

/// Class names of the Java client's assignors become librdkafka's names.
fn assignment_strategy(value: &str, settings: &mut Settings) -> Result<(), Error> {
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
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn later_layers_win_and_java_names_become_librdkafkas() {
        let worker = worker(&[
            ("bootstrap.servers", "k:9092"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", "ScramLoginModule required username=\"u\" password=\"p\";"),
            ("ssl.truststore.location", "/etc/ca.pem"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("key.converter", "x"),
            ("producer.compression.type", "ZSTD"),
            ("producer.buffer.memory", "67108864"),
            ("producer.linger.ms", "1"),
            ("consumer.fetch.max.wait.ms", "9"),
        ]);
        let connector = Config::from([("producer.override.linger.ms", "50"), ("topics", "t")]);
        let settings = Settings::of(Client::Producer, &worker, Some(&connector)).unwrap();
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
            ("sasl.jaas.config", "com.sun.security.auth.module.LdapLoginModule required;", "not supported"),
            ("producer.buffer.memory", "lots", "not a number"),
        ] {
            let message = Settings::of(Client::Producer, &worker(&[(key, value)]), None).unwrap_err();
            assert!(message.message().contains(says) && message.message().contains(key), "{message}");
        }
    }

    #[test]
    fn every_setting_made_here_is_one_that_librdkafka_knows() {
        for client in [Client::Producer, Client::Consumer, Client::Admin] {
            let settings = Settings::of(client, &Config::new(), None).unwrap();
            settings.native().create_native_config().unwrap();
        }
    }
}
