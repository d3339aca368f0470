//! Connections of a source.

use connector_api::Result;

use crate::driver::{ConnectOptions, Session, SharedConnection, connect};
use crate::source::config::SourceConfig;

/// A connection to a source's database. Errors: as [`connect`]; later ones quote no query that is masked.
pub async fn open(config: &SourceConfig, options: ConnectOptions) -> Result<Box<dyn Session>> {
    let session = connect(&config.target, options).await?;
    Ok(if config.query_is_masked {
        Box::new(SharedConnection::new(session))
    } else {
        session
    })
}
