//! Plans: what creating or changing connectors would do. Nothing is stored, sent or changed.
//!
//! A plan asks the connector's own code (`preview`), Kafka and the stored offsets, each within a
//! time limit. What cannot be found out is named in the plan, and the rest of it still shown.
//! `describe` turns the findings into the plan's parts.

mod describe;

pub(crate) use describe::changes;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connector_api::{
    Config, Error, ErrorKind, PreviewLimits, SinkConnector, SinkPreview, SourceConnector,
    SourcePreview,
};
use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::Semaphore;

use super::planning::{self, LazyOffsets};
use super::validate::{ValidationError, Validator};
use super::{ConnectorView, Herder, HerderRefusal, bounds};
use crate::model::{ConfigWarning, ConnectorPlan, PlanAction, PlanGap, RawConfig};
use crate::registry::ConnectorPlugin;
use crate::secrets::Redactor;
use crate::worker::Worker;
use crate::worker::preview::SampleRecord;

/// Maximum number of connectors of one request.
pub(crate) const CONNECTORS_MAX: usize = 20;
/// Maximum number of requests at the same time; each may hold connections to many databases.
const AT_ONCE: usize = 4;
/// How long a request waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(15);
/// How long a plan may wait for one database.
const DATABASE_LIMIT: Duration = Duration::from_secs(10);
/// How long a plan may wait for Kafka.
const KAFKA_LIMIT: Duration = Duration::from_secs(20);
const LIMITS: PreviewLimits = PreviewLimits {
    tables: 50,
    records: 5,
    bytes: 256 * 1024,
    connect: Duration::from_secs(5),
};

/// Why plans were refused.
#[derive(Debug)]
pub(crate) enum PlanRefusal {
    /// More connectors than one request may have.
    TooMany(usize),
    /// Too many plans are being made.
    Busy,
    /// A connector has no name.
    NoName,
    /// A connector's class is not known, or its config is too large.
    Config(Box<RawConfig>, ValidationError),
    /// The herder's refusal.
    Herder(HerderRefusal),
}

impl From<HerderRefusal> for PlanRefusal {
    fn from(refusal: HerderRefusal) -> Self {
        Self::Herder(refusal)
    }
}

/// Makes plans. Cheap to clone; all clones share one limit.
#[derive(Clone)]
pub(crate) struct Planner {
    herder: Herder,
    validator: Validator,
    worker: Worker,
    turns: Arc<Semaphore>,
}

/// A connector as it is to be.
pub(crate) struct PlannedConnector {
    pub name: String,
    /// Its config with its name.
    pub config: RawConfig,
}

/// What a plan knows before any database is asked.
struct Draft {
    plan: ConnectorPlan,
    /// The config with its references resolved.
    resolved: Config,
    redactor: Redactor,
    connector: ConnectorPlugin,
}

