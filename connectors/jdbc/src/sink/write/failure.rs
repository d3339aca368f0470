//! Why a part of a batch could not be written, and which records it is about.

use connector_api::{Error, ErrorKind};

use super::index::{RecordIndex, TableIndex};

/// A failed statement, and the records that it wrote.
#[derive(Debug)]
pub(crate) struct WriteFailure {
    pub error: Error,
    /// The table that was written; `None` if the statement concerns no table, or one that only the
    /// user's SQL names.
    pub table: Option<TableIndex>,
    pub records: Vec<RecordIndex>,
}

impl WriteFailure {
    /// A statement about a table, but not about certain records.
    pub(crate) fn of_table(error: Error, table: TableIndex) -> Self {
        Self {
            table: Some(table),
            ..Self::from(error)
        }
    }

    /// A statement that wrote several records.
    pub(crate) fn of_records(error: Error, table: TableIndex, records: &[RecordIndex]) -> Self {
        Self {
            error,
            table: Some(table),
            records: records.to_vec(),
        }
    }

    /// A record that could not be written.
    pub(crate) fn of_record(error: Error, table: Option<TableIndex>, record: RecordIndex) -> Self {
        Self {
            error,
            table,
            records: vec![record],
        }
    }

    /// True if the database refused a record, so that a search for it makes sense.
    pub(crate) fn is_refusal(&self) -> bool {
        self.error.kind() == ErrorKind::Record
    }

    /// Prepends `prefix` and a colon to the error's text.
    #[must_use]
    pub(crate) fn context(self, prefix: impl std::fmt::Display) -> Self {
        Self {
            error: self.error.context(prefix),
            ..self
        }
    }
}

/// A failure of the transaction as a whole.
impl From<Error> for WriteFailure {
    fn from(error: Error) -> Self {
        Self {
            error,
            table: None,
            records: Vec::new(),
        }
    }
}
