//! Answers to commands. It knows neither the state nor what the commands do.

use tokio::sync::oneshot;

use super::{Command, Refusal, Reply};

/// Whoever asked may be gone; then nobody needs the answer.
pub(super) fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}

/// Answers a command that is not even tried.
pub(super) fn refuse(command: Command, refusal: Refusal) {
    match command {
        Command::List { reply } => send(reply, Err(refusal)),
        Command::Get { reply, .. } | Command::Create { reply, .. } | Command::Restart { reply, .. } => {
            send(reply, Err(refusal));
        }
        Command::PutConfig { reply, .. } => send(reply, Err(refusal)),
        Command::Delete { reply, .. }
        | Command::SetTarget { reply, .. }
        | Command::RestartTask { reply, .. }
        | Command::ResetTopics { reply, .. } => send(reply, Err(refusal)),
        Command::Offsets { reply, .. } => send(reply, Err(refusal)),
        Command::ChangeOffsets { reply, .. } => send(reply, Err(refusal)),
        Command::Topics { reply, .. } => send(reply, Err(refusal)),
        Command::History { reply, .. } => send(reply, Err(refusal)),
        Command::Info { reply } => send(reply, Err(refusal)),
        Command::Health { reply } => send(reply, Err(refusal)),
    }
}

/// Answers a command whose change may have been stored or not; the command, with nobody to answer, for when that is known.
pub(super) fn refuse_in_doubt(command: Command, refusal: Refusal) -> Command {
    match command {
        Command::Create { name, config, target, reply } => {
            Command::Create { name, config, target, reply: answered(reply, refusal) }
        }
        Command::PutConfig { name, config, expected, reply } => {
            Command::PutConfig { name, config, expected, reply: answered(reply, refusal) }
        }
        Command::Delete { name, reply } => Command::Delete { name, reply: answered(reply, refusal) },
        Command::SetTarget { name, target, reply } => {
            Command::SetTarget { name, target, reply: answered(reply, refusal) }
        }
        Command::ResetTopics { name, reply } => Command::ResetTopics { name, reply: answered(reply, refusal) },
        // The others change nothing.
        other => other,
    }
}

/// A channel that nobody listens to, in the place of the one that has been answered.
fn answered<T>(reply: Reply<T>, refusal: Refusal) -> Reply<T> {
    send(reply, Err(refusal));
    oneshot::channel().0
}
