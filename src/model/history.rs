//! Bodies about the earlier configs of a connector.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One version of a config, in `GET /v1/connectors/{c}/history`. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigVersion {
    /// Its number, from 1, for `restore`.
    pub version: i64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub created: i64,
    /// True if the connector was deleted then.
    pub deleted: bool,
    /// The config; empty if deleted.
    pub config: BTreeMap<String, String>,
    /// The differences from the previous version.
    pub changes: Vec<ConfigChange>,
}

/// A key whose value differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// The value before; null if the key did not exist.
    pub from: Option<String>,
    /// The value after; null if the key was removed.
    pub to: Option<String>,
}
