//! Bodies about plug-ins.

use serde::{Deserialize, Serialize};

/// One of `GET /connector-plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Its full class name.
    pub class: String,
    /// `source`, `sink`, `transformation`, `predicate`, `converter` or `header_converter`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub version: String,
}
