//! The order of versions as defined by Maven (`ComparableVersion`): `1.0-rc1`, `1.0`, `1.0.1`,
//! `1.10`.
//!
//! A version is a list of numbers and words. Its last element may be a nested list: the part after
//! a hyphen, or after a change between digits and letters.

use std::cmp::Ordering;
use std::fmt;

/// Qualifiers before and after a release, in order; the empty one is the release itself. Unknown
/// qualifiers sort after them.
const WORDS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];
const RELEASE: &str = "";

/// A version as written, and parsed.
#[derive(Clone, Debug)]
pub(super) struct PluginVersion {
    text: String,
    /// The lists from the outside in; each contains the next one as its last element.
    lists: Vec<Vec<VersionPart>>,
}

#[derive(Clone, Debug)]
enum VersionPart {
    /// Digits without leading zeros; empty for zero.
    Number(String),
    /// Lower-case, with abbreviations expanded.
    Word(String),
}

/// An element of a list, for comparison.
#[derive(Clone, Copy)]
enum VersionElement<'a> {
    Part(&'a VersionPart),
    List(&'a [Vec<VersionPart>]),
}

impl PluginVersion {
    /// Parses a version; every text is one.
    pub(super) fn new(text: &str) -> Self {
        let (mut lists, mut list) = (Vec::new(), Vec::new());
        let lower = text.to_lowercase();
        let mut rest = lower.as_str();
        while !rest.is_empty() {
            let digits = rest.starts_with(|c: char| c.is_ascii_digit());
            let end = rest.find(|c: char| c == '.' || c == '-' || c.is_ascii_digit() != digits);
            let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
            let next = behind.chars().next();
            let before_digit = next.is_some_and(|c| c.is_ascii_digit());
            // A word at the end or before a number starts a nested list even after a dot.
            if !digits && !token.is_empty() && (next.is_none() || before_digit) && !list.is_empty()
            {
                lists.push(std::mem::take(&mut list));
            }
            list.push(VersionPart::new(token, digits, before_digit));
            if next.is_some_and(|c| c != '.') {
                lists.push(std::mem::take(&mut list));
            }
            rest = behind.strip_prefix(['.', '-']).unwrap_or(behind);
        }
        lists.push(list);
        for list in &mut lists {
            while list.last().is_some_and(VersionPart::is_nothing) {
                list.pop();
            }
        }
        while lists.len() > 1 && lists.last().is_some_and(Vec::is_empty) {
            lists.pop();
        }
        Self {
            text: text.to_owned(),
            lists,
        }
    }

    /// Compares as Maven does. Not an [`Ord`]: the rules are not transitive for words after dots.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        compare(&self.lists, &other.lists)
    }
}

impl PartialEq for PluginVersion {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for PluginVersion {}

impl fmt::Display for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl VersionPart {
    fn new(token: &str, digits: bool, before_digit: bool) -> Self {
        if digits || token.is_empty() {
            return Self::Number(token.trim_start_matches('0').to_owned());
        }
        let usual = match token {
            "a" if before_digit => "alpha",
            "b" if before_digit => "beta",
            "m" if before_digit => "milestone",
            "cr" => "rc",
            "ga" | "final" | "release" => RELEASE,
            other => other,
        };
        Self::Word(usual.to_owned())
    }

    /// True if the part makes no difference at the end of a version.
    fn is_nothing(&self) -> bool {
        self.against_nothing() == Ordering::Equal
    }

