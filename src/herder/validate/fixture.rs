//! A connector for tests of validation and of REST: it declares keys, checks and recommends, and never runs.

use std::sync::Arc;

use connector_api::config::{Check, Default, Type};
use connector_api::{Config, Error, Key, Plan, Plugin, Positions, Report, Result, Source, SourceTask, async_trait};

use crate::registry::Connector;

const KEYS: &[Key] = &[
    Key::new("url", Type::String, Default::Required, "Database", "Where."),
    Key::new("password", Type::Password, Default::Null, "Database", "Secret.").aliases(&["pass"]),
    Key::new("mode", Type::String, Default::Text("a"), "Mode", "How.")
        .check(Check::OneOf(&["a", "b"]))
        .recommended(&["a", "b"]),
    Key::new("b.only", Type::Int, Default::Text("1"), "Mode", "With mode b.").check(Check::AtLeast(1)),
    Key::new("task.part", Type::Int, Default::Null, "", "Its own.").internal(),
];

struct Rows;

impl Plugin for Rows {
    fn class(&self) -> &'static str {
        "a.b.RowsConnector"
    }

    fn version(&self) -> &'static str {
        "1.2.3"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn check(&self, config: &Config, report: &mut Report) {
        if config.get("mode") != Some("b") {
            report.hide("b.only");
        }
        if config.get("url") == Some("nowhere") {
            report.invalid("url", "nowhere", "there is no such place");
        }
    }
}

#[async_trait]
impl Source for Rows {
    async fn plan(&self, _config: &Config, _max_tasks: usize) -> Result<Plan> {
        Ok(Plan::default())
    }

    async fn open(&self, _task: &Config, _stored: &dyn Positions) -> Result<Box<dyn SourceTask>> {
        Err(Error::config("this connector is for validation only"))
    }

    async fn probe(&self, config: &Config, report: &mut Report) {
        if config.get("url") == Some("hanging") {
            std::future::pending::<()>().await;
        }
        if config.get("url") == Some("closed") {
            report.error("url", "Could not connect");
        }
        report.recommend("mode", vec!["found".to_owned()]);
    }
}

/// It, as `a.b.RowsConnector`.
pub(crate) fn source() -> Connector {
    Connector::Source(Arc::new(Rows))
}
