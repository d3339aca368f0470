//! Snapshot of a large table by several tasks: each reads ranges of its ids, and when all are done
//! one task continues from their end. Pure.
//!
//! Meanwhile the table's stored offset carries the bounds of the ranges beside an `incrementing`
//! that lies before them all, and each range has an offset of its own, under the table's partition
//! with a member `range`. Once they are done, the table's offset is again what the peers store, and
//! those of the ranges are deleted.

use connector_api::{Result, SourcePosition};

use super::offset::{self, SnapshotBounds, SourceProgress};
use crate::ident::TableId;
use crate::source::config::SourceConfig;

/// Ranges per task; with several, a range with more rows than the others does not delay the whole
/// snapshot.
const EACH: usize = 4;

/// The ranges into which a table's ids are split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRanges {
    /// Range `n` has the ids above `bounds[n]` up to `bounds[n + 1]`.
    bounds: SnapshotBounds,
}

/// One range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub n: usize,
    /// Exclusive lower bound.
    pub above: i64,
    /// Inclusive upper bound.
    pub up_to: i64,
}

impl SnapshotRanges {
    /// Splits the ids above `above`, of which `first` to `last` exist, into ranges of equal width,
    /// [`EACH`] per task.
    /// `None` if `last` is not above `above`.
    pub(crate) fn cut(above: i64, first: i64, last: i64, tasks: usize) -> Option<Self> {
        let count = tasks.max(1) * EACH;
        let width = (i128::from(last) - i128::from(first) + 1).max(1);
        let bound = |n: usize| i128::from(first) - 1 + width * n as i128 / count as i128;
        let inner = (1..count).filter_map(|n| i64::try_from(bound(n)).ok());
        let mut bounds: Vec<i64> = std::iter::once(above)
            .chain(inner.filter(|b| *b > above && *b < last))
            .chain([last])
            .collect();
        bounds.dedup();
        SnapshotBounds::new(bounds).map(Self::new)
    }

    /// Makes the ranges between stored bounds.
    pub(crate) fn new(bounds: SnapshotBounds) -> Self {
        Self { bounds }
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = KeyRange> + '_ {
        let pairs = self.bounds.as_slice().windows(2).enumerate();
        pairs.filter_map(|(n, pair)| {
            Some(KeyRange {
                n,
                above: *pair.first()?,
                up_to: *pair.get(1)?,
            })
        })
    }

    /// Returns the id before the first range.
    pub(crate) fn begin(&self) -> i64 {
        self.bounds.as_slice().first().copied().unwrap_or(-1)
    }

    /// Returns the last id of the last range.
    pub(crate) fn end(&self) -> i64 {
        self.bounds.as_slice().last().copied().unwrap_or(-1)
    }

    /// Returns the table's progress once all ranges are done.
    pub(crate) fn end_reached(&self) -> SourceProgress {
        SourceProgress {
            id: Some(self.end()),
            ..SourceProgress::default()
        }
    }

    /// Returns the share of all ids that remains of a range that has been read up to `reached`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate; an i64 might not hold the distance of two ids"
    )]
    pub(crate) fn share(&self, range: &KeyRange, reached: i64) -> f64 {
        // All have the same width, except the first, which also covers the ids below.
        let bounds = self.bounds.as_slice();
        let width = match bounds {
            [_, first, second, ..] => *second as f64 - *first as f64,
            _ => range.up_to as f64 - range.above as f64,
        };
        let left = (range.up_to as f64 - reached as f64) / width.max(1.0);
        left.clamp(0.0, 1.0) / (bounds.len() - 1).max(1) as f64
    }

    /// Returns the position of the table while its ranges are read.
    pub(crate) fn position(&self, id: &TableId, config: &SourceConfig) -> SourcePosition {
        let reached = SourceProgress {
            id: Some(self.begin()),
            snapshot: Some(self.bounds.clone()),
            ..SourceProgress::default()
        };
        SourcePosition {
            partition: offset::table(id, config.qualify),
            offset: Some(reached.write()),
        }
    }

    /// Returns the positions that end the snapshot: the table's own as the peers store it, and
    /// deletions of those of the ranges.
    pub(crate) fn over(&self, id: &TableId, config: &SourceConfig) -> Vec<SourcePosition> {
        let own = SourcePosition {
            partition: offset::table(id, config.qualify),
            offset: Some(self.end_reached().write()),
        };
        let range = |r: KeyRange| SourcePosition {
            partition: offset::range(id, config.qualify, r.n),
            offset: None,
        };
        std::iter::once(own)
            .chain(self.ranges().map(range))
            .collect()
    }

    /// Returns how far each range has been read, from its stored offset.
    pub(crate) async fn reached(
        &self,
        id: &TableId,
        config: &SourceConfig,
        stored: &dyn connector_api::StoredOffsets,
    ) -> Result<Vec<(KeyRange, SourceProgress)>> {
        let ranges: Vec<_> = self.ranges().collect();
        let partitions: Vec<_> = ranges
            .iter()
            .map(|r| offset::range(id, config.qualify, r.n))
            .collect();
        let found = stored.read(&partitions).await?;
        let reached = |(range, offset): (KeyRange, Option<connector_api::SourceOffset>)| {
            let reached = offset
                .map(|offset| SourceProgress::read(&offset))
                .transpose()?;
            let begin = SourceProgress {
                id: Some(range.above),
                ..SourceProgress::default()
            };
            Ok((range, reached.unwrap_or(begin)))
        };
        ranges.into_iter().zip(found).map(reached).collect()
    }
}

impl KeyRange {
    /// True if a reader with that progress has read the whole range.
    pub(crate) fn is_done(&self, reached: &SourceProgress) -> bool {
        reached.id.is_some_and(|id| id >= self.up_to) && reached.gaps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{SnapshotBounds, SnapshotRanges};

    #[test]
    fn ranges_cover_all_ids_once() {
        for (above, first, last, tasks) in [
            (-1, 1, 100, 2),
            (-1, 5, 5, 4),
            (40, 1, 100, 3),
            (-1, i64::MIN, i64::MAX, 4),
            (-1, 0, 3, 8),
        ] {
            let cut = SnapshotRanges::cut(above, first, last, tasks).unwrap();
            let ranges: Vec<_> = cut.ranges().collect();
            assert_eq!(
                (ranges[0].above, ranges[ranges.len() - 1].up_to),
                (above, last)
            );
            assert!(
                ranges.windows(2).all(|pair| pair[0].up_to == pair[1].above),
                "{cut:?}"
            );
            assert!(
                ranges.iter().all(|range| range.above < range.up_to),
                "{cut:?}"
            );
            assert!(ranges.len() <= tasks * 4);
            let stored = SnapshotBounds::read(&cut.bounds.write()).unwrap();
            assert_eq!(SnapshotRanges::new(stored), cut);
        }
        assert_eq!(
            SnapshotRanges::cut(-1, 1, 100, 1).unwrap().bounds.write(),
            "-1,25,50,75,100"
        );
        assert_eq!(SnapshotRanges::cut(5, 1, 5, 2), None);
    }

    #[test]
    fn shares_add_up() {
        let cut = SnapshotRanges::cut(-1, 1, 1000, 3).unwrap();
        let all: f64 = cut
            .ranges()
            .map(|range| cut.share(&range, range.above))
            .sum();
        assert!((all - 1.0).abs() < 0.01, "{all}");
        let last = cut.ranges().last().unwrap();
        assert_eq!(cut.share(&last, last.up_to), 0.0);
    }
}
