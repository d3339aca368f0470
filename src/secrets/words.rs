//! The secret words of a config: whole values, the parts of them that errors quote, and their
//! replacements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_api::shown::{MASK, passwords_in};
use percent_encoding::percent_decode_str;

/// Replacement for the value of a PASSWORD key.
const STARS: &str = "********";
/// Longer values, in bytes, are hidden in pieces, because errors never quote them as a whole.
const LONG: usize = 256;
/// Maximum size of such a piece, in bytes.
const PIECE: usize = 64;
/// Maximum number of bytes of a value that are examined.
const LOOKED_AT: usize = 64 * 1024;
/// Minimum size in bytes of a line or literal to count as a secret of its own.
const LEAST_PART: usize = 4;

/// Secret values, each with its replacement.
#[derive(Clone, Default)]
pub struct SecretWords(BTreeMap<String, Arc<str>>);

impl SecretWords {
    /// Adds a value, its lines, and its pieces if it is long. Does not replace existing words.
    pub fn add(&mut self, value: &str, shown: &str) {
        let (value, shown) = (up_to(value.trim(), LOOKED_AT), Arc::from(shown));
        if value.len() <= LONG {
            self.put(value, &shown);
        }
        if value.len() > LONG || value.contains('\n') {
            for line in value
                .lines()
                .map(str::trim)
                .filter(|line| line.len() >= 2 * LEAST_PART)
            {
                pieces(line).for_each(|piece| self.put(piece, &shown));
            }
        }
    }

    fn put(&mut self, word: &str, shown: &Arc<str>) {
        if !word.is_empty() {
            self.0
                .entry(word.to_owned())
                .or_insert_with(|| Arc::clone(shown));
        }
    }

    /// Adds the value of a secret key and the secrets within it: the password of `user:password`
    /// and of login modules, and the literals of a query. `reference` is the value as written
    /// (`${…}`), if that may be shown.
    pub fn add_secret(&mut self, value: &str, reference: Option<&str>) {
        let shown = reference.unwrap_or(STARS);
        self.add(value, shown);
        let value = up_to(value, LOOKED_AT);
        let quoted = literals(value);
        if quoted.is_empty() && !value.contains(char::is_whitespace) && !value.contains("//") {
            let password = value.split_once(':').map(|(_, password)| password);
            password
                .filter(|password| password.len() >= LEAST_PART)
                .into_iter()
                .for_each(|p| self.add(p, shown));
        }
        for literal in quoted
            .into_iter()
            .filter(|literal| literal.trim().len() >= LEAST_PART)
        {
            self.add(literal, shown);
        }
    }

    /// Adds the passwords of a value that is a URL, or contains one among its parameters.
    pub fn add_passwords_in(&mut self, value: &str) {
        for range in passwords_in(up_to(value, LOOKED_AT)) {
            self.add(&value[range.clone()], MASK);
            self.add(&percent_decode_str(&value[range]).decode_utf8_lossy(), MASK);
        }
    }

    /// Removes words that also appear openly in the config, where they cannot be distinguished.
    pub fn forget<'a>(&mut self, open: impl Iterator<Item = &'a str>) {
        let open: BTreeSet<&str> = open.map(str::trim).collect();
        self.0.retain(|word, _| !open.contains(word.as_str()));
    }

    /// Adds the words of `others` that are not present yet.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        for (word, shown) in &others.0 {
            self.0
                .entry(word.clone())
                .or_insert_with(|| Arc::clone(shown));
        }
        self
    }

    /// Iterates over the words and their replacements.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.0.iter().map(|(word, shown)| (word.as_str(), shown))
    }
}

/// Returns the longest prefix of at most `bytes` bytes.
fn up_to(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let piece = up_to(line, PIECE);
        line = &line[piece.len()..];
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns the quoted parts: values in SQL, in login modules and in JSON.
fn literals(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['\'', '"']) {
        let (quote, inner) = (&rest[at..=at], &rest[at + 1..]);
        let Some(end) = inner.find(quote) else { break };
        found.push(&inner[..end]);
        rest = &inner[end + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::SecretWords;

    fn shown(words: &SecretWords) -> Vec<&str> {
        words.iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn parts_of_secrets_are_secret_too() {
        let mut words = SecretWords::default();
        words.add_secret("me:geheim", None);
        words.add_secret("Plain required username=\"ann\" password=\"s3cret\";", None);
        words.add_secret("SELECT 1 FROM t WHERE pin='4711' AND a = 'x'", None);
        words.add_passwords_in("jdbc:mysql://u:a%2Fbc@h/d");
        for part in ["geheim", "me:geheim", "s3cret", "4711", "a%2Fbc", "a/bc"] {
            assert!(shown(&words).contains(&part), "{part}: {:?}", shown(&words));
        }
        assert!(!shown(&words).contains(&"x"));
        words.forget(["s3cret"].into_iter());
        assert!(!shown(&words).contains(&"s3cret"));
    }

    #[test]
    fn long_values_are_kept_in_pieces_and_bounded() {
        let mut words = SecretWords::default();
        words.add(
            &format!(
                "-----BEGIN KEY-----\n{}\n{}\n",
                "é".repeat(100),
                "b".repeat(3_000_000)
            ),
            "${x}",
        );
        let all = shown(&words);
        assert!(
            all.contains(&"-----BEGIN KEY-----") && all.iter().all(|word| word.len() <= 64),
            "{all:?}"
        );
    }
}
