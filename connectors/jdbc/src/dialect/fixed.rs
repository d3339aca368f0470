//! SQL texts of the sink that are the same for all tables. Pure.

use connector_api::Value;

use crate::catalog::UniqueKeys;

/// SQL of the offsets table, see `sink::offsets`.
#[derive(Clone, Copy, Debug)]
pub struct OffsetsSql {
    /// Lists the tables of its name: schema, whether a name without schema means it, whether it can be read, whether it has
    /// the column `cluster`. Those that such a name means come first. `None`: there is but one place for it.
    pub places: Option<&'static str>,
    /// Makes the table; `{table}` is its name, here and below.
    pub create: &'static str,
    /// Bring a table up to date that has no column `cluster` yet.
    pub upgrade: &'static [&'static str],
    /// Adds a row for a partition if there is none: cluster, sink, topic, partition.
    pub seed: &'static str,
    /// An expression for the number of the session.
    pub session: &'static str,
    /// At the end of a SELECT: waits for and takes the row locks.
    pub lock: &'static str,
    /// Before claiming: how long to wait for a lock.
    pub short_wait: &'static [&'static str],
    /// After claiming.
    pub usual_wait: &'static [&'static str],
    /// Whether a session of that number is the same user's: returns a row if so.
    pub own_session: &'static str,
    /// Ends a session; `{}` is its number.
    pub end_session: &'static str,
}

/// How the unique indexes of a table are asked for, with the database and the name of the table.
#[derive(Clone, Copy)]
pub struct KeysSql {
    /// The query.
    pub sql: &'static str,
    /// Whether its rows tell of these.
    pub are: fn(&[Vec<Value>], UniqueKeys<'_>) -> bool,
}
