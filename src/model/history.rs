//! Bodies about the configs that a connector has had.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One version of a config, in `GET /v1/connectors/{c}/history`. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigVersion {
    /// Its number, from 1; what `restore` takes.
    pub version: i64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub created: i64,
    /// The connector was deleted then.
    pub deleted: bool,
    /// The config; empty when deleted.
    pub config: BTreeMap<String, String>,
    /// What differs from the version before.
    pub changes: Vec<ConfigChange>,
}

/// A key whose value differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// Its value before; null when it was not there.
    pub from: Option<String>,
    /// Its value since then; null when it was removed.
    pub to: Option<String>,
}
