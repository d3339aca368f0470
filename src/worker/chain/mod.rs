//! A connector's transforms in order, each with its predicate: `transforms`, `transforms.NAME.*`,
//! `predicates.*`.

use std::collections::HashSet;
use std::sync::Arc;

use connector_api::config::ConfigKey;
use connector_api::{Config, Error, ErrorKind, Predicate, Record, Result, TopicOffset, Transform};

use crate::keys::ALIASES_MAX;
use crate::registry::{PluginKind, Registry, version};

/// The transforms of one task.
pub struct TransformChain {
    stages: Vec<ChainStage>,
    /// The stage that set the topic of the last record.
    renamer: Option<usize>,
}

/// One transform with its optional predicate. Stages do not share predicates, since each is cheap
/// and stateless.
struct ChainStage {
    alias: Arc<str>,
    class: Arc<str>,
    transform: Box<dyn Transform>,
    predicate: Option<StagePredicate>,
}

struct StagePredicate {
    alias: Arc<str>,
    predicate: Box<dyn Predicate>,
    negate: bool,
}

/// The effect of one transform on a record.
pub struct ChainStep {
    /// The transform's name in the config.
    pub alias: Arc<str>,
    /// The transform's class.
    pub class: Arc<str>,
    /// True if the predicate let the transform run.
    pub applied: bool,
    /// The record after this step.
    pub result: Result<Option<Record>>,
}

/// The class that failed, and its error.
pub(super) type ChainError = (Arc<str>, Error);

