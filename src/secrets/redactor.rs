//! Removes known secrets from texts, in every form in which an error may quote them.

#![expect(
    clippy::indexing_slicing,
    reason = "the finder numbers its own patterns"
)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connector_api::Error;
use connector_api::shown::on_one_line;
use percent_encoding::utf8_percent_encode;

use super::SecretWords;
use crate::model::{NOT_IN_PATH, NOT_IN_USER, RESERVED};

/// Secrets with at least this many characters are found anywhere, even inside words.
const ANYWHERE: usize = 8;
/// Secrets with at least this many characters are found only as whole words; shorter ones only in
/// quotes.
const AS_A_WORD: usize = 4;

/// Values that are common words, hidden only in quotes.
const COMMON: &[&str] = &[
    "true",
    "false",
    "null",
    "none",
    "default",
    "password",
    "passwd",
    "secret",
    "user",
    "username",
    "admin",
    "root",
    "localhost",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "sqlite",
    "kafka",
    "connect",
    "connector",
    "public",
    "table",
    "tables",
    "column",
    "columns",
    "topic",
    "topics",
    "query",
    "test",
    "name",
    "value",
    "values",
    "keys",
    "error",
    "timestamp",
    "incrementing",
    "bulk",
    "upsert",
    "insert",
    "update",
    "delete",
    "select",
    "from",
    "where",
    "database",
    "schema",
    "server",
    "token",
    "rowferry",
    "example",
];

/// The context in which a secret is recognized, from the least to the most restrictive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MatchRule {
    Anywhere,
    Word,
    Quoted,
}

struct SecretForm {
    shown: Arc<str>,
    care: MatchRule,
}

/// Removes the secrets of one config from texts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<SecretFinder>>);

struct SecretFinder {
    automaton: AhoCorasick,
    forms: Vec<SecretForm>,
    identity: u64,
}

impl Redactor {
    /// Creates a redactor for these words.
    pub fn new(words: SecretWords) -> Self {
        let (mut patterns, mut forms, mut hasher) = (Vec::new(), Vec::new(), DefaultHasher::new());
        let mut seen = BTreeSet::new();
        for (word, shown) in words.iter() {
            (word, shown).hash(&mut hasher);
            let care = care(word);
            for pattern in all_forms(word, care) {
                if seen.insert(pattern.clone()) {
                    patterns.push(pattern);
                    forms.push(SecretForm {
                        shown: Arc::clone(shown),
                        care,
                    });
                }
            }
        }
        // Databases change the letter case of names.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .build(&patterns);
        let finder = automaton.ok().filter(|_| !forms.is_empty());
        Self(finder.map(|automaton| {
            Arc::new(SecretFinder {
                automaton,
                forms,
                identity: hasher.finish(),
            })
        }))
    }

    /// Replaces each secret in a text.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.hide_up_to(text, MatchRule::Quoted, str::to_owned)
    }

    /// Like [`Redactor::hide`], for a text that may be about other configs, where short secrets are
    /// probably unrelated words. `written` turns a replacement into the form it takes in the text.
    pub fn hide_elsewhere<'a>(
        &self,
        text: &'a str,
        written: impl Fn(&str) -> String,
    ) -> Cow<'a, str> {
        self.hide_up_to(text, MatchRule::Word, written)
    }

    /// Returns an error as it may leave its task.
    pub fn error(&self, error: Error) -> Error {
        error.shown(|text| self.hide(text).into_owned())
    }

    /// True if both hide the same words.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.0.as_ref().map(|finder| finder.identity)
            == other.0.as_ref().map(|finder| finder.identity)
    }

    /// True if it hides nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True if other clones of it exist.
    pub(super) fn is_in_use(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|finder| Arc::strong_count(finder) > 1)
    }

    fn hide_up_to<'a>(
        &self,
        text: &'a str,
        most: MatchRule,
        written: impl Fn(&str) -> String,
    ) -> Cow<'a, str> {
        let Some(finder) = &self.0 else {
            return text.into();
        };
        let mut found: Vec<(usize, usize, &SecretForm)> = finder
            .automaton
            .find_overlapping_iter(text)
            .map(|hit| {
                (
                    hit.start(),
                    hit.end(),
                    &finder.forms[hit.pattern().as_usize()],
                )
            })
            .filter(|(start, end, form)| {
                form.care <= most && stands_so(text, *start, *end, form.care)
            })
            .collect();
        if found.is_empty() {
            return text.into();
        }
        found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        let mut last: Option<&Arc<str>> = None;
        for (start, end, form) in found {
            // Merge matches that overlap, or that directly follow as the next piece of the same
            // secret.
            let goes_on =
                start < done || (start == done && last.is_some_and(|shown| **shown == *form.shown));
            if !(goes_on && last.is_some()) {
                out.push_str(&text[done..start]);
                out.push_str(&written(&form.shown));
                last = Some(&form.shown);
            }
            done = done.max(end);
        }
        out.push_str(&text[done..]);
        out.into()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

fn care(word: &str) -> MatchRule {
    let common = COMMON
        .iter()
        .any(|common| common.eq_ignore_ascii_case(word));
    match word.chars().count() {
        _ if common => MatchRule::Quoted,
        ANYWHERE.. => MatchRule::Anywhere,
        AS_A_WORD.. => MatchRule::Word,
        _ => MatchRule::Quoted,
    }
}

