//! Asks the same question about many partitions, some at a time.

use connector_api::{Error, Result};

/// Maximum number of questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// Returns the answers in the order of `items`. librdkafka handles one partition per request, and
/// most of the time is waiting, so some threads share the questions.
/// Errors: the first one of `ask`; `Fatal` with the name of `what` if it panics.
pub(super) fn ask_each<T: Sync, R: Send>(
    items: &[T],
    what: &str,
    ask: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let each = items.len().div_ceil(AT_ONCE).max(1);
    let ask = &ask;
    let answers: Result<Vec<Vec<R>>> = std::thread::scope(|scope| {
        let asked: Vec<_> = items
            .chunks(each)
            .map(|share| scope.spawn(move || share.iter().map(ask).collect::<Result<Vec<_>>>()))
            .collect();
        asked
            .into_iter()
            .map(|asking| {
                let panicked = |_| Err(Error::fatal(format!("{what} was interrupted")));
                asking.join().unwrap_or_else(panicked)
            })
            .collect()
    });
    Ok(answers?.into_iter().flatten().collect())
}
