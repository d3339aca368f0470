//! Answers to commands, independent of the state and of what the commands do.

use tokio::sync::oneshot;

/// The caller may have hung up; ignores the send error.
pub(super) fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}
