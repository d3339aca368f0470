//! Turns the operations on one table, in the order of their records, into statements with the same
//! outcome.
//!
//! Pure. Per key the last write wins, and operations that it makes pointless are dropped. The rest
//! is arranged so that operations on different keys share a statement and those on one key keep
//! their order. The database may treat strings as equal although their bytes differ (letter case,
//! accents, trailing spaces), so text keys are reordered only if their folded forms differ.

#![expect(
    clippy::indexing_slicing,
    reason = "positions are those of the operations that are grouped"
)]

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::index::{PlanIndex, RecordIndex};
use crate::sink::config::InsertMode;

/// One record's effect on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowOperation {
    pub record: RecordIndex,
    /// The plan of the record's shape.
    pub plan: PlanIndex,
    /// True if it deletes the row of its key.
    pub delete: bool,
}

/// Rows that one SQL text writes or deletes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowGroup {
    /// The plan of their shape.
    pub plan: PlanIndex,
    /// True if they are deleted.
    pub delete: bool,
    /// True if their keys are known to belong to different rows.
    pub distinct: bool,
    pub records: Vec<RecordIndex>,
}

impl RowGroup {
    fn of(op: &RowOperation) -> Self {
        Self {
            plan: op.plan,
            delete: op.delete,
            distinct: false,
            records: vec![op.record],
        }
    }
}

/// When the database treats two keys as the same row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyIdentity {
    /// Exactly when their bytes are equal.
    Exact,
    /// Perhaps also when they differ only as text.
    Text,
    /// Unknown (columns of one name have several types): every key may equal any other.
    Unknown,
}

/// The facts about the table and the shapes that grouping depends on.
pub(crate) struct GroupRules<'a> {
    pub mode: InsertMode,
    pub identity: KeyIdentity,
    /// True if pointless operations may be dropped and rows sorted. False if a second unique index
    /// makes rows depend on each other.
    pub compact: bool,
    /// True if the columns of the first shape include those of the second.
    pub covers: &'a dyn Fn(PlanIndex, PlanIndex) -> bool,
    /// True if the shape has every column of the table.
    pub complete: &'a dyn Fn(PlanIndex) -> bool,
}

/// The key of each operation as bytes, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct OperationKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl OperationKeys {
    /// Appends a key that `write` writes.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[n]]
    }
}

/// Groups operations on rows without a key, or whose keys cannot repeat: statements in the order of
/// arrival.
pub(crate) fn in_order(ops: &[RowOperation]) -> Vec<RowGroup> {
    let mut out: Vec<RowGroup> = Vec::new();
    for op in ops {
        match out.last_mut() {
            Some(rows) if (rows.plan, rows.delete) == (op.plan, op.delete) => {
                rows.records.push(op.record);
            }
            _ => out.push(RowGroup::of(op)),
        }
    }
    out
}

/// Splits statements before a key that repeats: PostgreSQL refuses to change a row twice in one
/// statement.
fn without_repeats(
    statements: Vec<RowGroup>,
    ops: &[RowOperation],
    keys: &OperationKeys,
) -> Vec<RowGroup> {
    let mut out = Vec::with_capacity(statements.len());
    let mut at = 0;
    for statement in statements {
        let mut seen = HashSet::new();
        let mut rows = RowGroup {
            records: Vec::new(),
            ..statement
        };
        for record in statement.records {
            debug_assert_eq!(
                ops[at].record, record,
                "statements in order hold the operations in order"
            );
            if !seen.insert(keys.get(at)) {
                seen.clear();
                seen.insert(keys.get(at));
                out.push(RowGroup {
                    records: std::mem::take(&mut rows.records),
                    ..rows
                });
            }
            rows.records.push(record);
            at += 1;
        }
        out.push(rows);
    }
    out
}

/// Groups operations whose keys are `keys`, one per operation in the same order.
pub(crate) fn by_key(
    ops: &[RowOperation],
    keys: &OperationKeys,
    rules: &GroupRules<'_>,
) -> Vec<RowGroup> {
    if !rules.compact {
        return without_repeats(in_order(ops), ops, keys);
    }
    let alive = if rules.mode == InsertMode::Insert {
        vec![true; ops.len()]
    } else {
        last_writes(ops, keys, rules)
    };
    let mut out = leveled(ops, keys, &alive, rules.identity);
    let ascii = || (0..ops.len()).all(|n| keys.get(n).is_ascii());
    if rules.mode == InsertMode::Insert
        || !(rules.identity == KeyIdentity::Exact || rules.identity == KeyIdentity::Text && ascii())
    {
        return out;
    }
    let operation_of: HashMap<RecordIndex, usize> = ops
        .iter()
        .enumerate()
        .map(|(n, op)| (op.record, n))
        .collect();
    for rows in &mut out {
        let class = |record: &RecordIndex| {
            operation_of
                .get(record)
                .map(|&n| class(keys.get(n), rules.identity))
        };
        // All tasks lock rows in the same order, so they do not deadlock. The sort is stable: keys
        // that may be one row keep their order.
        rows.records.sort_by_cached_key(class);
        rows.distinct = rows
            .records
            .windows(2)
            .all(|pair| class(&pair[0]) != class(&pair[1]));
    }
    out
}

