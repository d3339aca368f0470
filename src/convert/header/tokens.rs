//! Cuts text into the tokens of `org.apache.kafka.connect.data.Values`: delimiters, and what stands
//! between them.

/// Reads tokens from left to right. Every token is a part of the text; a place in it is a position
/// to go back to.
pub(super) struct HeaderTokens<'a> {
    text: &'a str,
    at: usize,
    /// A token looked at, not yet taken.
    peeked: Option<&'a str>,
}

impl<'a> HeaderTokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            peeked: None,
        }
    }

    pub(super) fn has_next(&self) -> bool {
        self.peeked.is_some() || self.at < self.text.len()
    }

    /// The place of the next token.
    pub(super) fn mark(&self) -> usize {
        self.at - self.peeked.map_or(0, str::len)
    }

    pub(super) fn rewind(&mut self, to: usize) {
        self.at = to;
        self.peeked = None;
    }

    /// What is left, from the next token on.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.mark()..).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> &'a str {
        match self.peeked.take() {
            Some(token) => token,
            None => self.scan(),
        }
    }

    /// Takes the next token if it is that one, white space around and before it aside.
    pub(super) fn consume(&mut self, expected: &str) -> bool {
        if !self.has_next() {
            return false;
        }
        let mut token = self.next();
        while token.trim().is_empty() && self.at < self.text.len() {
            token = self.scan();
        }
        let found = token.trim() == expected;
        if !found {
            self.peeked = Some(token);
        }
        found
    }

    /// The next token: one delimiter, or all up to the next delimiter that no backslash stands
    /// before.
    fn scan(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut escaped = false;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match c {
                '\\' => escaped = !escaped,
                ':' | ',' | '{' | '}' | '[' | ']' | '"' if !escaped => {
                    end = at.max(1);
                    break;
                }
                _ => escaped = false,
            }
        }
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}