/// True if the text around a match lets it count as a secret.
fn stands_so(text: &str, start: usize, end: usize, care: MatchRule) -> bool {
    let (before, after) = (
        text[..start].chars().next_back(),
        text[end..].chars().next(),
    );
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match care {
        MatchRule::Anywhere => true,
        MatchRule::Word => !goes_on(before) && !goes_on(after),
        MatchRule::Quoted => {
            let in_quotes =
                before == after && before.is_some_and(|c| ['\'', '"', '`', '’'].contains(&c));
            in_quotes || (before == Some(':') && after == Some('@'))
        }
    }
}

/// Returns the secret as it is and as it appears in URLs, JSON, SQL, headers and our own texts.
fn all_forms(word: &str, care: MatchRule) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([word.to_owned()]);
    if care == MatchRule::Quoted {
        return forms;
    }
    let encoded = utf8_percent_encode(word, RESERVED).to_string();
    forms.insert(encoded.replace("%20", "+"));
    forms.insert(encoded);
    // Libraries do not encode these characters in user names and in paths.
    forms.insert(utf8_percent_encode(word, NOT_IN_USER).to_string());
    forms.insert(utf8_percent_encode(word, NOT_IN_PATH).to_string());
    let json = serde_json::to_string(word).unwrap_or_default();
    forms.insert(json.trim_matches('"').to_owned());
    forms.insert(word.escape_debug().to_string());
    forms.insert(word.escape_default().to_string());
    forms.insert(on_one_line(word).into_owned());
    for quote in ['\'', '"', '`'] {
        forms.insert(word.replace(quote, &format!("{quote}{quote}")));
    }
    forms.insert(word.replace('\\', "\\\\").replace('\'', "\\'"));
    forms.extend(base64_forms(word.as_bytes()));
    forms.retain(|form| !form.is_empty());
    forms
}

/// Returns the parts of base64 that depend on these bytes alone, at any offset within other bytes
/// (`user:password` in a header).
fn base64_forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, before)
            .chain(bytes.iter().copied())
            .collect();
        let first = (before * 8).div_ceil(6);
        let whole = padded.len() * 8 / 6;
        for text in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            if let Some(own) = text.get(first..whole).filter(|own| own.len() >= ANYWHERE) {
                forms.push(own.to_owned());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{Redactor, SecretWords};

    fn redactor(words: &[(&str, &str)]) -> Redactor {
        let mut all = SecretWords::default();
        words.iter().for_each(|(word, shown)| all.add(word, shown));
        Redactor::new(all)
    }

    #[test]
    fn secrets_are_replaced_in_every_form() {
        let secret = "CAN'ARY/\"4711 é\n";
        let hidden = redactor(&[(secret, "${env:X}")]);
        let word = secret.trim();
        for text in [
            format!("near '{word}'"),
            format!("near '{}'", word.replace('\'', "''")),
            format!("near '{}'", word.replace('\'', "\\'")),
            format!("{word:?}"),
            serde_json::to_string(word).unwrap(),
            "https://u:CAN%27ARY%2F%224711%20%C3%A9@h".to_owned(),
            "https://u:can%27ary%2f%224711+%c3%a9@h".to_owned(),
            format!("Basic {}", STANDARD.encode(format!("me:{word}"))),
            format!("Basic {}", STANDARD.encode(format!("user:{word}"))),
            format!("Basic {}", STANDARD.encode(format!("name1:{word}"))),
            format!("{} is unknown", word.to_lowercase()),
        ] {
            let shown = hidden.hide(&text);
            assert!(shown.contains("${env:X}"), "{text} is shown as {shown}");
            assert!(
                !shown.to_lowercase().contains("4711"),
                "{text} is shown as {shown}"
            );
        }
    }

    #[test]
    fn short_and_common_values_leave_texts_readable() {
        let hidden = redactor(&[
            ("1", "${a}"),
            ("id", "${b}"),
            ("true", "${c}"),
            ("secret", "********"),
            ("pw12", "****"),
        ]);
        for (text, want) in [
            (
                "column id of 1 is true, secretly",
                "column id of 1 is true, secretly",
            ),
            (
                "column 'id' is not in `1`",
                "column '${b}' is not in `${a}`",
            ),
            ("//u:secret@h", "//u:********@h"),
            (
                "using pw12, not pw123 or apw12",
                "using ****, not pw123 or apw12",
            ),
        ] {
            assert_eq!(hidden.hide(text), want);
        }
        assert_eq!(
            hidden.hide_elsewhere("'id' pw12", str::to_owned),
            "'id' ****"
        );
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_between_them() {
        let hidden = redactor(&[("abcdef12", "A"), ("ef12xyz9", "B"), ("abcdef12-long", "C")]);
        assert_eq!(hidden.hide("-abcdef12xyz9-abcdef12-long."), "-A-C.");
        assert_eq!(hidden.hide("abcdef12 abcdef12abcdef12"), "A A");
        assert_eq!(Redactor::default().hide("abc"), "abc");
    }
}
