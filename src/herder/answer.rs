//! Answers to commands. It knows neither the state nor what the commands do.

use tokio::sync::oneshot;

/// Whoever asked may be gone; then nobody needs the answer.
pub(super) fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}
