//! Records which keys code reads, for tests that compare them with the declared keys.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::ConfigKey;

thread_local! {
    /// Keys read so far while [`keys_asked`] runs; `None` outside of it.
    static ASKED: RefCell<Option<BTreeSet<String>>> = const { RefCell::new(None) };
}

/// Runs `work` and returns the keys that it reads by name from any [`Config`](super::Config) on
/// this thread.
pub fn keys_asked(work: impl FnOnce()) -> BTreeSet<String> {
    ASKED.with_borrow_mut(|asked| *asked = Some(BTreeSet::new()));
    work();
    ASKED.with_borrow_mut(Option::take).unwrap_or_default()
}

/// Returns one text per difference between the declared keys and the keys read; empty if they
/// agree. A key declared as [without effect](ConfigKey::without_effect) must not be read.
pub fn unlike(declared: &[ConfigKey], asked: &BTreeSet<String>) -> Vec<String> {
    let wrong = |key: &ConfigKey| match (asked.contains(key.name), key.idle) {
        (true, true) => Some(format!(
            "{} is declared to be without effect, but it is read",
            key.name
        )),
        (false, false) => Some(format!("{} is declared but never read", key.name)),
        _ => None,
    };
    let known = |name: &str| {
        declared
            .iter()
            .any(|key| key.name == name || key.aliases.contains(&name))
    };
    let undeclared = asked
        .iter()
        .filter(|name| !known(name))
        .map(|name| format!("{name} is read but not declared"));
    declared
        .iter()
        .filter_map(wrong)
        .chain(undeclared)
        .collect()
}

pub(super) fn note(name: &str) {
    ASKED.with_borrow_mut(|asked| {
        if let Some(asked) = asked
            && !asked.contains(name)
        {
            asked.insert(name.to_owned());
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{ConfigKey, ConfigType, DefaultValue};
    use super::unlike;

    #[test]
    fn every_difference_is_named() {
        let key = |name| ConfigKey::new(name, ConfigType::Int, DefaultValue::Null, "", "");
        let keys = [
            key("a"),
            key("b"),
            key("c").aliases(&["see"]),
            key("d").without_effect(),
            key("e").without_effect(),
        ];
        let asked: BTreeSet<_> = ["a", "see", "c", "d", "f"].map(str::to_owned).into();
        let wrong = [
            "b is declared but never read",
            "d is declared to be without effect, but it is read",
            "f is read but not declared",
        ];
        assert_eq!(unlike(&keys, &asked), wrong);
    }
}
