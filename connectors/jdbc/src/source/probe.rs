//! Which privileges validation finds missing in the source's database.

use connector_api::{Report, Result};

use super::config::SourceConfig;
use super::tables;
use crate::catalog::TableName;
use crate::driver::Session;
use crate::privileges::{Account, Privilege};

/// How many tables are looked at.
const TABLES: usize = 200;

/// Reports the tables that cannot be read, and what keeps open transactions from being seen.
pub async fn privileges(
    session: &mut dyn Session,
    config: &SourceConfig,
    listed: &[TableName],
    report: &mut Report,
) -> Result<()> {
    let database = config.target.database_kind();
    let Some(account) = Account::of(session, database).await? else { return Ok(()) };
    if config.query.is_none()
        && let Ok(chosen) = tables::choose(&config.filter, listed.to_vec(), session.dialect())
    {
        let needs: Vec<_> = chosen.into_iter().take(TABLES).map(|id| (id, Privilege::Select)).collect();
        for text in account.missing(session, &needs).await? {
            report.error("connection.user", text);
        }
    }
    // Without it, stamps are trusted only after a while (`reader`).
    if config.gap_tracking
        && config.mode.has_stamp()
        && let Some(text) = account.blind(session).await?
    {
        report.warn("connection.user", text);
    }
    Ok(())
}
