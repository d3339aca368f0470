//! Validates a config: each key's value, all errors at once, and the forms of key definitions.
//!
//! All of it is pure except the step in [`Validator::validate`] in which the connector looks at its
//! database. Texts and order follow Kafka Connect's `AbstractHerder.validateConnectorConfig`. This
//! module knows no HTTP.

mod chain;
mod form;
mod rules;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, ConfigReport, Error, Plugin};

use super::bounds;
use crate::keys;
use crate::model::{ConfigInfos, ConfigKeyInfo};
use crate::registry::version::VersionReq;
use crate::registry::{ConnectorPlugin, PluginKind, Registry};
use crate::secrets::{SecretKeys, known};
use crate::settings::{ConfigProviders, ResolvedConfig};
use crate::unused::unused;
use form::{ConfigForm, GivenValues, KeyNaming};
use slots::ValidationSlots;

/// How long a connector may look at its database.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Why a config cannot be validated at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValidationError {
    /// The config names no class.
    NoClass,
    /// No connector has that class; carries all available connectors.
    Class(String, Vec<AvailableConnector>),
    /// The config exceeds a limit on any config; names the limit.
    TooLarge(String),
    /// Too many configs are being validated.
    Busy,
}

/// A connector that a config may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AvailableConnector {
    pub class: String,
    pub kind: &'static str,
    pub version: String,
}

/// Worker settings that validation depends on.
#[derive(Clone, Debug)]
pub(crate) struct WorkerFacts {
    /// The worker's keys: default converters, override policy.
    pub config: Config,
    /// `group.id`.
    pub group_id: String,
    /// True if sources of this worker deliver exactly once.
    pub exactly_once_source: bool,
    /// Maximum number of tasks per connector.
    pub tasks_max: usize,
    /// Resolves `${…}` references in values.
    pub providers: ConfigProviders,
    /// Decides which values are secret.
    pub secrets: SecretKeys,
}

impl Default for WorkerFacts {
    fn default() -> Self {
        let (config, group_id, providers, secrets) = Default::default();
        Self {
            config,
            group_id,
            exactly_once_source: false,
            tasks_max: 1000,
            providers,
            secrets,
        }
    }
}

/// Validates configs. Cheap to clone; all clones share one set of limits.
#[derive(Clone)]
pub(crate) struct Validator {
    registry: Registry,
    worker: Arc<WorkerFacts>,
    turns: ValidationSlots,
}

impl Validator {
    /// Creates a validator for the plug-ins of `registry` and the settings of `worker`.
    pub(crate) fn new(registry: Registry, worker: WorkerFacts) -> Self {
        Self {
            registry,
            worker: Arc::new(worker),
            turns: ValidationSlots::default(),
        }
    }

    /// Returns what decides which values are secret.
    pub(crate) fn secrets(&self) -> &SecretKeys {
        &self.worker.secrets
    }

    /// Returns the plug-ins that a config may name.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the connector that a config names.
    pub(crate) fn connector(
        &self,
        given: &GivenValues,
    ) -> Result<&ConnectorPlugin, ValidationError> {
        let class = given
            .get("connector.class")
            .cloned()
            .flatten()
            .ok_or(ValidationError::NoClass)?;
        self.registry
            .connector(&class)
            .ok_or_else(|| ValidationError::Class(class, self.available()))
    }

    fn available(&self) -> Vec<AvailableConnector> {
        let connectors = self.registry.connectors().iter();
        connectors
            .map(|c| AvailableConnector {
                class: c.plugin().class().to_owned(),
                kind: c.type_name(),
                version: c.plugin().version().to_owned(),
            })
            .collect()
    }

    /// Validates a config; `None` values are JSON nulls. Ends within seconds even if the database
    /// hangs. Expensive computations run on blocking threads, off the runtime.
    pub(crate) async fn validate(
        &self,
        given: &GivenValues,
    ) -> Result<ConfigInfos, ValidationError> {
        let connector = self.connector(given)?.clone();
        small_enough(given)?;
        let _place = self.turns.place().ok_or(ValidationError::Busy)?;
        let written: Config = given
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect();
        let (resolved, failed) = self.resolve_config(&written).await;
        let config = &resolved.config;
        let known = given
            .keys()
            .map(|key| (key.clone(), config.get(key).map(str::to_owned)))
            .collect();
        let (this, own, values) = (self.clone(), connector.clone(), config.clone());
        let (as_written, as_resolved) = (written.clone(), resolved.clone());
        let declared = move || {
            let redactor = this.worker.secrets.redactor(&as_written, &as_resolved);
            (this.declared(&own, &known, &values), redactor)
        };
        let (mut form, redactor) = self
            .turns
            .compute(declared)
            .await
            .ok_or(ValidationError::Busy)?;
        known::remember(&redactor);
        // A reference could not be resolved, so the connector cannot connect: skip the database.
        let found = if failed.is_empty() {
            probe(&connector, config).await
        } else {
            ConfigReport::default()
        };
        let secrets = self.worker.secrets.clone();
        let finish = move || {
            form.merge(found, "");
            for (key, error) in failed {
                form.error(
                    &key,
                    format!("Invalid value for configuration {key}: {error}"),
                );
            }
            form.hide(&written, &resolved, &secrets, &redactor);
            form.finish(
                resolved
                    .config
                    .get("connector.class")
                    .unwrap_or_default()
                    .trim(),
            )
        };
        self.turns
            .compute(finish)
            .await
            .ok_or(ValidationError::Busy)
    }