    fn against_nothing(&self) -> Ordering {
        match self {
            Self::Number(digits) if digits.is_empty() => Ordering::Equal,
            Self::Number(_) => Ordering::Greater,
            Self::Word(word) => place(word).cmp(&place(RELEASE)),
        }
    }
}

/// Returns the position of a qualifier in the order, and the text that decides among unknown ones.
fn place(word: &str) -> (usize, &str) {
    match WORDS.iter().position(|known| *known == word) {
        Some(at) => (at, ""),
        None => (WORDS.len(), word),
    }
}

fn element(lists: &[Vec<VersionPart>], at: usize) -> Option<VersionElement<'_>> {
    let (first, inner) = lists.split_first()?;
    match first.get(at) {
        Some(part) => Some(VersionElement::Part(part)),
        None if at == first.len() && !inner.is_empty() => Some(VersionElement::List(inner)),
        None => None,
    }
}

/// Compares lists element by element; a missing element counts as nothing.
fn compare(a: &[Vec<VersionPart>], b: &[Vec<VersionPart>]) -> Ordering {
    let mut at = 0;
    loop {
        let order = match (element(a, at), element(b, at)) {
            (None, None) => return Ordering::Equal,
            (Some(a), None) => a.against_nothing(),
            (None, Some(b)) => b.against_nothing().reverse(),
            (Some(a), Some(b)) => a.compare(b),
        };
        if order != Ordering::Equal {
            return order;
        }
        at += 1;
    }
}

impl VersionElement<'_> {
    fn against_nothing(self) -> Ordering {
        match self {
            Self::Part(part) => part.against_nothing(),
            Self::List(lists) => compare(lists, &[]),
        }
    }

    /// Elements of different kinds: a number sorts after a list, and a list after a word.
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::List(a), Self::List(b)) => compare(a, b),
            (Self::Part(VersionPart::Number(a)), Self::Part(VersionPart::Number(b))) => {
                (a.len(), a).cmp(&(b.len(), b))
            }
            (Self::Part(VersionPart::Word(a)), Self::Part(VersionPart::Word(b))) => {
                place(a).cmp(&place(b))
            }
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }

    fn kind(self) -> u8 {
        match self {
            Self::Part(VersionPart::Word(_)) => 0,
            Self::List(_) => 1,
            Self::Part(VersionPart::Number(_)) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::PluginVersion;

    /// Versions in the order of Maven 3.9.6.
    const ORDERED: &[&[&str]] = &[
        &[""],
        &["nonsense"],
        &["v1"],
        &["0.1.0-alpha.1"],
        &["0.1.0-rc.1"],
        &["0.1.0-rc.2"],
        &["0.1.0"],
        &["1-a1"],
        &["1-alpha-2"],
        &["1-alpha.1"],
        &["1-beta"],
        &["1-b2"],
        &["1-m1"],
        &["1-milestone-2"],
        &["1-rc"],
        &["1-cr1"],
        &["1.rc2"],
        &["1-snapshot"],
        &["1", "1.0.0", "1-ga", "1.final"],
        &["1-sp"],
        &["1-sp1"],
        &["1.0+build"],
        &["1_1"],
        &["1-abc"],
        &["1-x.0", "1-x"],
        &["1-xyz"],
        &["1-0.1"],
        &["1-1", "1.-1"],
        &["1-2"],
        &["1.0.1-rc1"],
        &["1.0.1", "1..1"],
        &["1.1"],
        &["1.2"],
        &["1.9"],
        &["1.10"],
        &["2.0-beta"],
        &["2"],
        &["99999999999999999999"],
        &["100000000000000000000"],
    ];

    #[test]
    fn versions_are_ordered_as_maven_orders_them() {
        let all = || {
            ORDERED
                .iter()
                .enumerate()
                .flat_map(|(at, same)| same.iter().map(move |text| (at, text)))
        };
        for (a_at, a) in all() {
            for (b_at, b) in all() {
                assert_eq!(
                    PluginVersion::new(a).compare(&PluginVersion::new(b)),
                    a_at.cmp(&b_at),
                    "{a} and {b}"
                );
            }
        }
        // A word in the middle belongs to the list of the numbers.
        assert_eq!(
            PluginVersion::new("1.xyz.1").compare(&PluginVersion::new("1-alpha")),
            Ordering::Less
        );
    }
}
