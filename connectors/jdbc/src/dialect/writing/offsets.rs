//! The SQL of the table that holds the sink's offsets. Pure.

/// SQL of the offsets table, see `sink::offsets`.
#[derive(Clone, Copy, Debug)]
pub struct OffsetsSql {
    /// Lists the tables of that name: schema, whether the unqualified name resolves to it, whether
    /// it can be read, whether it has the column `cluster`. Those to which the unqualified name
    /// resolves come first. `None`: the database has only one place for the table.
    pub find_tables: Option<&'static str>,
    /// Creates the table; `{table}` is its name, here and below.
    pub create: &'static str,
    /// Upgrade a table that has no column `cluster` yet.
    pub upgrade: &'static [&'static str],
    /// Inserts a row for a partition if there is none: cluster, sink, topic, partition.
    pub seed: &'static str,
    /// An expression for the id of the session.
    pub session: &'static str,
    /// Appended to a SELECT: waits for and takes the row locks.
    pub lock: &'static str,
    /// Sent before partitions are claimed: set a short lock timeout.
    pub short_lock_timeout: &'static [&'static str],
    /// Sent after partitions are claimed: restore the usual lock timeout.
    pub usual_lock_timeout: &'static [&'static str],
    /// Returns a row if the session of that id belongs to the same user.
    pub own_session: &'static str,
    /// Ends a session; `{}` is its id.
    pub end_session: &'static str,
}
