//! Decides which versions of configs to delete. Pure.

use std::collections::BTreeMap;

use super::change::HistoryLimits;

/// One version, without its config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HistoryEntry {
    pub(super) connector: String,
    pub(super) version: i64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub(super) at_ms: i64,
    /// True if it marks the connector's deletion.
    pub(super) deleted: bool,
}

/// Returns for each connector the version up to which its configs have to be deleted: everything of
/// connectors deleted long ago, then the oldest versions beyond the total. `entries` must be sorted
/// by connector and version. The last version of an existing connector is always kept.
pub(super) fn surplus(
    entries: &[HistoryEntry],
    limits: &HistoryLimits,
    now_ms: i64,
) -> BTreeMap<String, i64> {
    let mut cuts = BTreeMap::new();
    let mut candidates = Vec::new();
    let mut left = 0;
    for versions in entries.chunk_by(|a, b| a.connector == b.connector) {
        let Some(last) = versions.last() else {
            continue;
        };
        if last.deleted && now_ms.saturating_sub(last.at_ms) >= limits.deleted_ms {
            cuts.insert(last.connector.clone(), last.version);
            continue;
        }
        left += versions.len();
        candidates.extend(
            versions
                .iter()
                .filter(|entry| last.deleted || *entry != last),
        );
    }
    // Within a connector, older versions come first even if a clock has jumped.
    candidates.sort_by(|a, b| {
        (a.at_ms, &a.connector, a.version).cmp(&(b.at_ms, &b.connector, b.version))
    });
    for entry in candidates
        .into_iter()
        .take(left.saturating_sub(limits.total))
    {
        let cut = cuts.entry(entry.connector.clone()).or_insert(entry.version);
        *cut = entry.version.max(*cut);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::{HistoryEntry, HistoryLimits, surplus};

    fn entry(connector: &str, version: i64, at_ms: i64, deleted: bool) -> HistoryEntry {
        HistoryEntry {
            connector: connector.to_owned(),
            version,
            at_ms,
            deleted,
        }
    }

    fn cuts(entries: &[HistoryEntry], total: usize, now_ms: i64) -> Vec<(String, i64)> {
        surplus(
            entries,
            &HistoryLimits {
                versions: 100,
                total,
                deleted_ms: 1_000,
            },
            now_ms,
        )
        .into_iter()
        .collect()
    }

    #[test]
    fn deleted_connectors_are_forgotten_after_their_time() {
        let entries = [
            entry("gone", 1, 0, false),
            entry("gone", 2, 50, true),
            entry("here", 1, 0, false),
            entry("late", 7, 60, true),
        ];
        assert_eq!(cuts(&entries, 100, 1_049), []);
        assert_eq!(cuts(&entries, 100, 1_050), [("gone".to_owned(), 2)]);
    }

    #[test]
    fn the_oldest_go_first_and_the_last_of_each_that_lives_stays() {
        let entries = [
            entry("a", 1, 10, false),
            entry("a", 2, 40, false),
            entry("b", 5, 20, false),
            entry("b", 6, 30, false),
            entry("d", 1, 5, false),
            entry("d", 2, 35, true),
        ];
        assert_eq!(cuts(&entries, 6, 100), []);
        assert_eq!(
            cuts(&entries, 4, 100),
            [("a".to_owned(), 1), ("d".to_owned(), 1)]
        );
        assert_eq!(
            cuts(&entries, 0, 100),
            [
                ("a".to_owned(), 1),
                ("b".to_owned(), 5),
                ("d".to_owned(), 2)
            ]
        );
    }
}
