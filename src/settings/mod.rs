//! Worker settings, with Kafka Connect's key names, so that a `connect-distributed.properties`
//! works unchanged.
//!
//! Precedence: defaults < file < `CONNECT_*` environment < flags. The rest of the worker takes its
//! settings from [`WorkerSettings`]; no other code reads the environment or settings files.

mod edit;
pub(crate) mod file;
mod keys;
mod layers;
mod listener;
mod metrics;
mod names;
mod open_files;
mod own_files;
pub mod properties;
mod providers;
pub mod references;
mod secrets;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use connector_api::shown::{on_one_line, without_passwords};
use connector_api::{Config, ConfigReader, ConfigReport, Error, Result};

pub use edit::write_settings;
pub use keys::{KEYS, is_known};
pub use layers::{SettingValue, SettingsLayer};
pub use listener::ListenerAddress;
pub use metrics::MetricsSettings;
use names::host_name;
pub use names::own_names;
pub use open_files::raise_open_files;
pub use providers::{ConfigProviders, ResolvedConfig};
pub use secrets::{is_secret, sounds_secret};

use crate::store;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// All keys as given, with the default converters added.
    pub config: Config,
    /// The origin of each key that was given.
    pub given: BTreeMap<String, SettingValue>,
    /// The files that settings were read from.
    files: Vec<PathBuf>,
    /// `group.id`.
    pub group_id: String,
    /// `offset.storage.topic`.
    pub offset_topic: String,
    /// `offset.storage.partitions`.
    pub offset_partitions: i32,
    /// `offset.storage.replication.factor`; -1 is the broker's default.
    pub replication_factor: i32,
    /// `offset.flush.interval.ms`.
    pub flush_interval: Duration,
    /// `task.shutdown.graceful.timeout.ms`.
    pub graceful_timeout: Duration,
    /// `rowferry.tasks.max`.
    pub tasks_max: usize,
    /// `rowferry.worker.tasks.max`.
    pub worker_tasks_max: usize,
    /// True if `exactly.once.source.support` is enabled.
    pub exactly_once_source: bool,
    /// `topic.tracking.*`.
    pub topic_tracking: TopicTracking,
    /// Settings of the REST server.
    pub rest: RestSettings,
    /// `metrics.*`.
    pub metrics: MetricsSettings,
    /// Where and how configs and statuses are stored.
    pub store: store::StoreOptions,
    /// How several workers share the store; `None` for a worker that is alone.
    pub shared: Option<SharedSettings>,
    /// Folders and files below which connectors may use SQLite files: `sqlite.allowed.paths`, or
    /// the data folder.
    pub sqlite_paths: Vec<PathBuf>,
    /// Folders and files below which the file connectors may use files: `file.allowed.paths`, or
    /// the data folder.
    pub file_paths: Vec<PathBuf>,
    /// `rowferry.log.level`.
    pub log_level: String,
    /// `rowferry.log.format`: auto, text or json.
    pub log_format: String,
    /// Resolves `${…}` references in values.
    pub providers: ConfigProviders,
    /// All keys as given, with their own references resolved.
    pub resolved: ResolvedConfig,
}

/// Settings of one of several workers that share a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    /// `rowferry.slots`.
    pub slots: u16,
    /// `rowferry.store.poll.ms`.
    pub poll: Duration,
    /// `rowferry.store.patience.ms`.
    pub patience: Duration,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat: Duration,
    /// `rebalance.timeout.ms`.
    pub rebalance_timeout: Duration,
    /// `group.instance.id`.
    pub group_instance: Option<String>,
    /// `rowferry.balance`.
    pub balance: BalanceMode,
    /// `rowferry.balance.interval.ms`.
    pub balance_interval: Duration,
    /// `scheduled.rebalance.max.delay.ms`.
    pub return_within: Duration,
}

/// What decides where tasks run, if there are several workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceMode {
    /// How busy tasks are, once their numbers are even.
    Work,
    /// Only their numbers.
    Count,
    /// Tasks stay where they are, unless their worker ends or is drained.
    Off,
}