/// Returns what all keys of one row have in common. ASCII texts are equal up to letter case, spaces
/// and control characters at most.
fn class(key: &[u8], identity: KeyIdentity) -> Cow<'_, [u8]> {
    match identity {
        KeyIdentity::Exact => Cow::Borrowed(key),
        _ => key
            .iter()
            .filter(|b| **b > b' ')
            .map(u8::to_ascii_lowercase)
            .collect(),
    }
}

/// Returns which operations still matter after later ones on the same key.
fn last_writes(ops: &[RowOperation], keys: &OperationKeys, rules: &GroupRules<'_>) -> Vec<bool> {
    let mut alive = vec![true; ops.len()];
    let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(ops.len());
    let mut before: Vec<Option<usize>> = vec![None; ops.len()];
    for (n, op) in ops.iter().enumerate() {
        let mut previous = last.get(keys.get(n)).copied();
        while let Some(p) = previous {
            let replaced = match (op.delete, ops[p].delete) {
                (true, _) => true,
                (false, false) => (rules.covers)(op.plan, ops[p].plan),
                (false, true) => rules.mode == InsertMode::Upsert && (rules.complete)(op.plan),
            };
            if !replaced {
                break;
            }
            alive[p] = false;
            previous = before[p];
        }
        if rules.mode == InsertMode::Update && !op.delete && previous.is_some_and(|p| ops[p].delete)
        {
            // the row was deleted: there is nothing to update
            alive[n] = false;
            continue;
        }
        before[n] = previous;
        last.insert(keys.get(n), n);
    }
    alive
}

