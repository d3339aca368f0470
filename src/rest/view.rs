//! From the herder's views to the bodies on the wire.

use std::collections::BTreeMap;

use connector_api::Config;

use crate::herder::{ConnectorView, Direction, State, Status};
use crate::model::{ConnectorInfo, ConnectorStatus, PartStatus, TaskInfo, TaskName, TaskStatus};
use crate::registry::Registry;

pub(super) fn pairs(config: &Config) -> BTreeMap<String, String> {
    config.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn task_name(view: &ConnectorView, task: u32) -> TaskName {
    TaskName { connector: view.name.to_string(), task }
}

pub(super) fn info(view: &ConnectorView) -> ConnectorInfo {
    ConnectorInfo {
        name: view.name.to_string(),
        config: pairs(&view.config),
        tasks: view.tasks.iter().map(|task| task_name(view, task.id)).collect(),
        kind: view.direction.name().to_owned(),
    }
}

pub(super) fn tasks(view: &ConnectorView) -> Vec<TaskInfo> {
    view.tasks.iter().map(|t| TaskInfo { id: task_name(view, t.id), config: pairs(&t.config) }).collect()
}

fn part(status: &Status, version: Option<&str>) -> PartStatus {
    PartStatus {
        state: status.state.name().to_owned(),
        worker_id: status.worker_id.to_string(),
        trace: status.trace.clone(),
        version: version.map(str::to_owned),
    }
}

pub(super) fn status(view: &ConnectorView, registry: &Registry) -> ConnectorStatus {
    let version = version(view, registry);
    let unassigned = Status { state: State::Unassigned, worker_id: "".into(), trace: None };
    ConnectorStatus {
        name: view.name.to_string(),
        connector: part(view.status.as_ref().unwrap_or(&unassigned), version),
        tasks: view.tasks.iter().map(|t| TaskStatus { id: t.id, status: part(&t.status, version) }).collect(),
        kind: view.direction.name().to_owned(),
    }
}

fn version<'a>(view: &ConnectorView, registry: &'a Registry) -> Option<&'a str> {
    if view.direction == Direction::Unknown {
        return None;
    }
    let class = view.config.get("connector.class")?;
    registry.connector(class).map(|connector| connector.plugin().version())
}
