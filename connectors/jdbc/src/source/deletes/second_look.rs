//! Queries the table for keys that a sweep has not found.

use connector_api::Result;

use crate::driver::Session;
use crate::source::plan::key_plan::KeyPlan;
use crate::source::plan::key_set::{KeySet, RowKey};
use crate::source::plan::query;

/// Looks up keys in the table. Returns those that exist, and those to which the database has no
/// equal key. A key that exists in another spelling (letter case, trailing blanks, according to the
/// column's collation) is in neither.
pub(super) async fn look_for(
    keys: &[RowKey],
    asked: usize,
    session: &mut dyn Session,
    plan: &KeyPlan,
) -> Result<(Vec<RowKey>, Vec<RowKey>)> {
    let (mut there, mut deleted) = (Vec::new(), Vec::new());
    if plan.numbers {
        let mut rest = KeySet::new(true);
        keys.iter().cloned().for_each(|key| rest.insert(key));
        let KeySet::Ids(ids) = &rest else {
            return Ok((there, keys.to_vec()));
        };
        let ranges: Vec<_> = ids.ranges().collect();
        for ranges in ranges.chunks(asked) {
            let statement = query::among_ids(plan, ranges, session.dialect());
            there.extend(read_keys(&statement, session, plan).await?);
        }
        for key in &there {
            rest.remove(key);
        }
        return Ok((there, rest.take(keys.len())));
    }
    let mut groups: Vec<Vec<RowKey>> = keys.chunks(asked).map(<[RowKey]>::to_vec).collect();
    while let Some(group) = groups.pop() {
        let values = group
            .iter()
            .map(|key| plan.values(key).ok_or_else(|| plan.unstorable()))
            .collect::<Result<Vec<_>>>()?;
        let statement = query::among(plan, &values, session.dialect());
        let found = read_keys(&statement, session, plan).await?;
        let (same, others): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|key| found.contains(key));
        match (others.len(), found.len() > same.len()) {
            // Look up the keys one by one to find which of them is spelled differently.
            (2.., true) => groups.extend(others.into_iter().map(|key| vec![key])),
            (_, true) => {}
            (_, false) => deleted.extend(others),
        }
        there.extend(same);
    }
    Ok((there, deleted))
}

async fn read_keys(
    statement: &query::SqlStatement,
    session: &mut dyn Session,
    plan: &KeyPlan,
) -> Result<Vec<RowKey>> {
    let page = session
        .read(&statement.sql, &statement.params, &plan.layout, usize::MAX)
        .await?;
    page.rows
        .iter()
        .map(|row| plan.key(row).ok_or_else(|| plan.unstorable()))
        .collect()
}
