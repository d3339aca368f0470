//! Bodies of plans: what creating or changing a connector would do.

use std::collections::BTreeMap;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{ConfigChange, ConfigWarning, CreateConnector, RawConfig, TrialRecord};

/// What `POST /v1/plans` takes: connectors as they are to be, a list or a single one. Each is
/// `{"name", "config"}`, or a config with a `name`. A sink among them is planned with the records of
/// a source among them, if that writes its topics.
#[derive(Debug, ToSchema)]
#[schema(value_type = Vec<CreateConnector>)]
pub struct MakePlans(pub Vec<CreateConnector>);

impl<'de> Deserialize<'de> for MakePlans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let all: Vec<&RawValue> = if raw.get().starts_with('[') {
            serde_json::from_str(raw.get()).map_err(de::Error::custom)?
        } else {
            vec![raw]
        };
        let one = |raw: &RawValue| {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
            let is_config = |raw: &&RawValue| raw.get().starts_with('{');
            if members.get("config").is_some_and(is_config) {
                return serde_json::from_str(raw.get());
            }
            let config: RawConfig = serde_json::from_str(raw.get())?;
            Ok(CreateConnector {
                name: config.0.get("name").cloned().flatten(),
                config: Some(config),
                ..CreateConnector::default()
            })
        };
        let read: Result<_, serde_json::Error> = all.into_iter().map(one).collect();
        read.map(Self).map_err(de::Error::custom)
    }
}

/// The answer to `POST /v1/plans`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Plans {
    /// One for each connector, in the order of the request.
    pub connectors: Vec<ConnectorPlan>,
}

/// What would happen to a connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanAction {
    /// It would be created.
    Create,
    /// Its config would change.
    Change,
    /// Nothing would happen.
    #[default]
    None,
    /// Its config would be refused.
    Refuse,
}

/// The plan of a connector. Nothing of it shows a secret.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ConnectorPlan {
    /// Its name.
    pub name: String,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What would happen.
    pub action: PlanAction,
    /// The plan in one line.
    pub summary: String,
    /// What the plan depends on: it is stale once one of these differs.
    pub fingerprint: PlanFingerprint,
    /// The keys that differ from the stored config, with secrets masked.
    pub changes: Vec<ConfigChange>,
    /// Why the config would be refused.
    pub errors: Vec<ConfigWarning>,
    /// Hints about the config.
    pub warnings: Vec<ConfigWarning>,
    /// What of the plan is not known, and why.
    pub unknown: Vec<PlanGap>,
    /// Number of running tasks that would restart.
    pub tasks_restarted: usize,
    /// Number of tasks afterwards; null where it is not known.
    pub tasks: Option<usize>,
    /// The topics that the connector writes or reads.
    pub topics: Vec<PlannedTopic>,
    /// The tables that a source reads.
    pub tables: Vec<PlannedTable>,
    /// Number of further tables, which the plan leaves out.
    pub more_tables: usize,
    /// The tables that a sink writes.
    pub targets: Vec<PlannedTarget>,
    /// The first records: of a source as it would send them, of a sink as its transforms leave them.
    pub records: Vec<PlannedRecord>,
}

/// Digests of what a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanFingerprint {
    /// The stored config, and the planned one.
    pub config: String,
    /// The tables, columns and statements of the source.
    pub source: String,
    /// The tables, columns and DDL of the target.
    pub target: String,
}

/// A part of a plan that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanGap {
    /// `source`, `target`, `kafka` or `transforms`.
    pub part: String,
    /// Why.
    pub message: String,
    /// True if something could not be reached, so that the plan may be complete later.
    pub unreachable: bool,
}

/// A topic of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedTopic {
    /// Its name.
    pub topic: String,
    /// True if it exists.
    pub exists: bool,
    /// True if the connector would create it.
    pub created: bool,
    /// Its partitions, as they are or would be; null if the broker decides.
    pub partitions: Option<i32>,
    /// The replication factor of a topic to be created; null if the broker decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// The settings of a topic to be created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Of a sink: records that it would read, as far as it has not read them; null if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
}

/// A table that a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedTable {
    /// Its name; empty for a query.
    pub table: String,
    /// Its topic before transforms.
    pub topic: String,
    /// From where it is read: `beginning`, `offset` (the stored one), `whole` (all rows at each
    /// poll), or `unknown`.
    pub from: String,
    /// Number of rows that the database estimates.
    pub rows: Option<u64>,
    /// The SQL of the first read, with placeholders; null if it must not be shown.
    pub statement: Option<String>,
    /// Its primary key.
    pub key: Vec<String>,
    /// Its columns.
    pub columns: Vec<PlannedColumn>,
    /// Hints.
    pub warnings: Vec<String>,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A table that a sink writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedTarget {
    /// Its full name.
    pub table: String,
    /// The topics whose records go there.
    pub topics: Vec<String>,
    /// True if it exists.
    pub exists: bool,
    /// The DDL that would run.
    pub statements: Vec<String>,
    /// The columns that records fill.
    pub columns: Vec<PlannedColumn>,
    /// Hints.
    pub warnings: Vec<String>,
    /// Why records cannot be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A column and its field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedColumn {
    /// Name of the column.
    pub column: String,
    /// Its SQL type, as it is or would be created.
    pub sql_type: String,
    /// Name of the field.
    pub field: String,
    /// Type of the field.
    pub field_type: String,
    /// True if the column is part of the primary key.
    pub key: bool,
    /// True if the column would be created.
    pub new: bool,
    /// A hint, such as a column that is narrower than its field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What becomes of one of the first records.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlannedRecord {
    /// The record after the transforms; null if one drops it, or it failed.
    pub record: Option<TrialRecord>,
    /// Why it failed, or cannot be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