    async fn resolve_config(&self, written: &Config) -> (ResolvedConfig, Vec<(String, Error)>) {
        let (providers, config) = (self.worker.providers.clone(), written.clone());
        if providers.is_empty() {
            return (ResolvedConfig::as_written(config), Vec::new());
        }
        let resolving = tokio::task::spawn_blocking(move || providers.resolve_all(&config));
        match tokio::time::timeout(PROBE_LIMIT, resolving).await {
            Ok(Ok(resolved)) => resolved,
            _ => {
                let error =
                    Error::retry("the references in the config could not be resolved in time");
                (
                    ResolvedConfig::as_written(written.clone()),
                    vec![("name".to_owned(), error)],
                )
            }
        }
    }

    /// Validates everything that does not need the database.
    fn declared(
        &self,
        connector: &ConnectorPlugin,
        given: &GivenValues,
        config: &Config,
    ) -> ConfigForm {
        let mut form = ConfigForm::default();
        form.add(keys::COMMON, given, KeyNaming::PLAIN);
        rules::check_tasks(&mut form, config, self.worker.tasks_max);
        match connector {
            ConnectorPlugin::Source(_) => {
                form.add(keys::SOURCE, given, KeyNaming::PLAIN);
                rules::check_source(&mut form, config, &self.worker);
            }
            ConnectorPlugin::Sink(_) => {
                form.add(keys::SINK, given, KeyNaming::PLAIN);
                rules::check_sink(&mut form, config, &self.worker);
            }
        }
        let is_source = matches!(connector, ConnectorPlugin::Source(_));
        chain::add_transforms(&mut form, given, config, &self.registry, is_source);
        chain::add_predicates(&mut form, given, config, &self.registry);
        let plugin = connector.plugin();
        let version = keys::CONNECTOR_VERSION;
        chain::check_version(
            &mut form,
            plugin,
            "connector.class",
            version,
            config.get(version),
        );
        let own = plugin.keys_as(config.class());
        form.add(own, given, KeyNaming::of_a_connector(own));
        let mut report = ConfigReport::default();
        plugin.check(config, &mut report);
        form.merge(report, "");
        chain::add_converters(
            &mut form,
            given,
            config,
            &self.registry,
            &self.worker.config,
        );
        let unused = unused(&self.registry, &self.worker.config, connector, config);
        form.merge(unused, "");
        rules::check_overrides(&mut form, config, &self.worker);
        rules::check_progress_timeout(&mut form, config);
        for (name, _) in given.iter().filter(|(_, value)| value.is_none()) {
            let nulls = form.add_undeclared(name, None);
            nulls
                .errors
                .push("Null value can not be supplied as the configuration value.".to_owned());
        }
        form
    }

    /// Returns the key definitions of a plug-in of any kind, a connector's own first, or `None` if
    /// no plug-in has that class. Errors: the plug-in has none of the versions `wanted`.
    pub(crate) fn plugin_keys(
        &self,
        class: &str,
        wanted: Option<&VersionReq>,
    ) -> Option<Result<Vec<ConfigKeyInfo>, String>> {
        let fits = |plugin: &dyn Plugin| wanted.map_or(Ok(()), |wanted| wanted.met_by(plugin));
        if let Some(connector) = self.registry.connector(class) {
            let further = match connector {
                ConnectorPlugin::Source(_) => keys::SOURCE,
                ConnectorPlugin::Sink(_) => keys::SINK,
            };
            let own = connector.plugin().keys_as(class);
            let own = || form::definitions(own, KeyNaming::of_a_connector(own));
            let shared = || {
                [keys::COMMON, further]
                    .into_iter()
                    .flat_map(|table| form::definitions(table, KeyNaming::PLAIN))
            };
            let keys = || own().into_iter().chain(shared()).collect();
            return Some(fits(connector.plugin()).map(|()| keys()));
        }
        let kinds = [
            PluginKind::Converter,
            PluginKind::HeaderConverter,
            PluginKind::Transformation,
            PluginKind::Predicate,
        ];
        let plugin = kinds
            .into_iter()
            .find_map(|kind| self.registry.plugin(kind, class))?;
        Some(fits(plugin).map(|()| form::definitions(plugin.keys(), chain::OWN)))
    }
}

/// Refuses configs too large for any connector, whose size alone would cost time or memory.
fn small_enough(given: &GivenValues) -> Result<(), ValidationError> {
    let bytes: usize = given
        .iter()
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len))
        .sum();
    for (found, most, what) in [
        (given.len(), bounds::KEYS_MAX, "keys"),
        (bytes, bounds::CONFIG_MAX_BYTES, "bytes of names and values"),
    ] {
        if found > most {
            return Err(ValidationError::TooLarge(format!(
                "it has {found} {what}, but at most {most} are allowed"
            )));
        }
    }
    Ok(())
}

async fn probe(connector: &ConnectorPlugin, config: &Config) -> ConfigReport {
    let mut report = ConfigReport::default();
    let done = match connector {
        ConnectorPlugin::Source(source) => {
            tokio::time::timeout(PROBE_LIMIT, source.probe(config, &mut report)).await
        }
        ConnectorPlugin::Sink(sink) => {
            tokio::time::timeout(PROBE_LIMIT, sink.probe(config, &mut report)).await
        }
    };
    if done.is_err() {
        let text = format!(
            "the checks against the connector's database did not end within {} seconds; check \
             whether it answers",
            PROBE_LIMIT.as_secs()
        );
        report.error("connector.class", text);
    }
    report
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
