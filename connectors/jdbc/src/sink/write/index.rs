//! Indexes with a type for what they count, so that a record is not taken for a table.

#![expect(
    clippy::indexing_slicing,
    reason = "this is where typed indexes are resolved"
)]

use std::ops::{Index, IndexMut};

use connector_api::SinkRecord;

use super::plan::WritePlan;
use super::target::TargetTable;

/// The place of a record in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordIndex(pub usize);

/// The place of a table among those of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableIndex(pub usize);

/// The place of a plan among those of its table, or among those of the task's statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanIndex(pub usize);

impl Index<RecordIndex> for [SinkRecord] {
    type Output = SinkRecord;

    fn index(&self, index: RecordIndex) -> &SinkRecord {
        &self[index.0]
    }
}

/// Lets the elements of a list be named by their index alone.
macro_rules! indexed {
    ($index:ty, $item:ty: $($list:ty),+) => {$(
        impl Index<$index> for $list {
            type Output = $item;

            fn index(&self, index: $index) -> &$item {
                &self[index.0]
            }
        }

        impl IndexMut<$index> for $list {
            fn index_mut(&mut self, index: $index) -> &mut $item {
                &mut self[index.0]
            }
        }
    )+};
}

indexed!(TableIndex, TargetTable: Vec<TargetTable>, [TargetTable]);
indexed!(PlanIndex, WritePlan: Vec<WritePlan>);

/// Some of the records of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordSet {
    sorted: Vec<RecordIndex>,
}

impl RecordSet {
    /// True if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// True if the record is one of them.
    pub(crate) fn contains(&self, record: RecordIndex) -> bool {
        self.sorted.binary_search(&record).is_ok()
    }
}

impl FromIterator<RecordIndex> for RecordSet {
    fn from_iter<I: IntoIterator<Item = RecordIndex>>(records: I) -> Self {
        let mut sorted: Vec<RecordIndex> = records.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}
