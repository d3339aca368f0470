//! Which commands are admitted, and what they write. Checked before anything is stored, so that a refusal changes
//! nothing and a store that fails leaves the state as it was.

use std::sync::Arc;

use super::HerderState;
use crate::herder::{HerderCommand, HerderRefusal, TargetState};
use crate::store::StoreChange;

/// What a command writes before it takes effect; nothing for one that only reads. Errors: why it is refused.
pub fn admit(
    state: &HerderState,
    command: &HerderCommand,
) -> Result<Vec<StoreChange>, HerderRefusal> {
    if state.closing {
        return Err(HerderRefusal::ShuttingDown);
    }
    let known = |name: &str| match state.connectors.get_key_value(name) {
        Some((name, connector)) => Ok((Arc::clone(name), connector)),
        None => Err(HerderRefusal::UnknownConnector(name.to_owned())),
    };
    match command {
        HerderCommand::List { .. }
        | HerderCommand::Info { .. }
        | HerderCommand::Health { .. }
        | HerderCommand::Topics { .. }
        | HerderCommand::History { .. } => Ok(Vec::new()),
        HerderCommand::Get { name, .. }
        | HerderCommand::Restart { name, .. }
        | HerderCommand::Offsets { name, .. } => known(name).map(|_| Vec::new()),
        HerderCommand::Create {
            name,
            config,
            target,
            ..
        } => match known(name) {
            Ok(_) => Err(HerderRefusal::AlreadyExists(name.clone())),
            Err(_) => Ok(vec![StoreChange::Create {
                name: name.as_str().into(),
                config: config.clone(),
                target: *target,
            }]),
        },
        HerderCommand::PutConfig {
            name,
            config,
            expected,
            ..
        } => match (known(name), expected) {
            (Ok((name, connector)), Some(expected)) if connector.config != *expected => {
                Err(HerderRefusal::ConfigChanged(name.to_string()))
            }
            (Ok((_, connector)), _) if connector.config == *config => Ok(Vec::new()),
            (Ok((name, _)), _) => Ok(vec![StoreChange::Replace {
                name,
                config: config.clone(),
            }]),
            (Err(unknown), Some(_)) => Err(unknown),
            (Err(_), None) => {
                let name = name.as_str().into();
                Ok(vec![StoreChange::Create {
                    name,
                    config: config.clone(),
                    target: TargetState::Started,
                }])
            }
        },
        HerderCommand::Delete { name, .. } => {
            known(name).map(|(name, _)| vec![StoreChange::Delete { name }])
        }
        HerderCommand::SetTarget { name, target, .. } => known(name).map(|(name, connector)| {
            if connector.target == *target {
                Vec::new()
            } else {
                vec![StoreChange::SetTarget {
                    name,
                    target: *target,
                }]
            }
        }),
        HerderCommand::RestartTask { name, task, .. } => {
            let (_, connector) = known(name)?;
            let exists = usize::try_from(*task).is_ok_and(|at| at < connector.tasks.len());
            if exists {
                Ok(Vec::new())
            } else {
                Err(HerderRefusal::UnknownTask(name.clone(), *task))
            }
        }
        HerderCommand::ChangeOffsets { name, .. } => {
            let (name, connector) = known(name)?;
            if connector.target != TargetState::Stopped
                || state.runs.keys().any(|id| id.connector == name)
            {
                return Err(HerderRefusal::NotStopped(name.to_string()));
            }
            if state.changing_offsets.contains(&name) {
                let why = format!(
                    "another change of the offsets of {name} is under way: try again when it has ended"
                );
                return Err(HerderRefusal::Unavailable(why));
            }
            Ok(Vec::new())
        }
        HerderCommand::ResetTopics { name, .. } => Ok(known(name)
            .map(|(name, _)| vec![StoreChange::ResetTopics { name }])
            .unwrap_or_default()),
    }
}
