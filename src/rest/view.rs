//! Converts the herder's views to the bodies of answers.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::Config;

use crate::herder::{ConnectorView, Direction, TaskView};
use crate::model::{
    ConnectorInfo, ConnectorProgress, ConnectorStatus, PartStatus, TableProgress, TaskInfo,
    TaskName, TaskProgress, TaskStatus,
};
use crate::model::{RunState, RunStatus};
use crate::registry::Registry;

pub(super) fn pairs(config: &Config) -> BTreeMap<String, String> {
    config
        .iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn task_name(view: &ConnectorView, task: u32) -> TaskName {
    TaskName {
        connector: view.name.to_string(),
        task,
    }
}

pub(super) fn info(view: &ConnectorView) -> ConnectorInfo {
    ConnectorInfo {
        name: view.name.to_string(),
        config: pairs(&view.config),
        tasks: view
            .tasks
            .iter()
            .map(|task| task_name(view, task.id))
            .collect(),
        kind: view.direction.name().to_owned(),
    }
}

pub(super) fn tasks(view: &ConnectorView) -> Vec<TaskInfo> {
    view.tasks
        .iter()
        .map(|t| TaskInfo {
            id: task_name(view, t.id),
            config: pairs(&t.config),
        })
        .collect()
}

fn part(status: &RunStatus, version: Option<&str>) -> PartStatus {
    PartStatus {
        state: status.state.name().to_owned(),
        worker_id: status.worker_id.to_string(),
        trace: status.trace.clone(),
        version: version.map(str::to_owned),
    }
}

pub(super) fn status(view: &ConnectorView, registry: &Registry) -> ConnectorStatus {
    let version = version(view, registry);
    let unassigned = RunStatus {
        state: RunState::Unassigned,
        worker_id: "".into(),
        trace: None,
    };
    let connector = view.status.as_ref().unwrap_or(&unassigned);
    ConnectorStatus {
        name: view.name.to_string(),
        connector: part(connector, version),
        tasks: view
            .tasks
            .iter()
            .map(|t| task_status(t, version, connector.state))
            .collect(),
        kind: view.direction.name().to_owned(),
    }
}

/// The warning of a task that is UNASSIGNED; Kafka Connect has no text for it.
const WAITS_FOR_CONNECTOR: &str = "it does not run because its connector has failed: see the connector's trace; the task starts \
     once the connector does";

fn task_status(task: &TaskView, version: Option<&str>, connector: RunState) -> TaskStatus {
    let mut warnings = task
        .progress
        .as_ref()
        .map(|p| p.warnings.join("\n"))
        .filter(|text| !text.is_empty());
    if task.status.state == RunState::Unassigned && connector == RunState::Failed {
        warnings.get_or_insert_with(|| WAITS_FOR_CONNECTOR.to_owned());
    }
    TaskStatus {
        id: task.id,
        status: part(&task.status, version),
        warning: warnings,
    }
}

pub(super) fn progress(view: &ConnectorView) -> ConnectorProgress {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let table = |t: &connector_api::TableProgress| TableProgress {
        table: t.table.clone(),
        rows: t.rows,
        rows_estimated: t.rows_estimated,
        rows_left: t.rows_left,
        eta_ms: t.time_left.map(millis),
    };
    let task = |t: &TaskView| {
        let progress = t.progress.as_ref()?;
        let tables = progress.tables.iter().map(table).collect();
        let waits = t.waits.as_ref()?;
        Some(TaskProgress {
            id: t.id,
            tables,
            warnings: progress.warnings.clone(),
            waiting_for: waits.what.to_owned(),
            since: waits.since.clone(),
            detail: waits.detail.clone(),
        })
    };
    ConnectorProgress {
        name: view.name.to_string(),
        tasks: view.tasks.iter().filter_map(task).collect(),
    }
}

pub(super) fn version<'a>(view: &ConnectorView, registry: &'a Registry) -> Option<&'a str> {
    if view.direction == Direction::Unknown {
        return None;
    }
    let class = view.config.get("connector.class")?;
    registry
        .connector(class)
        .map(|connector| connector.plugin().version())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::Config;

    use super::{ConnectorView, Registry, RunState, RunStatus, TaskView};
    use crate::herder::Direction;
    use crate::model::TargetState;

    #[test]
    fn an_unassigned_task_of_a_failed_connector_says_what_it_waits_for() {
        let status = |state| RunStatus {
            state,
            worker_id: Arc::from("h:1"),
            trace: None,
        };
        let warning = |connector, task| {
            let task = TaskView {
                id: 0,
                config: Config::new(),
                status: status(task),
                progress: None,
                waits: None,
            };
            let view = ConnectorView {
                name: "c".into(),
                config: Config::new(),
                direction: Direction::Source,
                target: TargetState::Started,
                status: Some(status(connector)),
                tasks: vec![task],
            };
            super::status(&view, &Registry::default())
                .tasks
                .remove(0)
                .warning
        };
        let text = warning(RunState::Failed, RunState::Unassigned).unwrap();
        assert!(
            text.contains("its connector has failed") && text.contains("trace"),
            "{text}"
        );
        for (connector, task) in [
            (RunState::Failed, RunState::Failed),
            (RunState::Failed, RunState::Running),
            (RunState::Running, RunState::Unassigned),
            (RunState::Unassigned, RunState::Unassigned),
        ] {
            assert_eq!(warning(connector, task), None, "{connector:?} {task:?}");
        }
    }
}
