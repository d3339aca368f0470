//! Contract tests: the runtime's requirements as functions that any connector's tests can call
//! (cargo feature `suite`).
//!
//! A connector implements [`SourceFixture`] or [`SinkFixture`] for its system and calls
//! [`check_source`] or [`check_sink`] in a test of any async runtime. Each part can also be called
//! alone. A violation panics with the requirement that was broken.

mod sink;
mod source;

use std::pin::{Pin, pin};
use std::task::Poll;

pub use sink::{
    SinkFixture, a_batch_whose_commit_is_in_doubt_is_written_once,
    a_fenced_task_writes_nothing_more, check_sink, offsets_come_back_when_a_partition_does,
    offsets_come_back_when_an_assignment_does, put_again_after_a_crash,
    rolled_back_records_are_not_there,
};
pub use source::{
    SourceFixture, TestStoredOffsets, a_batch_that_was_not_stored_comes_again,
    a_dropped_poll_loses_nothing, check_source, reading_goes_on_behind_what_was_stored,
};

/// Polls a future and drops it the `pending`-th time that it is not ready; `None` if it was
/// dropped.
async fn dropped_after<F: Future>(pending: usize, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), pending);
    std::future::poll_fn(|context| match (future.as_mut().poll(context), left) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Runs two futures concurrently until both are done.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(move |context| {
        fn step<F: Future>(
            future: &mut Pin<&mut F>,
            output: &mut Option<F::Output>,
            cx: &mut std::task::Context<'_>,
        ) {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        step(&mut a, &mut first, context);
        step(&mut b, &mut second, context);
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
