//! Bodies about connectors: creation, config, tasks.

use std::collections::BTreeMap;
use std::fmt;

use connector_api::Config;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{
    AdditionalProperties, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Maximum number of keys of a config; a larger config is refused while it is read.
pub const KEYS_MAX: usize = 10_000;

/// A config as it was sent: scalars of any kind are texts, as they are written (`1.50` stays
/// `1.50`). Null values are stored separately, because validation refuses them and PATCH removes
/// the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RawConfig(pub BTreeMap<String, Option<String>>);

impl RawConfig {
    /// Returns the keys that have a value.
    pub fn given(&self) -> Config {
        self.0
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect()
    }
}

impl PartialSchema for RawConfig {
    fn schema() -> RefOr<Schema> {
        let of = |ty| ObjectBuilder::new().schema_type(SchemaType::new(ty));
        let scalar = [Type::String, Type::Number, Type::Boolean, Type::Null]
            .into_iter()
            .fold(OneOfBuilder::new(), |any, ty| any.item(of(ty)));
        let values = AdditionalProperties::RefOr(RefOr::T(Schema::OneOf(scalar.build())));
        of(Type::Object)
            .description(Some("keys and their values; scalars count as text"))
            .additional_properties(Some(values))
            .into()
    }
}

impl ToSchema for RawConfig {}

impl<'de> Deserialize<'de> for RawConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RawConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of configuration keys and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawConfig, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value =
                        scalar_text(map.next_value::<&RawValue>()?.get()).map_err(|kind| {
                            de::Error::custom(format!(
                                "the value of \"{key}\" must be text, not {kind}"
                            ))
                        })?;
                    pairs.insert(key, value);
                    if pairs.len() > KEYS_MAX {
                        return Err(de::Error::custom(format!(
                            "a config has at most {KEYS_MAX} keys"
                        )));
                    }
                }
                Ok(RawConfig(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Converts a JSON scalar to text; `None` for null. Errors: what it is instead.
fn scalar_text(raw: &str) -> Result<Option<String>, &'static str> {
    match raw.as_bytes().first() {
        Some(b'{') => Err("an object"),
        Some(b'[') => Err("an array"),
        Some(b'n') => Ok(None),
        Some(b'"') => serde_json::from_str(raw)
            .map(Some)
            .map_err(|_| "broken text"),
        _ => Ok(Some(raw.to_owned())),
    }
}

/// Deserializes a scalar of any kind as text, for members of a body.
pub(super) fn scalar<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    scalar_text(raw.get()).map_err(|kind| de::Error::custom(format!("expected text, not {kind}")))
}

/// `POST /connectors`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with \"name\" and \"config\""
)]
pub struct CreateConnector {
    /// Its name; surrounding spaces are ignored.
    #[schema(required, nullable = false)]
    #[serde(default, deserialize_with = "scalar")]
    pub name: Option<String>,
    /// Its config.
    #[schema(required, nullable = false)]
    #[serde(default)]
    pub config: Option<RawConfig>,
    /// `RUNNING`, `PAUSED` or `STOPPED` (KIP-980).
    #[serde(
        default,
        deserialize_with = "scalar",
        skip_serializing_if = "Option::is_none"
    )]
    pub initial_state: Option<String>,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: String,
    /// Its config, as given.
    pub config: BTreeMap<String, String>,
    /// Its tasks.
    pub tasks: Vec<TaskName>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Identifies a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskName {
    /// Its connector.
    pub connector: String,
    /// Its number.
    pub task: u32,
}

/// One of `GET /connectors/{c}/tasks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskInfo {
    /// The task.
    pub id: TaskName,
    /// Its config.
    pub config: BTreeMap<String, String>,
}

/// One member of `GET /connectors/{c}/topics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActiveTopics {
    /// Topics used since the last reset.
    pub topics: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::{CreateConnector, RawConfig};

    #[test]
    fn scalars_become_text_as_they_are_written() {
        let raw: RawConfig = serde_json::from_str(
            r#"{"a":1.50,"b":1e3,"c":-0,"d":true,"e":" x\n","f":null,"":"k","a":2}"#,
        )
        .unwrap();
        let pairs: Vec<_> = raw
            .0
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_deref()))
            .collect();
        let want = [
            ("", Some("k")),
            ("a", Some("2")),
            ("b", Some("1e3")),
            ("c", Some("-0")),
            ("d", Some("true")),
            ("e", Some(" x\n")),
            ("f", None),
        ];
        assert_eq!(pairs, want);
    }

    #[test]
    fn what_is_no_scalar_is_refused_by_name() {
        let error = serde_json::from_str::<RawConfig>(r#"{"a":{"b":1}}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the value of \"a\" must be text, not an object"),
            "{error}"
        );
        for bad in [
            r#"{"name":["x"]}"#,
            r#"{"config":[]}"#,
            r#"{"tasks":[]}"#,
            r#"{"Name":"x"}"#,
        ] {
            assert!(
                serde_json::from_str::<CreateConnector>(bad).is_err(),
                "{bad}"
            );
        }
        let create: CreateConnector = serde_json::from_str(r#"{"name":42,"config":null}"#).unwrap();
        assert_eq!((create.name.as_deref(), create.config), (Some("42"), None));
    }
}
