//! Limits the memory of bodies: those of requests that are arriving, large requests that are being
//! processed, and answers that clients have not read yet. What does not fit is refused; nothing
//! waits while it holds memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use connector_api::locks::TakeLock;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::activity::ConnectionActivity;

/// Maximum size of the body of a request.
pub(super) const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Maximum size of all request bodies together, not counting the first [`FREE_BYTES`] of each.
const REQUESTS_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Maximum size of all unread answers together, not counting those of up to [`FREE_BYTES`].
const ANSWERS_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Size that each body may have without being counted; most bodies are smaller.
const FREE_BYTES: usize = 32 * 1024;
/// Bodies of at least this size are processed by few requests at the same time, because they need
/// much more memory when parsed.
const LARGE_BYTES: usize = 128 * 1024;
const LARGE_AT_ONCE: usize = 4;
/// How long a large body waits until it can be processed.
const TURN_LIMIT: Duration = Duration::from_secs(10);
/// In each period of this length, a body must deliver [`WINDOW_BYTES`] or end.
const WINDOW: Duration = Duration::from_secs(15);
const WINDOW_BYTES: usize = 4 * 1024;

/// The unit in which budgets are counted.
const UNIT: usize = 1024;

/// The budgets of a worker. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(super) struct BodyBudget {
    requests: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for BodyBudget {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self {
            requests: of(REQUESTS_MAX_BYTES / UNIT),
            answers: of(ANSWERS_MAX_BYTES / UNIT),
            large: of(LARGE_AT_ONCE),
        }
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body arrives too slowly")]
    TooSlow,
    #[error("other bodies use all the available memory")]
    Busy,
}

impl BodyBudget {
    /// Returns the share of one request.
    pub(super) fn share(&self) -> BudgetShare {
        BudgetShare {
            budget: self.clone(),
            held: Arc::default(),
        }
    }

    /// Reserves memory for an answer of that size until it has been read; `None` if there is not
    /// enough.
    pub(super) fn answer(&self, bytes: usize) -> Option<Option<OwnedSemaphorePermit>> {
        if bytes <= FREE_BYTES {
            return Some(None);
        }
        // A single answer may be larger than the whole budget.
        let units = units(bytes.min(ANSWERS_MAX_BYTES));
        Arc::clone(&self.answers)
            .try_acquire_many_owned(units)
            .ok()
            .map(Some)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct HeldBytes {
    bytes: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
}

/// The part of the budget that one request holds, until the last clone is dropped.
#[derive(Clone)]
pub(super) struct BudgetShare {
    budget: BodyBudget,
    held: Arc<Mutex<HeldBytes>>,
}

impl BudgetShare {
    /// Reserves memory for a body that has reached that size. Errors: `Busy`.
    fn hold(&self, bytes: usize) -> Result<(), BodyFault> {
        let wanted = units(bytes.saturating_sub(FREE_BYTES));
        let mut held = self.held.take_lock();
        let has = held.bytes.as_ref().map_or(0, |permit| {
            u32::try_from(permit.num_permits()).unwrap_or(u32::MAX)
        });
        if wanted <= has {
            return Ok(());
        }
        let more = Arc::clone(&self.budget.requests).try_acquire_many_owned(wanted - has);
        let more = more.map_err(|_| BodyFault::Busy)?;
        match &mut held.bytes {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Releases the memory of the body, because nothing of it is kept.
    pub(super) fn release(&self) {
        self.held.take_lock().bytes = None;
    }

    /// Waits a short time for permission to process a body of that size. The permission lasts as
    /// long as the share. Errors: `Busy`.
    pub(super) async fn turn(&self, bytes: usize) -> Result<bool, BodyFault> {
        if bytes < LARGE_BYTES {
            return Ok(false);
        }
        let turn =
            tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.budget.large).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(BodyFault::Busy)?;
        self.held.take_lock().turn = Some(turn);
        Ok(true)
    }
}

/// The body of a request, measured while it arrives.
struct MeteredBody {
    body: Incoming,
    share: BudgetShare,
    activity: Arc<ConnectionActivity>,
    came: usize,
    /// It was refused; further data is discarded.
    refused: bool,
    /// The end of the current window, and the size of the body at its start.
    window: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Returns the same request with a measured body.
pub(super) fn metered(
    request: Request<Incoming>,
    share: &BudgetShare,
    activity: &Arc<ConnectionActivity>,
) -> Request<Body> {
    request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        let (share, activity) = (share.clone(), Arc::clone(activity));
        Body::new(MeteredBody {
            body,
            share,
            activity,
            came: 0,
            refused: false,
            window: None,
        })
    })
}

impl MeteredBody {
    fn take(&mut self, bytes: usize) -> Result<(), BodyFault> {
        self.came = self.came.saturating_add(bytes);
        if self.refused {
            return Ok(());
        }
        let fits = if self.came > BODY_MAX_BYTES {
            Err(BodyFault::TooLarge)
        } else {
            self.share.hold(self.came)
        };
        self.refused = fits.is_err();
        fits
    }

    /// True if the body has arrived too slowly so far.
    fn is_slow(&mut self, cx: &mut Context<'_>) -> bool {
        let came = self.came;
        let (end, before) = self
            .window
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(WINDOW)), came));
        while end.as_mut().poll(cx).is_ready() {
            if came - *before < WINDOW_BYTES {
                return true;
            }
            *before = came;
            end.as_mut().reset(Instant::now() + WINDOW);
        }
        false
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.came == 0 && !self.refused && self.body.size_hint().lower() > BODY_MAX_BYTES as u64
        {
            self.refused = true;
            return Poll::Ready(Some(Err(axum::Error::new(BodyFault::TooLarge))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.activity.waits_for_body(frame.is_pending());
        if frame.is_pending() {
            let slow = self.is_slow(cx);
            return if slow {
                Poll::Ready(Some(Err(axum::Error::new(BodyFault::TooSlow))))
            } else {
                Poll::Pending
            };
        }
        let Some(frame) = ready!(frame) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(axum::Error::new).and_then(|frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.take(bytes).map(|()| frame).map_err(axum::Error::new)
        });
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer with its reservation, which is released once the connection has sent all
/// of it.
pub(super) struct CountedBody<T> {
    body: Body,
    _kept: T,
}

impl<T: Send + Unpin + 'static> CountedBody<T> {
    pub(super) fn body(body: Body, kept: T) -> Body {
        Body::new(Self { body, _kept: kept })
    }
}

impl<T: Unpin> HttpBody for CountedBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BodyBudget, BodyFault, FREE_BYTES, LARGE_AT_ONCE, LARGE_BYTES, REQUESTS_MAX_BYTES,
    };

