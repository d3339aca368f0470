//! Finds uncommitted rows (MariaDB, MySQL): how many rows of a page of ids may be emitted.
//!
//! An id is assigned when a row is inserted; the row becomes visible when its transaction commits.
//! A reader that passes an id before its commit never sees the row. So after reading a page, the
//! ids of its range are read again including uncommitted ones: the page ends before the first id
//! that only the second read has. (Committed first, then uncommitted: a row committed in between
//! appears in the second read and is left for the next page.)

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of its plan, and a byte is one of 256"
)]

use std::collections::HashSet;

use connector_api::{Result, Value};

use crate::driver::Session;
use crate::source::plan::query;
use crate::source::plan::query::id_of;
use crate::source::plan::table::TablePlan;

/// Returns how many of the page's rows may be emitted; `None`: all.
pub(crate) async fn safe_rows(
    session: &mut dyn Session,
    plan: &TablePlan,
    id: usize,
    above: i64,
    rows: &[Box<[Value]>],
) -> Result<Option<usize>> {
    let dialect = session.dialect();
    let (Some(uncommitted), Some(column), Some(last)) = (
        dialect.capabilities().read_uncommitted,
        plan.shape.id.as_deref(),
        rows.last(),
    ) else {
        return Ok(None);
    };
    let up_to = id_of(&last[id])?;
    let committed = rows
        .iter()
        .map(|row| id_of(&row[id]))
        .collect::<Result<Vec<_>>>()?;
    let statement = query::fingerprint(&plan.table_sql, column, above, up_to, dialect);
    session.run(uncommitted).await?;
    let found = session.query(&statement.sql, &statement.params).await?;
    if found
        .first()
        .is_some_and(|row| is_fingerprint_of(row, &committed))
    {
        return Ok(None);
    }
    let statement = query::ids(&plan.table_sql, column, above, up_to, dialect);
    session.run(uncommitted).await?;
    let found = session.query(&statement.sql, &statement.params).await?;
    let found = found
        .iter()
        .filter_map(|row| row.first())
        .filter_map(number);
    Ok(first_missing(&committed, found)
        .map(|missing| committed.partition_point(|id| *id < missing)))
}

/// Returns the smallest id of `found` that is not in `committed`.
fn first_missing(committed: &[i64], found: impl Iterator<Item = i64>) -> Option<i64> {
    let committed: HashSet<i64> = committed.iter().copied().collect();
    found.filter(|id| !committed.contains(id)).min()
}

/// True if count, sum and sum of checksums are those of `ids`. Sums of ids alone would not
/// distinguish 1, 2, 5 from 1, 3, 4 (two rows deleted, two inserted in the middle).
fn is_fingerprint_of(row: &[Value], ids: &[i64]) -> bool {
    let [count, sum, checksums] = row else {
        return false;
    };
    let wanted_sum: i128 = ids.iter().map(|id| i128::from(*id)).sum();
    let mut text = itoa::Buffer::new();
    let wanted_checksums: i128 = ids
        .iter()
        .map(|id| i128::from(crc32(text.format(*id).as_bytes())))
        .sum();
    count.as_i64() == i64::try_from(ids.len()).ok()
        && whole(sum) == Some(wanted_sum)
        && whole(checksums) == Some(wanted_checksums)
}

/// Computes CRC-32 (ISO 3309), as `CRC32()` of MariaDB and MySQL does.
fn crc32(bytes: &[u8]) -> u32 {
    let step =
        |crc: u32, byte: &u8| CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8;
    !bytes.iter().fold(u32::MAX, step)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut n = 0u32;
    while n < 256 {
        let mut crc = n;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                0xedb8_8320 ^ crc >> 1
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[n as usize] = crc;
        n += 1;
    }
    table
};

fn whole(value: &Value) -> Option<i128> {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_str()?.parse().ok())
}

fn number(value: &Value) -> Option<i64> {
    whole(value).and_then(|n| n.try_into().ok())
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{crc32, first_missing, is_fingerprint_of};

    #[test]
    fn the_page_ends_before_the_first_id_not_committed() {
        assert_eq!(
            first_missing(&[1, 2, 5], [1, 2, 3, 4, 5].into_iter()),
            Some(3)
        );
        assert_eq!(first_missing(&[1, 2, 5], [1, 2].into_iter()), None);
    }

    #[test]
    fn a_fingerprint_distinguishes_sets_of_ids() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let row = |ids: &[i64]| {
            let text = |n: i128| Value::Text(n.to_string().into());
            let checksums = ids
                .iter()
                .map(|id| i128::from(crc32(id.to_string().as_bytes())))
                .sum();
            [
                Value::I64(ids.len() as i64),
                text(ids.iter().map(|id| i128::from(*id)).sum()),
                text(checksums),
            ]
        };
        assert!(is_fingerprint_of(&row(&[1, 2, 5]), &[1, 2, 5]));
        assert!(!is_fingerprint_of(&row(&[1, 2, 5]), &[1, 3, 4]));
        assert!(!is_fingerprint_of(&row(&[1, 2, 5]), &[1, 2]));
        assert!(is_fingerprint_of(&row(&[-2, i64::MAX]), &[-2, i64::MAX]));
    }
}