impl SharedSettings {
    fn read(r: &mut ConfigReader<'_>) -> Option<Self> {
        let settings = Self {
            slots: u16::try_from(r.long("rowferry.slots")).unwrap_or(store::SLOTS_DEFAULT),
            poll: Duration::from_millis(r.unsigned("rowferry.store.poll.ms")),
            patience: Duration::from_millis(r.unsigned("rowferry.store.patience.ms")),
            session_timeout: Duration::from_millis(r.unsigned("session.timeout.ms")),
            heartbeat: Duration::from_millis(r.unsigned("heartbeat.interval.ms")),
            rebalance_timeout: Duration::from_millis(r.unsigned("rebalance.timeout.ms")),
            group_instance: Some(r.text("group.instance.id")).filter(|id| !id.is_empty()),
            balance: match r.text("rowferry.balance").as_str() {
                "count" => BalanceMode::Count,
                "off" => BalanceMode::Off,
                _ => BalanceMode::Work,
            },
            balance_interval: Duration::from_millis(r.unsigned("rowferry.balance.interval.ms")),
            return_within: Duration::from_millis(r.unsigned("scheduled.rebalance.max.delay.ms")),
        };
        r.bool("rowferry.store.shared").then_some(settings)
    }
}

/// `topic.tracking.*` (KIP-558).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicTracking {
    /// True if the topics that a connector uses are recorded.
    pub enabled: bool,
    /// True if that record may be reset over REST.
    pub allow_reset: bool,
}

/// Settings of the REST server.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Listener addresses; at least one.
    pub listeners: Vec<ListenerAddress>,
    /// `rest.advertised.host.name`.
    pub advertised_host: Option<String>,
    /// `rest.advertised.port`.
    pub advertised_port: Option<u16>,
    /// `rowferry.allowed.hosts`.
    pub allowed_hosts: Vec<String>,
    /// `access.control.allow.origin`; empty disables CORS.
    pub allow_origin: String,
    /// `access.control.allow.methods`.
    pub allow_methods: String,
    /// `response.http.headers.config`.
    pub extra_headers: String,
    /// True if `/admin` is served, that is, if `admin.listeners` is not empty.
    pub admin: bool,
    /// `rowferry.rest.connections`.
    pub connections: usize,
    /// `rowferry.rest.connections.per.address`.
    pub connections_per_address: usize,
    /// `rowferry.auth.file`.
    pub auth_file: Option<PathBuf>,
    /// Certificate files of the `https` listeners.
    pub tls: Option<TlsFiles>,
}

/// PEM files for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, starting with the worker's own certificate.
    pub certificates: PathBuf,
    /// Private key of the worker's certificate.
    pub key: PathBuf,
    /// Authorities for client certificates, if clients must present one.
    pub client_authorities: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads our own keys, or Kafka's with a keystore of type PEM, which contains both (KIP-651).
    /// Keys with the prefix `listeners.https.` take precedence.
    fn read(r: &mut ConfigReader<'_>) -> Option<Self> {
        let (own, key) = (
            r.text_opt("rowferry.tls.certificate"),
            r.text_opt("rowferry.tls.key"),
        );
        let authorities = r.text_opt("rowferry.tls.client.authorities");
        let config = r.config();
        let kafkas = |name: &str| {
            config
                .get(&format!("listeners.https.{name}"))
                .or_else(|| config.get(name))
        };
        let certificates = own.or_else(|| kafkas("ssl.keystore.location").map(str::to_owned))?;
        let key = key.unwrap_or_else(|| certificates.clone());
        let asked =
            kafkas("ssl.client.auth").is_some_and(|auth| auth.eq_ignore_ascii_case("required"));
        let truststore = || {
            kafkas("ssl.truststore.location")
                .filter(|_| asked)
                .map(str::to_owned)
        };
        Some(Self {
            certificates: certificates.into(),
            key: key.into(),
            client_authorities: authorities.or_else(truststore).map(PathBuf::from),
        })
    }
}

