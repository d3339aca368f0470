//! Rows in the text format of PostgreSQL's COPY (its manual, "File Formats"). Pure.

#![expect(clippy::indexing_slicing, reason = "a RecordIndex is of the batch")]

use connector_api::text::append;
use connector_api::{Error, SinkRecord};

use super::index::RecordIndex;
use super::plan::WritePlan;
use super::size::SizeLimits;
use crate::dialect::writing::hex;
use crate::driver::CopyRows;

/// Rows to be sent by COPY.
#[derive(Debug, Default)]
pub struct CopyText {
    out: String,
}

impl CopyText {
    /// Appends a text, or the digits of a number.
    pub fn text(&mut self, value: &str) {
        let mut rest = value;
        // a search for bytes: one for characters decodes each of them
        let is_special = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
        while let Some(at) = rest.as_bytes().iter().position(is_special) {
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

    /// Appends what a format gives without any character that is special.
    pub fn plain(&mut self, value: std::fmt::Arguments<'_>) {
        append(&mut self.out, value);
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

    /// Drops the rows, which have been sent.
    pub fn clear(&mut self) {
        self.out.clear();
    }
}

/// Bytes of rows that are sent together.
const PART_BYTES: usize = 64 << 10;

/// The rows of records, made part by part.
pub(crate) struct RecordRows<'a> {
    plan: &'a WritePlan,
    batch: &'a [SinkRecord],
    largest: SizeLimits,
    left: std::slice::Iter<'a, RecordIndex>,
    text: CopyText,
    /// The record that has no row, and why.
    pub(crate) failure: Option<(Error, RecordIndex)>,
}

impl<'a> RecordRows<'a> {
    pub(crate) fn new(
        plan: &'a WritePlan,
        batch: &'a [SinkRecord],
        records: &'a [RecordIndex],
        largest: SizeLimits,
    ) -> Self {
        Self {
            plan,
            batch,
            largest,
            left: records.iter(),
            text: CopyText::default(),
            failure: None,
        }
    }
}

impl CopyRows for RecordRows<'_> {
    fn next_part(&mut self) -> Option<&str> {
        self.text.clear();
        while self.text.as_str().len() < PART_BYTES {
            let Some(&record) = self.left.next() else {
                break;
            };
            let row = self
                .plan
                .copy_row(&self.batch[record], self.largest, &mut self.text);
            if let Err(error) = row {
                self.failure = Some((error, record));
                self.left = [].iter();
                return None;
            }
        }
        Some(self.text.as_str()).filter(|part| !part.is_empty())
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