impl Planner {
    pub(crate) fn new(herder: Herder, validator: Validator, worker: Worker) -> Self {
        Self {
            herder,
            validator,
            worker,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Plans connectors, in their order. Sources come first: their records are what a sink that has
    /// nothing to read yet is planned with.
    pub(crate) async fn plan(
        &self,
        connectors: Vec<PlannedConnector>,
    ) -> Result<Vec<ConnectorPlan>, PlanRefusal> {
        if connectors.len() > CONNECTORS_MAX {
            return Err(PlanRefusal::TooMany(connectors.len()));
        }
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| PlanRefusal::Busy)?;
        let drafts = connectors
            .into_iter()
            .map(|connector| self.draft(connector));
        let mut drafts = try_join_all(drafts).await?;
        let sources = drafts
            .iter_mut()
            .map(async |draft| match draft.connector.clone() {
                ConnectorPlugin::Source(source) => self.source(draft, source.as_ref()).await,
                ConnectorPlugin::Sink(_) => Vec::new(),
            });
        let samples = join_all(sources).await.concat();
        let sinks = drafts.iter_mut().map(async |draft| {
            if let ConnectorPlugin::Sink(sink) = draft.connector.clone() {
                self.sink(draft, sink.as_ref(), samples.clone()).await;
            }
        });
        join_all(sinks).await;
        Ok(drafts.into_iter().map(Draft::finish).collect())
    }

    /// Validates a config and compares it with the stored one.
    async fn draft(&self, planned: PlannedConnector) -> Result<Draft, PlanRefusal> {
        let PlannedConnector { name, config: raw } = planned;
        let refused = |error| PlanRefusal::Config(Box::new(raw.clone()), error);
        let connector = self.validator.connector(&raw.0).map_err(refused)?.clone();
        let infos = self.validator.validate(&raw.0).await.map_err(refused)?;
        let stored = match self.herder.get(&name).await {
            Ok(view) => Some(view),
            Err(HerderRefusal::UnknownConnector(_)) => None,
            Err(other) => return Err(other.into()),
        };
        let revision = match &stored {
            Some(_) => self.revision(&name).await?,
            None => 0,
        };
        let config = raw.given();
        let changes = describe::changes(
            stored.as_ref().map(|view| &view.config),
            &config,
            self.validator.secrets(),
        );
        let mut plan = ConnectorPlan {
            kind: connector.type_name().to_owned(),
            action: action(stored.as_ref(), &changes, infos.error_count > 0),
            errors: describe::errors(&infos),
            warnings: infos.warnings.clone(),
            tasks_restarted: restarted(stored.as_ref(), changes.is_empty()),
            name,
            changes,
            ..ConnectorPlan::default()
        };
        plan.fingerprint.config =
            describe::config_digest(revision, &config, &plan.changes, self.validator.secrets());
        let (resolved, redactor) = match self.worker.resolve_config(&config).await {
            Ok(resolved) => resolved,
            Err(error) => {
                plan.unknown.push(gap("config", &error));
                (config, Redactor::default())
            }
        };
        Ok(Draft {
            plan,
            resolved,
            redactor,
            connector,
        })
    }

    /// Returns the number of the last version that changed the stored config.
    async fn revision(&self, name: &str) -> Result<i64, PlanRefusal> {
        let history = self.herder.history(name).await?;
        let mut revision = 0;
        let mut before = None;
        for version in &history {
            if version.config.as_ref() != before {
                revision = version.version;
            }
            before = version.config.as_ref();
        }
        Ok(revision)
    }

    /// Adds what a source would read and write. Returns its records as its topics would have them.
    async fn source(&self, draft: &mut Draft, source: &dyn SourceConnector) -> Vec<SampleRecord> {
        let (name, config) = (draft.plan.name.clone(), draft.resolved.clone());
        let stored = LazyOffsets::new(&self.worker, &name, &config);
        let mut found = SourcePreview::default();
        let looking = source.preview(&config, &stored, LIMITS, &mut found);
        let looked = within(DATABASE_LIMIT, "the source", looking).await;
        draft.note_supported("source", looked);
        let max = bounds::tasks(&config, usize::MAX).unwrap_or(1);
        if draft.plan.unknown.is_empty() {
            let planning = planning::plan(&self.worker, source, &name, &config, max);
            match within(DATABASE_LIMIT, "the source", planning).await {
                Ok(planned) => draft.plan.tasks = Some(planned.tasks.len()),
                Err(error) => draft.note("source", &error),
            }
        }
        let records = std::mem::take(&mut found.records);
        describe::source(&mut draft.plan, found, &draft.redactor);
        let sending = self.worker.preview_sending(&config, records);
        let sent = match within(KAFKA_LIMIT, "the converters", sending).await {
            Ok(sent) => sent,
            Err(error) => {
                draft.note("transforms", &error);
                return Vec::new();
            }
        };
        if let Some(error) = &sent.failure {
            draft.note("transforms", error);
        }
        draft.plan.records = sent.shown;
        let has_transforms = config
            .get("transforms")
            .is_some_and(|text| !text.trim().is_empty());
        let topics = describe::topics_of(&draft.plan.tables, &sent.topics, has_transforms);
        let asking = self.worker.preview_topics(&config, topics);
        match within(KAFKA_LIMIT, "Kafka", asking).await {
            Ok(topics) => draft.plan.topics = topics,
            Err(error) => draft.note("kafka", &error),
        }
        sent.samples
    }

    /// Adds what a sink would read and change.
    async fn sink(&self, draft: &mut Draft, sink: &dyn SinkConnector, samples: Vec<SampleRecord>) {
        let (name, config) = (draft.plan.name.clone(), draft.resolved.clone());
        draft.plan.tasks = bounds::tasks(&config, usize::MAX).ok();
        let reading = self
            .worker
            .preview_reading(&name, &config, samples, LIMITS.records);
        let read = match within(KAFKA_LIMIT, "Kafka", reading).await {
            Ok(read) => read,
            Err(error) => {
                draft.note("kafka", &error);
                Default::default()
            }
        };
        draft.plan.topics = read.topics;
        draft.plan.records = read.shown;
        let config = match within(
            KAFKA_LIMIT,
            "Kafka",
            self.worker.sink_config(&name, &config),
        )
        .await
        {
            Ok(config) => config,
            Err(error) => return draft.note("kafka", &error),
        };
        let mut found = SinkPreview::default();
        let looking = sink.preview(&config, &read.records, LIMITS, &mut found);
        let looked = within(DATABASE_LIMIT, "the target", looking).await;
        draft.note_supported("target", looked);
        if read.records.is_empty() {
            draft.plan.unknown.push(PlanGap {
                part: "target".to_owned(),
                message: "the tables and columns follow from the first records, and the topics \
                          have none yet; plan the source together with this sink to see them"
                    .to_owned(),
                unreachable: false,
            });
        }
        describe::target(&mut draft.plan, found, &draft.redactor);
    }
}

impl Draft {
    /// Notes why a part of the plan is not known; each reason once.
    fn note(&mut self, part: &str, error: &Error) {
        let gap = PlanGap {
            message: self.redactor.hide(&error.to_string()).into_owned(),
            ..gap(part, error)
        };
        if !self.plan.unknown.contains(&gap) {
            self.plan.unknown.push(gap);
        }
    }