impl RestSettings {
    /// Returns the `host:port` by which others know this worker, once the port of its first
    /// listener is known.
    pub fn worker_id(&self, bound_port: u16) -> String {
        let host = self
            .advertised_host
            .clone()
            .unwrap_or_else(|| match self.listeners.first() {
                Some(listener) if !listener.is_everywhere() => listener.host.clone(),
                _ => host_name(),
            });
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        format!("{host}:{}", self.advertised_port.unwrap_or(bound_port))
    }
}

impl RestSettings {
    /// Returns warnings about listeners that are open to others without protection.
    pub fn warnings(&self) -> Vec<String> {
        let open = self
            .listeners
            .iter()
            .filter(|listener| !listener.is_loopback() && self.auth_file.is_none());
        open.map(|listener| {
            let (host, port) = listener.address();
            format!(
                "REST listens on {host}:{port} without authentication: everybody who can reach it \
                 can read and change everything; set rowferry.auth.file, or a listener on 127.0.0.1"
            )
        })
        .collect()
    }
}

impl WorkerSettings {
    /// Merges the layers, the last one taking precedence, and reads every key.
    /// Errors: `Config` with all problems.
    pub fn load(layers: Vec<SettingsLayer>) -> Result<Self> {
        let files = layers.iter().filter_map(SettingsLayer::path).collect();
        let given = layers::merge(layers)?;
        let written: Config = given
            .iter()
            .map(|(k, s)| (k.clone(), s.value.clone()))
            .collect();
        let providers = ConfigProviders::new(&written)?;
        let resolved = providers.resolve(&written)?;
        let mut config = resolved.config.clone();
        let mut report = ConfigReport::default();
        for key in KEYS {
            let given = config.iter().find(|(name, _)| *name == key.name);
            if let Some(Err(problem)) = given.map(|(_, value)| key.parse(Some(value))) {
                report.error(key.name, problem);
            }
        }
        if !report.is_ok() {
            return Err(report.into());
        }
        let settings = config
            .read(KEYS, |r| Self::read(r, &given))
            .map_err(Error::from)??;
        for name in ["key.converter", "value.converter", "header.converter"] {
            if let (None, Some(key)) = (config.get(name), KEYS.iter().find(|key| key.name == name))
                && let connector_api::config::DefaultValue::Text(class) = key.default
            {
                config.set(name, class);
            }
        }
        Ok(Self {
            config,
            files,
            providers,
            resolved,
            ..settings
        })
    }

    fn read(r: &mut ConfigReader<'_>, given: &BTreeMap<String, SettingValue>) -> Result<Self> {
        Ok(Self {
            config: Config::new(),
            given: given.clone(),
            files: Vec::new(),
            group_id: r.text("group.id"),
            offset_topic: r.text("offset.storage.topic"),
            offset_partitions: int(r.long("offset.storage.partitions")),
            replication_factor: int(r.long("offset.storage.replication.factor")),
            flush_interval: Duration::from_millis(r.unsigned("offset.flush.interval.ms")),
            graceful_timeout: Duration::from_millis(
                r.unsigned("task.shutdown.graceful.timeout.ms"),
            ),
            tasks_max: count(r.unsigned("rowferry.tasks.max")),
            worker_tasks_max: count(r.unsigned("rowferry.worker.tasks.max")),
            exactly_once_source: r
                .text("exactly.once.source.support")
                .eq_ignore_ascii_case("enabled"),
            topic_tracking: TopicTracking {
                enabled: r.bool("topic.tracking.enable"),
                allow_reset: r.bool("topic.tracking.allow.reset"),
            },
            rest: Self::read_rest(r)?,
            metrics: MetricsSettings::read(r)?,
            store: Self::read_store(r),
            shared: SharedSettings::read(r),
            sqlite_paths: Self::read_paths(r, "sqlite.allowed.paths"),
            file_paths: Self::read_paths(r, "file.allowed.paths"),
            log_level: r.text("rowferry.log.level"),
            log_format: r.text("rowferry.log.format"),
            providers: ConfigProviders::default(),
            resolved: ResolvedConfig::default(),
        })
    }

