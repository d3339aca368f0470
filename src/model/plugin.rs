//! Bodies about plug-ins, their keys, and validation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One of `GET /connector-plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginInfo {
    /// Its full class name.
    pub class: String,
    /// `source`, `sink`, `transformation`, `predicate`, `converter` or `header_converter`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub version: String,
}

/// A declared key; one of `GET /connector-plugins/{p}/config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigKeyInfo {
    /// Its name.
    pub name: String,
    /// `BOOLEAN`, `STRING`, `INT`, `SHORT`, `LONG`, `DOUBLE`, `LIST`, `CLASS` or `PASSWORD`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether it must be set.
    pub required: bool,
    /// The value if it is not set.
    pub default_value: Option<String>,
    /// `HIGH`, `MEDIUM` or `LOW`.
    pub importance: String,
    /// Its description.
    pub documentation: String,
    /// The group of the form that it belongs to.
    pub group: Option<String>,
    /// `NONE`, `SHORT`, `MEDIUM` or `LONG`.
    pub width: String,
    /// Its label.
    pub display_name: String,
    /// Keys whose visibility or recommended values depend on it.
    pub dependents: Vec<String>,
    /// Its position in its group; -1 if it has none.
    pub order: i32,
}

/// The given value of a key, and the errors about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigValueInfo {
    /// The key.
    pub name: String,
    /// Its value or default; null if there is none or it cannot be parsed.
    pub value: Option<String>,
    /// Values that a form offers.
    pub recommended_values: Vec<String>,
    /// Its errors.
    pub errors: Vec<String>,
    /// Whether a form shows it.
    pub visible: bool,
}

/// One key of a validated config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigInfo {
    /// Its declaration; null for an undeclared key.
    pub definition: Option<ConfigKeyInfo>,
    /// Its value.
    pub value: ConfigValueInfo,
}

/// `PUT /connector-plugins/{p}/config/validate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigInfos {
    /// The connector's class, as given.
    pub name: String,
    /// The total number of errors.
    pub error_count: usize,
    /// The groups of the form, in order.
    pub groups: Vec<String>,
    /// All keys.
    pub configs: Vec<ConfigInfo>,
    /// Hints about a config that is valid; absent if there are none. Kafka Connect has no such
    /// member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ConfigWarning>,
}

/// A hint about a key of a valid config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigWarning {
    /// The key.
    pub key: String,
    /// The problem, and how to fix it.
    pub message: String,
}

impl ConfigInfos {
    /// Returns all errors, in order.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.configs
            .iter()
            .flat_map(|config| &config.value.errors)
            .map(String::as_str)
    }
}