    #[test]
    fn bodies_share_a_budget_that_small_ones_do_not_need() {
        let budget = BodyBudget::default();
        let all: Vec<_> = (0..8).map(|_| budget.share()).collect();
        for share in &all {
            assert_eq!(share.hold(FREE_BYTES + REQUESTS_MAX_BYTES / 16), Ok(()));
            assert_eq!(share.hold(FREE_BYTES + REQUESTS_MAX_BYTES / 8), Ok(()));
        }
        let next = budget.share();
        assert_eq!(
            (next.hold(FREE_BYTES), next.hold(FREE_BYTES + 1)),
            (Ok(()), Err(BodyFault::Busy))
        );
        all[0].release();
        assert_eq!(next.hold(FREE_BYTES + 1), Ok(()));
        drop((all, next));
        assert_eq!(budget.share().hold(REQUESTS_MAX_BYTES), Ok(()));
    }

    #[tokio::test]
    async fn large_bodies_take_turns() {
        let budget = BodyBudget::default();
        let mut all: Vec<_> = (0..=LARGE_AT_ONCE).map(|_| budget.share()).collect();
        for share in &all[..LARGE_AT_ONCE] {
            assert_eq!(share.turn(LARGE_BYTES).await, Ok(true));
        }
        assert_eq!(all[LARGE_AT_ONCE].turn(LARGE_BYTES - 1).await, Ok(false));
        let waiting = all[LARGE_AT_ONCE].turn(LARGE_BYTES);
        tokio::time::timeout(std::time::Duration::from_millis(50), waiting)
            .await
            .unwrap_err();
        all.swap_remove(0);
        assert_eq!(all[0].turn(LARGE_BYTES).await, Ok(true));
    }

    #[test]
    fn answers_that_nobody_reads_have_a_budget_too() {
        let budget = BodyBudget::default();
        let whole = budget.answer(usize::MAX).unwrap();
        assert!(budget.answer(FREE_BYTES).is_some() && budget.answer(FREE_BYTES + 1).is_none());
        drop(whole);
        assert!(budget.answer(FREE_BYTES + 1).is_some());
    }
}
