//! What a column holds, as far as that decides whether a server would give a value another meaning. Pure.

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetColumnType {
    /// Days.
    Date,
    /// Times of day.
    Time {
        /// They have a zone.
        zoned: bool,
    },
    /// Dates with times of day.
    DateTime {
        /// The server reads the offset of a text by itself.
        zoned: bool,
        /// They are instants, whatever zone they are shown in.
        instant: bool,
    },
    /// MariaDB's YEAR.
    Year,
    /// PostgreSQL's interval.
    Interval,
    /// One of these texts (ENUM), or several (SET). A server takes a number, as text too, for their index.
    Choice(Vec<String>),
    /// So many bits, as a number whose text would be its characters' bytes.
    Bits(u32),
    /// Bits, written as text of zeros and ones; so many, or any number of them.
    BitText(Option<u32>),
    /// Whole numbers.
    Integer,
    /// Decimals and floats.
    Number,
    /// Truth values.
    Flag,
    /// Text.
    Text,
    /// Text of at most so many bytes, the rest of which the server cuts off in silence.
    ShortText(usize),
    /// PostgreSQL's bytes: a text there is read with its backslashes as escapes, a number by its digits.
    Bytes,
    /// SQLite's column of a type that it does not know: a text that is a number becomes that number.
    Loose,
    /// UUIDs.
    Uuid,
    /// Addresses of networks and of their cards, which are texts that a number may pass for: 1.5 is 1.5.0.0.
    Address,
    /// Anything else.
    Other,
}

impl TargetColumnType {
    /// Whether it holds points or spans of time.
    pub fn is_temporal(&self) -> bool {
        matches!(
            self,
            Self::Date | Self::Time { .. } | Self::DateTime { .. } | Self::Interval
        )
    }
}
