//! The limits of expressions: evaluation time, and the size of input and output values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use connector_api::Value;
use rhai::{Dynamic, Engine, EvalAltResult};

/// Maximum size of a text in bytes, and maximum number of items of an array or entries of a map,
/// for input and output values.
pub(super) const MAX_TEXT: usize = 1 << 20;
pub(super) const MAX_ITEMS: usize = 10_000;

/// Number of operations between two readings of the clock.
const LOOK_EVERY: u64 = 8;

/// The deadline for the expressions of the current record.
#[derive(Clone, Debug)]
pub(super) struct EvaluationDeadline {
    begun: Instant,
    /// The deadline, in nanoseconds after `begun`.
    at: Arc<AtomicU64>,
}

impl EvaluationDeadline {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            at: Arc::default(),
        }
    }

    pub(super) fn set(&self, within: Duration) {
        self.at
            .store(nanos(self.begun.elapsed() + within), Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        nanos(self.begun.elapsed()) > self.at.load(Ordering::Relaxed)
    }

    /// Makes the engine abort an evaluation at the deadline.
    pub(super) fn ends(&self, engine: &mut Engine) {
        let deadline = self.clone();
        engine.on_progress(move |operations| {
            (operations % LOOK_EVERY == 0 && deadline.is_over()).then_some(Dynamic::UNIT)
        });
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), rhai::Position::NONE).into()
}

/// True if a value is within the size limits.
pub(super) fn is_small(value: &Value) -> bool {
    fn within(value: &Value, items: &mut usize, bytes: &mut usize) -> bool {
        let length = match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        let left = items.checked_sub(1).zip(bytes.checked_sub(length));
        let Some(left) = left else { return false };
        (*items, *bytes) = left;
        match value {
            Value::Array(inner) | Value::Struct(inner) => {
                inner.iter().all(|inner| within(inner, items, bytes))
            }
            Value::Map(entries) => entries
                .iter()
                .all(|(k, v)| within(k, items, bytes) && within(v, items, bytes)),
            _ => true,
        }
    }
    within(value, &mut (MAX_ITEMS + 1), &mut MAX_TEXT.clone())
}

/// Replaces Rhai's text functions: its own modify their text in place, which is useless in an
/// expression, and its `replace` ignores the size limit.
pub(super) fn text_functions(engine: &mut Engine) {
    engine.register_fn("trim", |text: &str| text.trim().to_owned());
    engine.register_fn("replace", replaced);
    engine.register_fn("replace", |text: &str, find: char, by: &str| {
        replaced(text, find.encode_utf8(&mut [0; 4]), by)
    });
    engine.register_fn("replace", |text: &str, find: &str, by: char| {
        replaced(text, find, by.encode_utf8(&mut [0; 4]))
    });
    engine.register_fn("replace", |text: &str, find: char, by: char| {
        replaced(
            text,
            find.encode_utf8(&mut [0; 4]),
            by.encode_utf8(&mut [0; 4]),
        )
    });
}

fn replaced(text: &str, find: &str, by: &str) -> Result<String, Box<EvalAltResult>> {
    let longer = by
        .len()
        .saturating_sub(find.len())
        .saturating_mul(text.matches(find).count());
    if text.len().saturating_add(longer) > MAX_TEXT {
        return Err(too_large("Length of string"));
    }
    Ok(text.replace(find, by))
}
