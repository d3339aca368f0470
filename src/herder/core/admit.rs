//! Which commands are admitted, and what they write. Checked before anything is stored, so that a refusal changes
//! nothing and a store that fails leaves the state as it was.

use std::sync::Arc;

use super::State;
use crate::herder::{Command, Refusal, Target};
use crate::store::Write;

/// What a command writes before it takes effect; nothing for one that only reads. Errors: why it is refused.
pub fn admit(state: &State, command: &Command) -> Result<Vec<Write>, Refusal> {
    if state.closing {
        return Err(Refusal::ShuttingDown);
    }
    let known = |name: &str| match state.connectors.get_key_value(name) {
        Some((name, connector)) => Ok((Arc::clone(name), connector)),
        None => Err(Refusal::UnknownConnector(name.to_owned())),
    };
    match command {
        Command::List { .. }
        | Command::Info { .. }
        | Command::Health { .. }
        | Command::Topics { .. }
        | Command::History { .. } => Ok(Vec::new()),
        Command::Get { name, .. } | Command::Restart { name, .. } | Command::Offsets { name, .. } => {
            known(name).map(|_| Vec::new())
        }
        Command::Create { name, config, target, .. } => match known(name) {
            Ok(_) => Err(Refusal::AlreadyExists(name.clone())),
            Err(_) => Ok(vec![Write::Create { name: name.as_str().into(), config: config.clone(), target: *target }]),
        },
        Command::PutConfig { name, config, expected, .. } => match (known(name), expected) {
            (Ok((name, connector)), Some(expected)) if connector.config != *expected => {
                Err(Refusal::ConfigChanged(name.to_string()))
            }
            (Ok((_, connector)), _) if connector.config == *config => Ok(Vec::new()),
            (Ok((name, _)), _) => Ok(vec![Write::Replace { name, config: config.clone() }]),
            (Err(unknown), Some(_)) => Err(unknown),
            (Err(_), None) => {
                let name = name.as_str().into();
                Ok(vec![Write::Create { name, config: config.clone(), target: Target::Started }])
            }
        },
        Command::Delete { name, .. } => known(name).map(|(name, _)| vec![Write::Delete { name }]),
        Command::SetTarget { name, target, .. } => known(name).map(|(name, connector)| {
            if connector.target == *target { Vec::new() } else { vec![Write::SetTarget { name, target: *target }] }
        }),
        Command::RestartTask { name, task, .. } => {
            let (_, connector) = known(name)?;
            let exists = usize::try_from(*task).is_ok_and(|at| at < connector.tasks.len());
            if exists { Ok(Vec::new()) } else { Err(Refusal::UnknownTask(name.clone(), *task)) }
        }
        Command::ChangeOffsets { name, .. } => {
            let (name, connector) = known(name)?;
            if connector.target != Target::Stopped || state.runs.keys().any(|id| id.connector == name) {
                return Err(Refusal::NotStopped(name.to_string()));
            }
            if state.changing_offsets.contains(&name) {
                let why = format!("another change of the offsets of {name} is under way: try again when it has ended");
                return Err(Refusal::Unavailable(why));
            }
            Ok(Vec::new())
        }
        Command::ResetTopics { name, .. } => {
            Ok(known(name).map(|(name, _)| vec![Write::ResetTopics { name }]).unwrap_or_default())
        }
    }
}
