//! Rows in the text format of PostgreSQL's COPY (its manual, "File Formats"). Pure.

use crate::dialect::writing::hex;

/// Rows to be sent by COPY.
#[derive(Debug, Default)]
pub struct CopyText {
    out: String,
}

impl CopyText {
    /// Appends a text, or the digits of a number.
    pub fn text(&mut self, value: &str) {
        let mut rest = value;
        while let Some(at) = rest.find(['\\', '\t', '\n', '\r']) {
            let (before, special) = rest.split_at(at);
            self.out.push_str(before);
            self.out.push('\\');
            self.out.push(match special.as_bytes().first() {
                Some(b'\t') => 't',
                Some(b'\n') => 'n',
                Some(b'\r') => 'r',
                _ => '\\',
            });
            rest = special.get(1..).unwrap_or_default();
        }
        self.out.push_str(rest);
        self.out.push('\t');
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.push_str("\\\\x");
        hex(bytes, &mut self.out);
        self.out.push('\t');
    }

    pub fn null(&mut self) {
        self.out.push_str("\\N\t");
    }

    /// Ends a row, which must have at least one value.
    pub fn end_row(&mut self) {
        self.out.pop();
        self.out.push('\n');
    }

    pub fn as_str(&self) -> &str {
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::CopyText;

    #[test]
    fn what_separates_values_and_rows_is_escaped_inside_them() {
        let mut rows = CopyText::default();
        rows.text("a\tb\nc\rd\\N é");
        rows.null();
        rows.bytes(&[0, 255]);
        rows.end_row();
        rows.text("");
        rows.text("\\.");
        rows.text("7");
        rows.end_row();
        assert_eq!(
            rows.as_str(),
            "a\\tb\\nc\\rd\\\\N é\t\\N\t\\\\x00FF\n\t\\\\.\t7\n"
        );
    }
}
