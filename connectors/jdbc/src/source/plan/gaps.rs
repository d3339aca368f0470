//! Sets of ids as ranges. Pure. Mainly the ids missing among those read, whose rows may still
//! appear; also the ids that deletion capture knows (`sweep`).
//!
//! Stored offsets carry them as text, so that a restarted task continues to ask for them:
//! `1021*3,9` are the ids 1021 to 1023, and the id 9 after 1023.

use std::collections::BTreeMap;

/// A set of ids, stored as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdGaps {
    /// Last id by first id; ranges neither touch nor overlap.
    ranges: BTreeMap<i64, i64>,
}

impl IdGaps {
    /// True if no id is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Returns first and last id of each range, in ascending order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// Returns the number of ids.
    pub(crate) fn ids(&self) -> u64 {
        self.ranges().fold(0, |sum, (first, last)| {
            sum.saturating_add(last.abs_diff(first)).saturating_add(1)
        })
    }

    /// Adds the ids missing between `before` and `id` and above `settled`; `step` is the usual
    /// distance between two ids.
    pub(crate) fn note(&mut self, before: i64, id: i64, settled: i64, step: i64) {
        if let Some((first, last)) = between(before, id, settled, step) {
            self.ranges.insert(first, last);
        }
    }

    /// Removes an id whose row has appeared. Returns whether it was missing.
    pub(crate) fn fill(&mut self, id: i64) -> bool {
        let Some((first, last)) = self.ranges.range(..=id).next_back().map(|(f, l)| (*f, *l))
        else {
            return false;
        };
        if id > last {
            return false;
        }
        self.ranges.remove(&first);
        if first < id {
            self.ranges.insert(first, id - 1);
        }
        if id < last {
            self.ranges.insert(id + 1, last);
        }
        true
    }

    /// Removes all ids up to `up_to`: no row can appear with them any more. Returns whether there
    /// were any.
    pub(crate) fn settle(&mut self, up_to: i64) -> bool {
        let mut removed = false;
        while let Some((first, last)) = self.ranges.first_key_value().map(|(f, l)| (*f, *l))
            && first <= up_to
        {
            removed = true;
            self.ranges.remove(&first);
            if last > up_to {
                self.ranges.insert(up_to + 1, last);
            }
        }
        removed
    }

    pub(crate) fn contains(&self, id: i64) -> bool {
        self.ranges
            .range(..=id)
            .next_back()
            .is_some_and(|(_, last)| id <= *last)
    }

    /// Adds the ids from `first` to `last`.
    pub(crate) fn insert(&mut self, first: i64, last: i64) {
        let (mut first, mut last) = (first, last);
        // Merge ranges that overlap or touch.
        while let Some((f, l)) = self
            .ranges
            .range(..=last.saturating_add(1))
            .next_back()
            .map(|(f, l)| (*f, *l))
            && l >= first.saturating_sub(1)
        {
            self.ranges.remove(&f);
            (first, last) = (first.min(f), last.max(l));
        }
        self.ranges.insert(first, last);
    }

    /// Removes the ids from `first` to `last`.
    pub(crate) fn remove(&mut self, first: i64, last: i64) {
        while let Some((f, l)) = self
            .ranges
            .range(..=last)
            .next_back()
            .map(|(f, l)| (*f, *l))
            && l >= first
        {
            self.ranges.remove(&f);
            if l > last {
                self.ranges.insert(last + 1, l);
            }
            if f < first {
                self.ranges.insert(f, first - 1);
            }
        }
    }

    /// Writes the ranges as text, as stored offsets carry them.
    pub(crate) fn write(&self) -> String {
        let (mut text, mut before) = (String::new(), 0i64);
        for (first, last) in self.ranges() {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(itoa::Buffer::new().format(first.wrapping_sub(before)));
            if last > first {
                text.push('*');
                text.push_str(itoa::Buffer::new().format(last.abs_diff(first).saturating_add(1)));
            }
            before = last;
        }
        text
    }

    /// Parses the text that [`Self::write`] returns. `None` if it is invalid.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mut ranges, mut before) = (BTreeMap::new(), 0i64);
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (skip, length) = item.split_once('*').unwrap_or((item, "1"));
            let (skip, length): (i64, u64) = (skip.parse().ok()?, length.parse().ok()?);
            let first = before.wrapping_add(skip);
            let last = first.checked_add_unsigned(length.checked_sub(1)?)?;
            if !ranges.is_empty() && first <= before {
                return None;
            }
            ranges.insert(first, last);
            before = last;
        }
        Some(Self { ranges })
    }
}