/// Puts each operation into the first level after those that it must follow; operations within a
/// level commute.
fn leveled(
    ops: &[RowOperation],
    keys: &OperationKeys,
    alive: &[bool],
    identity: KeyIdentity,
) -> Vec<RowGroup> {
    let uniform = ops
        .iter()
        .all(|op| (op.plan, op.delete) == (ops[0].plan, ops[0].delete));
    if uniform || identity == KeyIdentity::Unknown {
        let left: Vec<_> = ops
            .iter()
            .zip(alive)
            .filter_map(|(op, alive)| alive.then_some(*op))
            .collect();
        return in_order(&left);
    }
    let mut levels: Vec<Vec<RowGroup>> = Vec::new();
    let mut last: HashMap<Vec<u8>, (usize, PlanIndex, bool)> = HashMap::with_capacity(ops.len());
    let folded = identity == KeyIdentity::Text
        && ops.iter().enumerate().all(|(n, _)| keys.get(n).is_ascii());
    for (n, op) in ops.iter().enumerate().filter(|(n, _)| alive[*n]) {
        let class = match identity {
            KeyIdentity::Exact => class(keys.get(n), identity).into_owned(),
            _ if folded => class(keys.get(n), identity).into_owned(),
            // non-ASCII text may equal any other
            _ => Vec::new(),
        };
        let level = match last.get(&class) {
            Some(&(level, plan, delete)) if (plan, delete) == (op.plan, op.delete) => level,
            Some(&(level, ..)) => level + 1,
            None => 0,
        };
        last.insert(class, (level, op.plan, op.delete));
        if levels.len() == level {
            levels.push(Vec::new());
        }
        let level = &mut levels[level];
        match level
            .iter_mut()
            .find(|rows| (rows.plan, rows.delete) == (op.plan, op.delete))
        {
            Some(rows) => rows.records.push(op.record),
            None => level.push(RowGroup::of(op)),
        }
    }
    levels.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::{
        GroupRules, InsertMode, KeyIdentity, OperationKeys, PlanIndex, RecordIndex, RowGroup,
        RowOperation, by_key,
    };

    /// Columns of the shapes of these tests; the table has 0, 1 and 2.
    const SHAPES: [&[usize]; 3] = [&[0, 1], &[0, 1, 2], &[1, 2]];

    /// A table: rows by key, and for each column the record that wrote it.
    type Table = BTreeMap<String, [Option<usize>; 3]>;

    fn apply(
        table: &mut Table,
        mode: InsertMode,
        delete: bool,
        shape: usize,
        key: &str,
        record: usize,
        fold: bool,
    ) {
        let key = if fold {
            key.to_lowercase()
        } else {
            key.to_owned()
        };
        if delete {
            table.remove(&key);
            return;
        }
        let fill = |row: &mut [Option<usize>; 3]| {
            SHAPES[shape].iter().for_each(|&c| row[c] = Some(record));
        };
        match (mode, table.get_mut(&key)) {
            (InsertMode::Upsert | InsertMode::Update, Some(row)) => fill(row),
            (InsertMode::Update, None) | (InsertMode::Insert, Some(_)) => {}
            (_, None) => {
                let mut row = [None; 3];
                fill(&mut row);
                table.insert(key, row);
            }
        }
    }

    fn plan(
        ops: &[RowOperation],
        texts: &[String],
        mode: InsertMode,
        identity: KeyIdentity,
        compact: bool,
    ) -> Vec<RowGroup> {
        let mut keys = OperationKeys::default();
        for text in texts {
            keys.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        let covers =
            |a: PlanIndex, b: PlanIndex| SHAPES[b.0].iter().all(|c| SHAPES[a.0].contains(c));
        let complete = |plan: PlanIndex| SHAPES[plan.0].len() == 3;
        by_key(
            ops,
            &keys,
            &GroupRules {
                mode,
                identity,
                compact,
                covers: &covers,
                complete: &complete,
            },
        )
    }

    #[test]
    fn last_write_wins_and_disjoint_keys_share_statements() {
        let ops = |list: &[(usize, bool)]| {
            list.iter()
                .enumerate()
                .map(|(record, &(shape, delete))| RowOperation {
                    record: RecordIndex(record),
                    plan: PlanIndex(shape),
                    delete,
                })
                .collect::<Vec<_>>()
        };
        let keys = |list: &[&str]| list.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>();
        let list = ops(&[(1, false), (1, false), (1, true), (1, false), (1, true)]);
        let texts = keys(&["a", "b", "a", "a", "c"]);
        assert_eq!(
            plan(&list, &texts, InsertMode::Upsert, KeyIdentity::Exact, true),
            [
                RowGroup {
                    plan: PlanIndex(1),
                    delete: false,
                    distinct: true,
                    records: vec![RecordIndex(3), RecordIndex(1)]
                },
                RowGroup {
                    plan: PlanIndex(1),
                    delete: true,
                    distinct: true,
                    records: vec![RecordIndex(4)]
                }
            ]
        );
        // inserts keep everything: insert, delete, insert
        let list = ops(&[(1, false), (1, true), (1, false), (1, false)]);
        let rows = plan(
            &list,
            &keys(&["a", "a", "a", "b"]),
            InsertMode::Insert,
            KeyIdentity::Exact,
            true,
        );
        let records: Vec<_> = rows.into_iter().map(|r| r.records).collect();
        let of = |records: &[usize]| records.iter().copied().map(RecordIndex).collect::<Vec<_>>();
        assert_eq!(records, [of(&[0, 3]), of(&[1]), of(&[2])]);
    }

    #[test]
    fn statements_have_the_outcome_of_row_by_row() {
        let mut numbers = testkit::Random::new();
        let mut random = move |below: usize| numbers.below(below as u64) as usize;
        for round in 0..3000 {
            let fold = random(2) == 0;
            let mode = [InsertMode::Upsert, InsertMode::Update, InsertMode::Insert][random(3)];
            let alphabet: &[&str] =
                [&["a", "b", "c", "A", "B"][..], &["a", "b", "é", "É"]][random(2)];
            let mut table = Table::new();
            for (n, key) in alphabet.iter().enumerate().filter(|_| round % 2 == 0) {
                apply(
                    &mut table,
                    InsertMode::Insert,
                    false,
                    1,
                    key,
                    1000 + n,
                    fold,
                );
            }
            let (mut ops, mut texts, mut expected) = (Vec::new(), Vec::new(), table.clone());
            for record in 0..random(14) {
                let (shape, delete, key) =
                    (random(3), random(3) == 0, alphabet[random(alphabet.len())]);
                let taken = expected.contains_key(&if fold {
                    key.to_lowercase()
                } else {
                    key.to_owned()
                });
                if mode == InsertMode::Insert && !delete && taken {
                    continue;
                }
                apply(&mut expected, mode, delete, shape, key, record, fold);
                ops.push(RowOperation {
                    record: RecordIndex(record),
                    plan: PlanIndex(shape),
                    delete,
                });
                texts.push(key.to_owned());
            }
            let identity = if fold {
                [KeyIdentity::Text, KeyIdentity::Unknown][random(2)]
            } else {
                KeyIdentity::Exact
            };
            let mut seen = table;
            let compact = random(4) > 0;
            for rows in plan(&ops, &texts, mode, identity, compact) {
                let keys: HashSet<_> = rows
                    .records
                    .iter()
                    .map(|r| &texts[ops.iter().position(|op| op.record == *r).unwrap()])
                    .collect();
                assert!(
                    keys.len() == rows.records.len()
                        || mode == InsertMode::Insert
                        || identity != KeyIdentity::Exact
                );
                if rows.distinct {
                    let fold = |text: &str| {
                        if fold {
                            text.to_lowercase()
                        } else {
                            text.to_owned()
                        }
                    };
                    let rows_of: HashSet<_> = keys.iter().map(|key| fold(key)).collect();
                    assert_eq!(rows_of.len(), rows.records.len(), "round {round}");
                }
                for record in rows.records {
                    let n = ops.iter().position(|op| op.record == record).unwrap();
                    apply(
                        &mut seen,
                        mode,
                        rows.delete,
                        rows.plan.0,
                        &texts[n],
                        record.0,
                        fold,
                    );
                }
            }
            assert_eq!(
                seen, expected,
                "round {round} {mode:?} {identity:?} {ops:?} {texts:?}"
            );
        }
    }
}
