//! What a column holds, as far as it decides whether a server would change the meaning of a value.
//! Pure.

/// What a column of the target table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetColumnType {
    /// Dates.
    Date,
    /// Times of day.
    Time {
        /// True if they have a time zone.
        zoned: bool,
    },
    /// Dates with times of day.
    DateTime {
        /// The server parses the UTC offset of a text itself.
        zoned: bool,
        /// The values are instants, in whatever zone they are displayed.
        instant: bool,
    },
    /// MariaDB's YEAR.
    Year,
    /// PostgreSQL's interval.
    Interval,
    /// One of these texts (ENUM), or several (SET). A server takes a number, also as text, for
    /// their index.
    Choice(Vec<String>),
    /// That many bits, written as a number; a text would be taken as its characters' bytes.
    Bits(u32),
    /// Bits written as a text of zeros and ones: that many, or a number that is not known.
    BitText(Option<u32>),
    /// The same, up to that many, or any number.
    VarBits(Option<u32>),
    /// PostgreSQL's amount of money: no text is an amount, too.
    Money,
    Integer,
    /// Decimals and floats.
    Number,
    Flag,
    Text,
    /// JSON, stored as text: a truth value would be a number.
    Json,
    /// Text of at most that many bytes; the server silently truncates longer text.
    ShortText(usize),
    /// PostgreSQL's bytes: the server interprets backslashes in a text as escapes, and stores a
    /// number's digits.
    Bytes,
    /// SQLite's column of an unknown type: a text that is a number becomes that number.
    Loose,
    Uuid,
    /// Network and MAC addresses. They are texts for which a number may pass: 1.5 is 1.5.0.0.
    Address,
    /// Shapes and points, in the database's own form.
    Spatial(SpatialFormat),
    /// PostgreSQL's hstore: a map of texts.
    Hstore,
    /// Anything else.
    Other,
}

/// The form in which a database takes a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpatialFormat {
    /// MySQL's and MariaDB's: the number of the reference system and the Well-Known Binary.
    MySql,
    /// PostGIS's text of hexadecimal digits (EWKB).
    PostGis,
    /// PostgreSQL's own point: `(x,y)`.
    Point,
}

impl TargetColumnType {
    /// True if the column holds points or spans of time.
    pub fn is_temporal(&self) -> bool {
        matches!(
            self,
            Self::Date | Self::Time { .. } | Self::DateTime { .. } | Self::Interval
        )
    }
}