/// Returns the first and last id missing between two adjacent ids of a result, above `settled`.
/// Servers number rows from 1.
pub(crate) fn between(before: i64, id: i64, settled: i64, step: i64) -> Option<(i64, i64)> {
    let before = before.max(0);
    let first = before.saturating_add(1).max(settled.saturating_add(1));
    (id > before && id - before > step && first < id).then(|| (first, id - 1))
}

#[cfg(test)]
mod tests {
    use super::IdGaps;

    fn gaps(ids: &[i64], settled: i64, step: i64) -> IdGaps {
        let mut gaps = IdGaps::default();
        let mut before = -1;
        for id in ids {
            gaps.note(before, *id, settled, step);
            before = *id;
        }
        gaps
    }

    #[test]
    fn what_is_missing_is_kept_beyond_what_is_settled() {
        assert_eq!(
            gaps(&[1, 2, 5, 9], -1, 1).ranges().collect::<Vec<_>>(),
            [(3, 4), (6, 8)]
        );
        assert_eq!(
            gaps(&[1, 2, 5, 9], 6, 1).ranges().collect::<Vec<_>>(),
            [(7, 8)]
        );
        assert_eq!(gaps(&[4], -1, 1).ranges().collect::<Vec<_>>(), [(1, 3)]);
        assert!(gaps(&[3, 6, 9], -1, 3).is_empty());
        assert!(gaps(&[-5, -1, 0, 1], -1, 1).is_empty());
        assert_eq!(
            gaps(&[i64::MAX], i64::MAX - 2, 1)
                .ranges()
                .collect::<Vec<_>>(),
            [(i64::MAX - 1, i64::MAX - 1)]
        );
    }

    #[test]
    fn rows_that_come_late_fill_their_gap_once() {
        let mut gaps = gaps(&[1, 7], -1, 1);
        assert!(gaps.fill(4) && !gaps.fill(4) && !gaps.fill(1) && !gaps.fill(8));
        assert_eq!(gaps.ranges().collect::<Vec<_>>(), [(2, 3), (5, 6)]);
        assert!(gaps.fill(2) && gaps.fill(6));
        assert_eq!((gaps.len(), gaps.ids()), (2, 2));
        assert!(gaps.settle(3) && !gaps.settle(4));
        assert_eq!(gaps.ranges().collect::<Vec<_>>(), [(5, 5)]);
    }

    #[test]
    fn ranges_grow_together_and_are_cut() {
        let mut ids = IdGaps::default();
        for (first, last) in [
            (5, 6),
            (1, 1),
            (9, 9),
            (2, 2),
            (4, 4),
            (3, 3),
            (i64::MAX, i64::MAX),
        ] {
            ids.insert(first, last);
        }
        assert_eq!(
            ids.ranges().collect::<Vec<_>>(),
            [(1, 6), (9, 9), (i64::MAX, i64::MAX)]
        );
        ids.remove(3, 9);
        ids.remove(i64::MAX, i64::MAX);
        assert_eq!(ids.ranges().collect::<Vec<_>>(), [(1, 2)]);
        assert!(ids.contains(2) && !ids.contains(3) && !ids.contains(0));
        ids.insert(0, 20);
        ids.remove(5, 6);
        ids.remove(19, 30);
        assert_eq!(ids.ranges().collect::<Vec<_>>(), [(0, 4), (7, 18)]);
    }

    #[test]
    fn gaps_are_read_as_they_were_written() {
        for (ids, text) in [
            (&[1i64, 2][..], ""),
            (&[1020, 1024, 1033], "1*1019,1020*3,2*8"),
            (&[1, 3], "2"),
        ] {
            let gaps = gaps(ids, -1, 1);
            assert_eq!(IdGaps::read(&gaps.write()), Some(gaps.clone()));
            if ids[0] == 1 {
                assert_eq!(gaps.write(), text);
            }
        }
        for wrong in [
            "x",
            "1*",
            "*3",
            "5,0",
            "5,-1",
            "9223372036854775807*2",
            "1*0",
            "1 2",
        ] {
            assert_eq!(IdGaps::read(wrong), None, "{wrong}");
        }
    }
}
