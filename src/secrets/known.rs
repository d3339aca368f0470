//! All secrets known to this process, for filtering its log: libraries log from threads of their
//! own, where the task is unknown.

use std::borrow::Cow;
use std::sync::RwLock;

use connector_api::locks::TakeSharedLock;

use super::Redactor;

/// Maximum number of configs remembered; those of running tasks are evicted last.
const REMEMBERED: usize = 1000;

static KNOWN: RwLock<Vec<Redactor>> = RwLock::new(Vec::new());

/// Remembers the secrets that `redactor` hides.
pub(crate) fn remember(redactor: &Redactor) {
    if redactor.is_empty() {
        return;
    }
    let mut known = KNOWN.take_write();
    // Replace an equal one by the newest, which is in use by its task and so evicted last.
    known.retain(|old| !old.is_like(redactor));
    if known.len() >= REMEMBERED {
        let gone = known
            .iter()
            .position(|old| !old.is_in_use())
            .unwrap_or_default();
        known.remove(gone);
    }
    known.push(redactor.clone());
}

/// Hides all known secrets in a text. `written` turns a replacement into the form it takes in the
/// text.
pub(crate) fn hide(text: &str, written: impl Fn(&str) -> String) -> Cow<'_, str> {
    let known = KNOWN.take_read();
    known.iter().fold(Cow::Borrowed(text), |text, redactor| {
        match redactor.hide_elsewhere(&text, &written) {
            Cow::Owned(hidden) => hidden.into(),
            Cow::Borrowed(_) => text,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::SecretWords;
    use super::{Redactor, hide, remember};

    #[test]
    fn what_any_config_hides_is_hidden() {
        let mut words = SecretWords::default();
        words.add("CANARY-of-known", "${env:\"X\"}");
        remember(&Redactor::new(words));
        assert_eq!(hide("a CANARY-of-known", str::to_owned), "a ${env:\"X\"}");
        assert_eq!(
            hide("a CANARY-of-known", |shown| shown.replace('"', "'")),
            "a ${env:'X'}"
        );
    }
}