    /// Reads the folders and files that a key names; the data folder if it is not set.
    fn read_paths(r: &mut ConfigReader<'_>, key: &'static str) -> Vec<PathBuf> {
        match r.is_set(key) {
            true => r.list(key).into_iter().map(PathBuf::from).collect(),
            false => vec![PathBuf::from(r.text("rowferry.data.dir"))],
        }
    }

    fn read_store(r: &mut ConfigReader<'_>) -> store::StoreOptions {
        let data_dir = r.text("rowferry.data.dir");
        let url = r
            .text_opt("rowferry.store.url")
            .unwrap_or_else(|| store::url_of_file(&format!("{data_dir}/rowferry.db")));
        store::StoreOptions {
            url,
            data_dir: PathBuf::from(data_dir),
            secrets_key: r
                .text_opt("rowferry.secrets.key")
                .filter(|key| !key.is_empty()),
            forget_key: r.text_opt("rowferry.secrets.forget"),
            history: store::HistoryLimits {
                versions: r.long("rowferry.history.versions"),
                total: usize::try_from(r.long("rowferry.history.total")).unwrap_or(usize::MAX),
                deleted_ms: r.long("rowferry.history.deleted.retention.ms"),
            },
            member: None,
        }
    }

    fn read_rest(r: &mut ConfigReader<'_>) -> Result<RestSettings> {
        let mut listeners = Vec::new();
        let (host, port) = (r.text_opt("rest.host.name"), r.long_opt("rest.port"));
        if !r.is_set("listeners") && (host.is_some() || port.is_some()) {
            listeners.push(ListenerAddress {
                tls: false,
                host: host.unwrap_or_default(),
                port: port_of("rest.port", port.unwrap_or(8083))?,
            });
        } else {
            for text in r.list("listeners") {
                listeners.push(ListenerAddress::parse(&text)?);
            }
        }
        if listeners.is_empty() {
            return Err(Error::config(
                "listeners is empty: name at least one, such as http://127.0.0.1:8083",
            ));
        }
        if !r.text("rest.extension.classes").is_empty() {
            return Err(Error::config(
                "rest.extension.classes names Java classes; remove it and use rowferry.auth.file",
            ));
        }
        let advertised_port = r
            .long_opt("rest.advertised.port")
            .map(|p| port_of("rest.advertised.port", p))
            .transpose()?;
        Ok(RestSettings {
            listeners,
            advertised_host: r
                .text_opt("rest.advertised.host.name")
                .filter(|host| !host.is_empty()),
            advertised_port,
            allowed_hosts: r.list("rowferry.allowed.hosts"),
            allow_origin: r.text("access.control.allow.origin"),
            allow_methods: r.text("access.control.allow.methods"),
            extra_headers: r.text("response.http.headers.config"),
            admin: !r.is_set("admin.listeners") || !r.list("admin.listeners").is_empty(),
            connections: count(r.unsigned("rowferry.rest.connections")),
            connections_per_address: count(r.unsigned("rowferry.rest.connections.per.address")),
            auth_file: r
                .text_opt("rowferry.auth.file")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            tls: TlsFiles::read(r),
        })
    }

    /// Returns warnings about listeners that are open to others without protection.
    pub fn warnings_of_listeners(&self) -> Vec<String> {
        let of_rest = self.rest.warnings();
        of_rest.into_iter().chain(self.metrics.warning()).collect()
    }

    /// Returns all keys as written, with unresolved references.
    pub fn written(&self) -> Config {
        self.given
            .iter()
            .map(|(key, setting)| (key.clone(), setting.value.clone()))
            .collect()
    }

