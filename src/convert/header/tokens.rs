//! Splits text into the tokens of `org.apache.kafka.connect.data.Values`: delimiters, and the text
//! between them.

/// Reads tokens from left to right. Every token is a slice of the text, and a position can be
/// returned to.
pub(super) struct HeaderTokens<'a> {
    text: &'a str,
    at: usize,
    /// The next token, if it was peeked at.
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

    /// Returns the position of the next token.
    pub(super) fn mark(&self) -> usize {
        self.at - self.peeked.map_or(0, str::len)
    }

    pub(super) fn rewind(&mut self, to: usize) {
        self.at = to;
        self.peeked = None;
    }

    /// Returns the rest of the text, from the next token on.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.mark()..).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> &'a str {
        match self.peeked.take() {
            Some(token) => token,
            None => self.scan(),
        }
    }

    /// Consumes the next token if it equals `expected`, ignoring white space around it and before
    /// it.
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

    /// Scans the next token: one delimiter, or all text up to the next unescaped delimiter.
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
