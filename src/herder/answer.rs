//! Answers to commands. It knows neither the state nor what the commands do.

use tokio::sync::oneshot;

use super::{HerderCommand, HerderRefusal, ReplySender};

/// Whoever asked may be gone; then nobody needs the answer.
pub(super) fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}

/// Answers a command that is not even tried.
pub(super) fn refuse(command: HerderCommand, refusal: HerderRefusal) {
    match command {
        HerderCommand::List { reply } => send(reply, Err(refusal)),
        HerderCommand::Get { reply, .. }
        | HerderCommand::Create { reply, .. }
        | HerderCommand::Restart { reply, .. } => {
            send(reply, Err(refusal));
        }
        HerderCommand::PutConfig { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::Delete { reply, .. }
        | HerderCommand::SetTarget { reply, .. }
        | HerderCommand::RestartTask { reply, .. }
        | HerderCommand::ResetTopics { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::Offsets { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::ChangeOffsets { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::Topics { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::History { reply, .. } => send(reply, Err(refusal)),
        HerderCommand::Info { reply } => send(reply, Err(refusal)),
        HerderCommand::Health { reply } => send(reply, Err(refusal)),
    }
}

/// Answers a command whose change may have been stored or not; the command, with nobody to answer, for when that is known.
pub(super) fn refuse_in_doubt(command: HerderCommand, refusal: HerderRefusal) -> HerderCommand {
    match command {
        HerderCommand::Create {
            name,
            config,
            target,
            reply,
        } => HerderCommand::Create {
            name,
            config,
            target,
            reply: answered(reply, refusal),
        },
        HerderCommand::PutConfig {
            name,
            config,
            expected,
            reply,
        } => HerderCommand::PutConfig {
            name,
            config,
            expected,
            reply: answered(reply, refusal),
        },
        HerderCommand::Delete { name, reply } => HerderCommand::Delete {
            name,
            reply: answered(reply, refusal),
        },
        HerderCommand::SetTarget {
            name,
            target,
            reply,
        } => HerderCommand::SetTarget {
            name,
            target,
            reply: answered(reply, refusal),
        },
        HerderCommand::ResetTopics { name, reply } => HerderCommand::ResetTopics {
            name,
            reply: answered(reply, refusal),
        },
        // The others change nothing.
        other => other,
    }
}

/// A channel that nobody listens to, in the place of the one that has been answered.
fn answered<T>(reply: ReplySender<T>, refusal: HerderRefusal) -> ReplySender<T> {
    send(reply, Err(refusal));
    oneshot::channel().0
}
