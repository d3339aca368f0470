//! Logs each panic on one line: where and in which thread, without a backtrace.
//!
//! A panic's text may contain the data being processed, such as a row's value or a password
//! (slicing a string quotes it), so only texts that are constants in the code are logged.

use std::any::Any;

/// Replaces a text that may contain values.
const LEFT_OUT: &str = "its text is omitted, because it may contain values";

/// Installs a panic hook that logs panics instead of printing them to standard error.
pub(crate) fn to_log() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current()
            .name()
            .unwrap_or("without a name")
            .to_owned();
        tracing::error!(%place, thread, panic = text(panic.payload()),
            "code panicked; the operation that it belonged to ends with an error");
    }));
}

/// Returns the text of a panic if it is a constant in the code.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or(LEFT_OUT)
}

#[cfg(test)]
mod tests {
    use super::{LEFT_OUT, text};

    #[test]
    fn a_panics_text_is_shown_only_where_it_cannot_hold_values() {
        let value = String::from("gehéim");
        let fixed = std::panic::catch_unwind(|| panic!("fixed")).unwrap_err();
        let sliced = std::panic::catch_unwind(|| drop(value[..4].to_owned())).unwrap_err();
        assert_eq!((text(&*fixed), text(&*sliced)), ("fixed", LEFT_OUT));
    }
}
