//! Answers to commands. It knows neither the state nor what the commands do.

use tokio::sync::oneshot;

use super::{Command, Refusal};

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
