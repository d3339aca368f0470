//! A connector for tests of validation and of REST: it declares keys, checks and recommends values,
//! and never runs.

use std::sync::Arc;

use connector_api::config::{ConfigType, DefaultValue, KeyValidator};
use connector_api::{
    Config, ConfigKey, ConfigReport, Error, Plugin, Result, SourceConnector, SourceTask,
    StoredOffsets, TaskPlan, async_trait,
};

use crate::registry::ConnectorPlugin;

const KEYS: &[ConfigKey] = &[
    ConfigKey::new(
        "url",
        ConfigType::String,
        DefaultValue::Required,
        "Database",
        "Where.",
    ),
    ConfigKey::new(
        "password",
        ConfigType::Password,
        DefaultValue::Null,
        "Database",
        "Secret.",
    )
    .aliases(&["pass"]),
    ConfigKey::new(
        "mode",
        ConfigType::String,
        DefaultValue::Text("a"),
        "Mode",
        "How.",
    )
    .check(KeyValidator::OneOf(&["a", "b"]))
    .recommended(&["a", "b"]),
    ConfigKey::new(
        "b.only",
        ConfigType::Int,
        DefaultValue::Text("1"),
        "Mode",
        "With mode b.",
    )
    .check(KeyValidator::AtLeast(1)),
    ConfigKey::new(
        "task.part",
        ConfigType::Int,
        DefaultValue::Null,
        "",
        "Its own.",
    )
    .internal(),
];

struct Rows;

impl Plugin for Rows {
    fn class(&self) -> &'static str {
        "a.b.RowsConnector"
    }

    fn version(&self) -> &'static str {
        "1.2.3"
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn check(&self, config: &Config, report: &mut ConfigReport) {
        if config.get("mode") != Some("b") {
            report.hide("b.only");
        }
        if config.get("url") == Some("nowhere") {
            report.invalid("url", "nowhere", "there is no such place");
        }
    }
}

#[async_trait]
impl SourceConnector for Rows {
    async fn plan(&self, _config: &Config, _max_tasks: usize) -> Result<TaskPlan> {
        Ok(TaskPlan::default())
    }

    async fn open(
        &self,
        _task: &Config,
        _stored: &dyn StoredOffsets,
    ) -> Result<Box<dyn SourceTask>> {
        Err(Error::config("this connector is for validation only"))
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        if config.get("url") == Some("hanging") {
            std::future::pending::<()>().await;
        }
        if config.get("url") == Some("closed") {
            report.error("url", "Could not connect");
        }
        report.recommend("mode", vec!["found".to_owned()]);
    }
}

/// Returns the connector, under the class `a.b.RowsConnector`.
pub(crate) fn source() -> ConnectorPlugin {
    ConnectorPlugin::Source(Arc::new(Rows))
}
