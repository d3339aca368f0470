//! Opens connections of a source.

use connector_api::Result;

use crate::driver::{ConnectOptions, Session, SharedConnection, connect};
use crate::source::config::SourceConfig;

/// Connects to the source's database.
/// Errors: as [`connect`]; later errors of the session do not quote a masked query.
pub(crate) async fn open(
    config: &SourceConfig,
    options: ConnectOptions,
) -> Result<Box<dyn Session>> {
    let session = connect(&config.target, options).await?;
    Ok(if config.query_is_masked {
        Box::new(SharedConnection::new(session))
    } else {
        session
    })
}