    /// Notes the outcome of a connector's preview.
    fn note_supported(&mut self, part: &str, looked: Result<bool, Error>) {
        match looked {
            Ok(true) => {}
            Ok(false) => self.plan.unknown.push(PlanGap {
                part: part.to_owned(),
                message: "this connector does not show what it would do".to_owned(),
                unreachable: false,
            }),
            Err(error) => self.note(part, &error),
        }
    }

    fn finish(mut self) -> ConnectorPlan {
        for ConfigWarning { message, .. } in
            self.plan.errors.iter_mut().chain(&mut self.plan.warnings)
        {
            *message = self.redactor.hide(message).into_owned();
        }
        for record in &mut self.plan.records {
            if let Some(error) = &mut record.error {
                *error = self.redactor.hide(error).into_owned();
            }
        }
        describe::finish(&mut self.plan);
        self.plan
    }
}

fn gap(part: &str, error: &Error) -> PlanGap {
    PlanGap {
        part: part.to_owned(),
        message: error.to_string(),
        unreachable: error.kind() == ErrorKind::Retry,
    }
}

fn action(
    stored: Option<&ConnectorView>,
    changes: &[crate::model::ConfigChange],
    refused: bool,
) -> PlanAction {
    match (stored, refused) {
        (_, true) => PlanAction::Refuse,
        (None, false) => PlanAction::Create,
        (Some(_), false) if changes.is_empty() => PlanAction::None,
        (Some(_), false) => PlanAction::Change,
    }
}

/// Returns the number of tasks that a change restarts.
fn restarted(stored: Option<&ConnectorView>, unchanged: bool) -> usize {
    stored
        .filter(|_| !unchanged)
        .map_or(0, |view| view.tasks.len())
}

/// Runs a part of a plan within a time limit. Errors: `Retry` once it has passed, `Fatal` if the
/// part panics.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Error::fatal(format!(
            "{what} panicked while the plan was made: this is a bug"
        ))),
        Err(_) => Err(Error::retry(format!(
            "{what} did not answer within {} s",
            limit.as_secs()
        ))),
    }
}