    /// Returns warnings about keys that nothing reads, with the key that was probably meant.
    pub fn warnings(&self) -> Vec<String> {
        let unknown = self
            .given
            .iter()
            .filter(|(key, _)| !keys::is_known(key) && !key.starts_with("log4j."));
        unknown
            .map(|(key, setting)| match keys::nearest(key) {
                Some(near) => format!(
                    "unknown setting {key} ({}): did you mean {near}?",
                    setting.origin
                ),
                None => format!("unknown setting {key} ({}) has no effect", setting.origin),
            })
            .collect()
    }

    /// Returns the settings in effect, one `key = value  # origin` per line, with secrets masked.
    pub fn describe(&self) -> String {
        let mut lines = BTreeMap::new();
        for key in KEYS {
            if let connector_api::config::DefaultValue::Text(text) = key.default {
                lines.insert(key.name, (Cow::from(text), "default"));
            }
        }
        for (key, setting) in &self.given {
            let value = if is_secret(key) {
                "********".into()
            } else {
                without_passwords(&setting.value)
            };
            lines.insert(key, (value, setting.origin.as_str()));
        }
        let line = |(key, (value, origin)): (&&str, &(Cow<'_, str>, &str))| {
            format!("{}\n", on_one_line(&format!("{key} = {value}  # {origin}")))
        };
        lines.iter().map(line).collect()
    }
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn int(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(-1)
}

fn port_of(key: &str, n: i64) -> Result<u16> {
    u16::try_from(n).map_err(|_| Error::config(format!("{key} {n} is no port from 0 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::{KEYS, SettingsLayer, WorkerSettings};

    fn load(pairs: &[(&str, &str)]) -> connector_api::Result<WorkerSettings> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        WorkerSettings::load(vec![SettingsLayer::pairs("test.properties", pairs)])
    }

    #[test]
    fn nothing_given_is_a_loopback_worker_with_json_and_exactly_once() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.rest.worker_id(8083), "127.0.0.1:8083");
        assert_eq!(
            settings.config.get("value.converter"),
            Some("org.apache.kafka.connect.json.JsonConverter")
        );
        assert!(settings.exactly_once_source);
        assert_eq!(settings.store.url, "sqlite:./rowferry-data/rowferry.db");
    }

    #[test]
    fn addresses_follow_kafkas_keys() {
        let old = load(&[("rest.port", "18083")]).unwrap();
        assert!(old.rest.listeners[0].is_everywhere());
        assert!(old.rest.worker_id(18083).ends_with(":18083"));
        let advertised = load(&[
            ("listeners", "http://:8083,https://:8443"),
            ("rest.advertised.host.name", "w1.example.org"),
            ("rest.advertised.port", "80"),
        ]);
        assert_eq!(
            advertised.unwrap().rest.worker_id(8083),
            "w1.example.org:80"
        );
    }

    #[test]
    fn bad_values_are_all_named() {
        let error = load(&[
            ("offset.flush.interval.ms", "soon"),
            ("exactly.once.source.support", "maybe"),
        ])
        .unwrap_err();
        assert_eq!(
            error.message(),
            "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG\n\
             Invalid value maybe for configuration exactly.once.source.support: String must be one of (case insensitive): \
             disabled, preparing, enabled"
        );
    }

    #[test]
    fn unknown_keys_are_named_with_what_was_perhaps_meant_and_secrets_never_shown() {
        let settings = load(&[
            ("bootstrap.server", "x:1"),
            ("producer.linger.ms", "5"),
            ("sasl.jaas.config", "CANARY"),
            ("rowferry.store.url", "mysql://u:CANARY@h/d"),
            ("qwertz", "1"),
        ])
        .unwrap();
        assert_eq!(
            settings.warnings(),
            [
                "unknown setting bootstrap.server (test.properties): did you mean bootstrap.servers?",
                "unknown setting qwertz (test.properties) has no effect",
            ]
        );
        assert!(settings.describe().contains("sasl.jaas.config = ********"));
        assert!(!settings.describe().contains("CANARY"));
    }

    #[test]
    fn every_key_is_declared_once() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