impl TransformChain {
    /// Creates the transforms that a connector's config names. Errors: `Config`, with Kafka
    /// Connect's texts.
    pub fn open(registry: &Registry, connector: &Config) -> Result<Self> {
        let predicates = aliases(connector, "predicates")?;
        let aliases = aliases(connector, "transforms")?;
        // Each transform may nest its input one level deeper, so the limit bounds the depth.
        if aliases.len() > ALIASES_MAX {
            return Err(Error::config(format!(
                "Invalid value for configuration transforms: it lists {} names, but at most \
                 {ALIASES_MAX} are allowed",
                aliases.len()
            )));
        }
        let stage = |alias: &String| ChainStage::open(registry, connector, alias, &predicates);
        Ok(Self {
            stages: aliases.iter().map(stage).collect::<Result<_>>()?,
            renamer: None,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Returns the record as transformed, or `None` if a transform drops it. `at` is where a sink's
    /// record was read. Errors: `Record`, with the class that failed.
    pub fn apply(
        &mut self,
        mut record: Record,
        at: Option<&TopicOffset>,
    ) -> Result<Option<Record>, ChainError> {
        self.renamer = None;
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let topic = Arc::as_ptr(&record.topic).cast::<u8>();
            let applied = stage
                .applies(&record)
                .and_then(|applies| stage.apply_if(applies, record, at));
            match applied.map_err(|error| (Arc::clone(&stage.class), error))? {
                Some(changed) => record = changed,
                None => return Ok(None),
            }
            if Arc::as_ptr(&record.topic).cast::<u8>() != topic {
                self.renamer = Some(number);
            }
        }
        Ok(Some(record))
    }

    /// Returns the alias and class of the transform that set the topic of the record that was
    /// transformed last.
    pub fn renamer(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        let stage = self.stages.get(self.renamer?)?;
        Some((&stage.alias, &stage.class))
    }

    /// Returns the record after each transform in turn. Ends at the first error or drop.
    pub fn steps(&mut self, mut record: Record, at: Option<&TopicOffset>) -> Vec<ChainStep> {
        let mut steps = Vec::with_capacity(self.stages.len());
        for stage in &mut self.stages {
            let applies = stage.applies(&record);
            let applied = applies.as_ref().is_ok_and(|applies| *applies);
            let result = applies.and_then(|applies| stage.apply_if(applies, record, at));
            let next = result.as_ref().ok().cloned().flatten();
            steps.push(ChainStep {
                alias: Arc::clone(&stage.alias),
                class: Arc::clone(&stage.class),
                applied,
                result,
            });
            match next {
                Some(changed) => record = changed,
                None => break,
            }
        }
        steps
    }
}

impl ChainStage {
    fn open(
        registry: &Registry,
        connector: &Config,
        alias: &str,
        predicates: &[String],
    ) -> Result<Self> {
        let prefix = format!("transforms.{alias}.");
        let own = connector.with_prefix(&prefix);
        let class = class(registry, PluginKind::Transformation, &own, &prefix)?;
        let transform = registry.transform(&class, &settings(&own))?;
        let negate = match own.get("negate").map(str::trim) {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(text) => {
                return Err(Error::config(format!(
                    "Invalid value {text} for configuration {prefix}negate: Expected value to be either true or false"
                )));
            }
        };
        let predicate = match own.get("predicate").map(str::trim) {
            None if own.get("negate").is_some() => {
                return Err(Error::config(format!(
                    "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a \
                     predicate to be negated."
                )));
            }
            None => None,
            Some(named) => Some(StagePredicate {
                alias: named.into(),
                predicate: predicate(registry, connector, named, predicates, &prefix)?,
                negate,
            }),
        };
        Ok(Self {
            alias: alias.into(),
            class: class.into(),
            transform,
            predicate,
        })
    }

    fn applies(&mut self, record: &Record) -> Result<bool> {
        match &mut self.predicate {
            Some(stage) => match stage.predicate.test(record) {
                Ok(found) => Ok(found != stage.negate),
                Err(error) => Err(named(error, "predicate", "predicates", &stage.alias)),
            },
            None => Ok(true),
        }
    }

    fn apply_if(
        &mut self,
        applies: bool,
        record: Record,
        at: Option<&TopicOffset>,
    ) -> Result<Option<Record>> {
        if applies {
            let applied = self.transform.apply(record, at);
            applied.map_err(|error| named(error, "transform", "transforms", &self.alias))
        } else {
            Ok(Some(record))
        }
    }
}

/// Appends by which name the config knows the transform or predicate that refused a record, and
/// with it where its settings are.
#[cold]
fn named(error: Error, what: &str, list: &str, alias: &str) -> Error {
    if error.kind() != ErrorKind::Record {
        return error;
    }
    error.and_line(&format!(
        "The {what} is {alias}; its settings begin with {list}.{alias}."
    ))
}

fn predicate(
    registry: &Registry,
    connector: &Config,
    named: &str,
    declared: &[String],
    transform: &str,
) -> Result<Box<dyn Predicate>> {
    if !declared.iter().any(|alias| alias == named) {
        let declared = declared.join(", ");
        return Err(Error::config(format!(
            "Invalid value {named} for configuration {transform}predicate: 'predicates' does not \
             declare this predicate, only [{declared}]"
        )));
    }
    let prefix = format!("predicates.{named}.");
    let own = connector.with_prefix(&prefix);
    let class = class(registry, PluginKind::Predicate, &own, &prefix)?;
    registry.predicate(&class, &settings(&own))
}

/// Reads a list of names. Errors: `Config` for a name that occurs twice.
fn aliases(connector: &Config, key: &str) -> Result<Vec<String>> {
    let list = connector
        .get(key)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty());
    let list: Vec<String> = list.map(str::to_owned).collect();
    let mut seen = HashSet::new();
    if list.iter().all(|alias| seen.insert(alias)) {
        return Ok(list);
    }
    let list = list.join(", ");
    Err(Error::config(format!(
        "Invalid value [{list}] for configuration {key}: Duplicate alias provided."
    )))
}

/// Returns the class of a plug-in after checking that it is known, has the right version and gets
/// its required settings.
fn class(registry: &Registry, kind: PluginKind, own: &Config, prefix: &str) -> Result<String> {
    let what = if kind == PluginKind::Predicate {
        "Predicate"
    } else {
        "Transformation"
    };
    let class = own.get("type").map(str::trim);
    let Some(class) = class.filter(|class| !class.is_empty()) else {
        return Err(Error::config(format!(
            "Invalid value null for configuration {prefix}type: Not a {what}"
        )));
    };
    let Some(plugin) = registry.plugin(kind, class) else {
        return Err(unknown(registry, kind, class, prefix));
    };
    version::ensure(
        plugin,
        &format!("{prefix}plugin.version"),
        own.get("plugin.version"),
    )?;
    let missing = |key: &&ConfigKey| {
        let given = std::iter::once(&key.name)
            .chain(key.aliases)
            .any(|name| own.get(name).is_some());
        matches!(key.default, connector_api::config::DefaultValue::Required) && !given
    };
    if let Some(key) = plugin.keys().iter().find(missing) {
        let name = key.name;
        return Err(Error::config(format!(
            "Missing required configuration \"{prefix}{name}\" which has no default value."
        )));
    }
    Ok(class.to_owned())
}

#[cold]
fn unknown(registry: &Registry, kind: PluginKind, class: &str, prefix: &str) -> Error {
    let halves = [format!("{class}$Key"), format!("{class}$Value")];
    if halves
        .iter()
        .all(|half| registry.plugin(kind, half).is_some())
    {
        return Error::config(format!(
            "This class is abstract and cannot be created. Did you mean {}?",
            halves.join(", ")
        ));
    }
    let other = if kind == PluginKind::Predicate {
        PluginKind::Transformation
    } else {
        PluginKind::Predicate
    };
    if registry.plugin(other, class).is_some() {
        let what = if kind == PluginKind::Predicate {
            "Predicate"
        } else {
            "Transformation"
        };
        return Error::config(format!(
            "Class class {class} does not implement the {what} interface"
        ));
    }
    Error::config(format!(
        "Invalid value {class} for configuration {prefix}type: Class {class} could not be found."
    ))
}

/// Returns a plug-in's own settings, without the keys that the chain reads.
fn settings(own: &Config) -> Config {
    let mut settings = own.clone();
    for name in ["type", "predicate", "negate", "plugin.version"] {
        settings.remove(name);
    }
    settings
}

#[cfg(test)]
mod tests;
