//! Decides which verbs are admitted, and what they write. Checked before anything is stored, so
//! that a refusal changes nothing, and a store failure leaves the state unchanged.

use std::sync::Arc;

use connector_api::Config;

use super::{ConnectorEntry, HerderState};
use crate::herder::{HerderRefusal, HerderVerb};
use crate::model::TargetState;
use crate::store::StoreChange;

/// The writes of a verb, or its refusal.
type Admission = Result<Vec<StoreChange>, HerderRefusal>;

/// Returns what a verb writes before it takes effect; empty for a verb that only reads. Errors: why
/// the verb is refused.
pub fn admit(state: &HerderState, verb: &HerderVerb) -> Admission {
    if state.closing {
        return Err(HerderRefusal::ShuttingDown);
    }
    match verb {
        HerderVerb::List { .. }
        | HerderVerb::Info { .. }
        | HerderVerb::Health { .. }
        | HerderVerb::Topics { .. }
        | HerderVerb::History { .. } => Ok(Vec::new()),
        HerderVerb::Get { name, .. }
        | HerderVerb::Restart { name, .. }
        | HerderVerb::Offsets { name, .. } => known(state, name).map(|_| Vec::new()),
        HerderVerb::Create {
            name,
            config,
            target,
            ..
        } => match known(state, name) {
            Ok(_) => Err(HerderRefusal::AlreadyExists(name.clone())),
            Err(_) => Ok(vec![created(name, config, *target)]),
        },
        HerderVerb::PutConfig {
            name,
            config,
            expected,
            ..
        } => put_config(state, name, config, expected.as_ref()),
        HerderVerb::Delete { name, .. } => {
            known(state, name).map(|(name, _)| vec![StoreChange::Delete { name }])
        }
        HerderVerb::SetTarget { name, target, .. } => set_target(state, name, *target),
        HerderVerb::RestartTask { name, task, .. } => restart_task(state, name, *task),
        HerderVerb::ChangeOffsets { name, .. } => change_offsets(state, name),
        HerderVerb::ResetTopics { name, .. } => Ok(known(state, name)
            .map(|(name, _)| vec![StoreChange::ResetTopics { name }])
            .unwrap_or_default()),
    }
}

fn known<'a>(
    state: &'a HerderState,
    name: &str,
) -> Result<(Arc<str>, &'a ConnectorEntry), HerderRefusal> {
    match state.connectors.get_key_value(name) {
        Some((name, connector)) => Ok((Arc::clone(name), connector)),
        None => Err(HerderRefusal::UnknownConnector(name.to_owned())),
    }
}

fn created(name: &str, config: &Config, target: TargetState) -> StoreChange {
    StoreChange::Create {
        name: name.into(),
        config: config.clone(),
        target,
    }
}

fn put_config(
    state: &HerderState,
    name: &str,
    config: &Config,
    expected: Option<&Config>,
) -> Admission {
    match (known(state, name), expected) {
        (Ok((name, connector)), Some(expected)) if connector.config != *expected => {
            Err(HerderRefusal::ConfigChanged(name.to_string()))
        }
        (Ok((_, connector)), _) if connector.config == *config => Ok(Vec::new()),
        (Ok((name, _)), _) => Ok(vec![StoreChange::Replace {
            name,
            config: config.clone(),
        }]),
        (Err(unknown), Some(_)) => Err(unknown),
        (Err(_), None) => Ok(vec![created(name, config, TargetState::Started)]),
    }
}

fn set_target(state: &HerderState, name: &str, target: TargetState) -> Admission {
    let (name, connector) = known(state, name)?;
    if connector.target == target {
        return Ok(Vec::new());
    }
    Ok(vec![StoreChange::SetTarget { name, target }])
}

fn restart_task(state: &HerderState, name: &str, task: u32) -> Admission {
    let (_, connector) = known(state, name)?;
    let exists = usize::try_from(task).is_ok_and(|at| at < connector.tasks.len());
    if exists {
        Ok(Vec::new())
    } else {
        Err(HerderRefusal::UnknownTask(name.to_owned(), task))
    }
}

fn change_offsets(state: &HerderState, name: &str) -> Admission {
    let (name, connector) = known(state, name)?;
    let runs = state.runs.keys().any(|id| id.connector == name);
    if connector.target != TargetState::Stopped || runs {
        return Err(HerderRefusal::NotStopped(name.to_string()));
    }
    if state.changing_offsets.contains(&name) {
        let why = format!(
            "another change of the offsets of {name} is in progress: try again when it has ended"
        );
        return Err(HerderRefusal::Unavailable(why));
    }
    Ok(Vec::new())
}
