//! Decides how many tasks there are, and what each reads.

use std::time::Duration;

use connector_api::{Config, Result, StoredOffsets, TaskPlan};

use super::assignments::{self, SplitStage};
use super::{probe, select};
use crate::driver::Session;
use crate::source::config::SourceConfig;
use crate::source::config::TaskShare;

/// How often planning checks whether a table's snapshot, shared by several tasks, is complete.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(3);

/// Plans the tasks: tables in groups and, while there are fewer tables than tasks, ranges of large
/// tables as far as `stored` allows.
pub(crate) async fn plan(
    config: &Config,
    max_tasks: usize,
    stored: Option<&dyn StoredOffsets>,
) -> Result<TaskPlan> {
    let read = SourceConfig::read(config)?;
    let mut session = super::connection::open(&read, read.connect).await?;
    if read.query.is_some() {
        session.close().await;
        return Ok(TaskPlan {
            tasks: vec![config.clone()],
            again_after: None,
        });
    }
    let plan = plan_tables(config, read, max_tasks, stored, &mut *session).await;
    session.close().await;
    plan
}

async fn plan_tables(
    config: &Config,
    read: SourceConfig,
    max_tasks: usize,
    stored: Option<&dyn StoredOffsets>,
    session: &mut dyn Session,
) -> Result<TaskPlan> {
    let read = &probe::understood(session, read).await?;
    let listed = probe::listed(session, read).await?;
    let dialect = session.dialect();
    let chosen = select::choose(read, &listed, dialect)?;
    let task = |list: String| {
        let mut task = config.clone();
        task.set("tables", list);
        task
    };
    // one task reads the log of a server, in its order
    let max_tasks = if read.cdc.is_some() { 1 } else { max_tasks };
    let groups = select::split(&chosen, max_tasks);
    let mut tasks: Vec<_> = groups
        .into_iter()
        .map(|group| task(select::join(group, dialect)))
        .collect();
    if tasks.is_empty() {
        // A task without tables reports in its status that there are none.
        tasks.push(task(String::new()));
    }
    let mut again_after = read.table_poll_interval;
    let (spare, mut helpers) = (max_tasks.saturating_sub(tasks.len()), Vec::new());
    let Some(stored) = stored.filter(|_| spare > 0) else {
        return Ok(TaskPlan {
            tasks,
            again_after: Some(again_after),
        });
    };
    // With tasks to spare, each table has a task of its own.
    for ((n, table), own) in chosen.iter().enumerate().zip(&mut tasks) {
        let of = 1 + spare / chosen.len() + usize::from(n < spare % chosen.len());
        let stage = if of > 1 {
            assignments::stage(table, read, stored, session).await?
        } else {
            SplitStage::One
        };
        if stage == SplitStage::One {
            continue;
        }
        again_after = again_after.min(SNAPSHOT_EVERY);
        let part = |n: usize| {
            let mut task = own.clone();
            task.set("snapshot.part", TaskShare { n, of }.to_string());
            task
        };
        helpers.extend((1..of).filter(|_| stage == SplitStage::Several).map(part));
        *own = part(0);
    }
    tasks.extend(helpers);
    Ok(TaskPlan {
        tasks,
        again_after: Some(again_after),
    })
}
