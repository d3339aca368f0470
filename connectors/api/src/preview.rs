//! What a connector would do, found out without doing it: what a source would read, what a sink
//! would change in its target.

use std::sync::Arc;
use std::time::Duration;

use crate::{Record, Schema, SourceOffset, SourcePartition};

/// Limits of a preview.
#[derive(Clone, Copy, Debug)]
pub struct PreviewLimits {
    /// Maximum number of tables that are examined.
    pub tables: usize,
    /// Maximum number of records in all.
    pub records: usize,
    /// Maximum size of the records in bytes.
    pub bytes: usize,
    /// How long to wait for a connection. The caller limits the whole preview.
    pub connect: Duration,
}

/// What a source would read. A preview that fails midway leaves in it what it has found.
#[derive(Debug, Default)]
pub struct SourcePreview {
    /// The tables, or the query.
    pub tables: Vec<TablePreview>,
    /// Number of further tables that were not examined.
    pub more_tables: usize,
    /// The first records, before transforms.
    pub records: Vec<Record>,
}

/// A table (or a query) as a source would read it.
#[derive(Debug, Default)]
pub struct TablePreview {
    /// Name of the table; empty for a query.
    pub table: String,
    /// The topic before transforms.
    pub topic: String,
    /// The partition of its stored offset.
    pub partition: SourcePartition,
    /// The stored offset from which reading continues; `None`: it begins at the beginning.
    pub offset: Option<SourceOffset>,
    /// True if every poll reads all rows again, whatever is stored.
    pub whole: bool,
    /// The first statement, with placeholders; `None` if it must not be shown, or is not known.
    pub statement: Option<String>,
    /// Columns of the primary key.
    pub key: Vec<String>,
    /// The columns.
    pub columns: Vec<ColumnPreview>,
    /// Number of rows as the database estimates it.
    pub rows_estimated: Option<u64>,
    /// Hints, such as a column that is carried as text.
    pub warnings: Vec<String>,
    /// Why the table cannot be read.
    pub error: Option<String>,
}

/// A column of a source, or of a target.
#[derive(Clone, Debug)]
pub struct ColumnPreview {
    /// Name of the column, as the database has it.
    pub column: String,
    /// Its SQL type: as it is, or as it would be created.
    pub sql_type: String,
    /// Name of the field of records.
    pub field: String,
    /// Schema of the field.
    pub schema: Arc<Schema>,
    /// True if it is part of the primary key.
    pub key: bool,
    /// True if the column would be created.
    pub new: bool,
    /// A hint, such as a column that is narrower than its field.
    pub warning: Option<String>,
}

/// What a sink would change in its target. A preview that fails midway leaves in it what it has
/// found.
#[derive(Debug, Default)]
pub struct SinkPreview {
    /// The tables.
    pub tables: Vec<TargetPreview>,
    /// Hints that concern no table in particular.
    pub warnings: Vec<String>,
}

/// A target table.
#[derive(Debug, Default)]
pub struct TargetPreview {
    /// Full name of the table.
    pub table: String,
    /// The topics whose records go there.
    pub topics: Vec<String>,
    /// True if the table exists.
    pub exists: bool,
    /// DDL in the order in which it would run.
    pub statements: Vec<String>,
    /// The columns that records fill.
    pub columns: Vec<ColumnPreview>,
    /// Hints.
    pub warnings: Vec<String>,
    /// Why records cannot be written.
    pub error: Option<String>,
}
