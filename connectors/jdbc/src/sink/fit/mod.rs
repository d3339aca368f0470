//! Values that a server would give another meaning in the column they go to: made what they mean, or refused.
//!
//! Pure. What is to be done follows from the schema and the column's type, once for each column of a shape; most need
//! nothing. Servers read a number in a DATE column by its digits, in an ENUM as an index; a text in a BIT column by its
//! bytes; a text with an offset as if it had none.

mod number;
#[cfg(test)]
mod tests;
mod text;

pub use self::number::clock;

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Schema, Type};

use super::config::TimeRules;
use crate::dialect::holds::Holds;
use crate::driver::Param;
use crate::url::Database;

/// What values are, by their schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A truth value.
    Flag,
    /// An integer; `byte`: of 8 bits.
    Whole {
        /// It has 8 bits.
        byte: bool,
    },
    /// A float.
    Fraction,
    /// A decimal, bound as text.
    Decimal,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A date.
    Day,
    /// A time of day.
    OfDay,
    /// A date and time.
    Moment,
    /// A span of time in microseconds.
    Span,
    /// What is not bound as one value.
    Other,
}

impl What {
    /// What the values of a schema are, logical types aside.
    pub fn plain(schema: &Schema) -> Self {
        match schema.ty {
            Type::Boolean => Self::Flag,
            Type::Int8 => Self::Whole { byte: true },
            Type::Int16 | Type::Int32 | Type::Int64 => Self::Whole { byte: false },
            Type::Float32 | Type::Float64 => Self::Fraction,
            Type::String => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::Array | Type::Map | Type::Struct => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Flag => "a boolean",
            Self::Whole { .. } => "a whole number",
            Self::Fraction => "a float",
            Self::Decimal => "a decimal",
            Self::Text => "a text",
            Self::Bytes => "bytes",
            Self::Day => "a date",
            Self::OfDay => "a time of day",
            Self::Moment => "a date and time",
            Self::Span => "a span of time",
            Self::Other => "a nested value",
        }
    }
}

/// What is done to a column's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    /// Nothing: the server takes them for what they are, or refuses them.
    Open,
    /// They have no place in the column; nulls have.
    Refused(Arc<str>),
    /// Of a date and time its date.
    DatePart,
    /// Of a date and time its time of day.
    TimePart,
    /// Text that has to be a date.
    DateText,
    /// Text that has to be a time of day; whether the column keeps its zone.
    TimeText(bool),
    /// Text that has to be a date and time; whether the column reads its offset.
    MomentText(bool),
    /// Text that has to be a year.
    YearText,
    /// Text that has to be an interval.
    IntervalText,
    /// A number that has to be a year.
    Year,
    /// A date that has to be a year's first.
    YearOfDay,
    /// A span as an interval.
    Interval,
    /// A span as hours, minutes and seconds.
    Clock,
    /// One of these, never an index of one.
    Choice(Arc<[String]>),
    /// So many bits as a number; whether negative numbers are bytes.
    Bits(u32, bool),
    /// So many bits as text of zeros and ones.
    BitText(u32, bool),
    /// A whole number, of a text or a number with fraction.
    Whole,
    /// Text that has to be a number; whether that may be NaN or infinite.
    Number(bool),
    /// A truth value, of a number or text.
    Flag,
    /// A number as the text that a key column holds.
    KeyText,
    /// Text of at most so many bytes.
    Short(usize),
    /// Text that SQLite would keep as it is where it makes numbers of texts.
    Kept,
}

/// A column that values go to.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// What it holds.
    pub holds: &'a Holds,
    /// Its type as the server writes it, for texts.
    pub ty: &'a str,
    /// Whether rows are found by it.
    pub key: bool,
    /// The database.
    pub database: Database,
}

/// What has to be done to values of a kind in that column.
pub fn fit(what: What, column: Column<'_>) -> Fit {
    let holds = column.holds;
    let refused = || Fit::Refused(refusal(what, column).into());
    match (what, holds) {
        (What::Text, _) => text_fit(column),
        (What::Day | What::OfDay | What::Moment | What::Span, _) => time_fit(what, holds).unwrap_or_else(refused),
        (What::Whole { .. }, Holds::Year) => Fit::Year,
        (What::Whole { .. } | What::Decimal, Holds::Choice(members)) => Fit::Choice(members.as_slice().into()),
        (What::Whole { byte }, Holds::Bits(width)) => Fit::Bits(*width, byte),
        (What::Whole { byte }, Holds::BitText(Some(width))) => Fit::BitText(*width, byte),
        (What::Flag, Holds::BitText(Some(width))) => Fit::BitText(*width, false),
        (What::Flag, Holds::Bits(_) | Holds::Flag) => Fit::Open,
        (What::Fraction | What::Decimal, Holds::Integer) => Fit::Whole,
        (What::Whole { .. }, Holds::Flag) => Fit::Flag,
        (
            What::Flag | What::Whole { .. } | What::Fraction | What::Decimal,
            Holds::Date
            | Holds::Time { .. }
            | Holds::DateTime { .. }
            | Holds::Year
            | Holds::Interval
            | Holds::Choice(_)
            | Holds::Bits(_)
            | Holds::BitText(_)
            | Holds::Bytes,
        )
        | (What::Fraction | What::Decimal, Holds::Flag) => refused(),
        // a number is compared with texts as a number: 0 would find every text that begins with no digit
        (What::Flag | What::Whole { .. } | What::Fraction, Holds::Text)
            if column.key && column.database == Database::MySql =>
        {
            Fit::KeyText
        }
        (
            What::Bytes,
            Holds::Text
            | Holds::ShortText(_)
            | Holds::Bits(_)
            | Holds::BitText(_)
            | Holds::Bytes
            | Holds::Loose
            | Holds::Other,
        ) => Fit::Open,
        (What::Bytes, _) => refused(),
        _ => Fit::Open,
    }
}

fn text_fit(column: Column<'_>) -> Fit {
    match column.holds {
        Holds::Date => Fit::DateText,
        Holds::Time { zoned } => Fit::TimeText(*zoned),
        Holds::DateTime { zoned } => Fit::MomentText(*zoned),
        Holds::Year => Fit::YearText,
        Holds::Interval => Fit::IntervalText,
        Holds::Choice(members) => Fit::Choice(members.as_slice().into()),
        Holds::Bits(width) => Fit::Bits(*width, false),
        Holds::Integer => Fit::Whole,
        Holds::Number => Fit::Number(column.database == Database::Postgres),
        Holds::Flag => Fit::Flag,
        Holds::ShortText(most) => Fit::Short(*most),
        Holds::Loose => Fit::Kept,
        Holds::Bytes => Fit::Refused(refusal(What::Text, column).into()),
        Holds::BitText(_) | Holds::Text | Holds::Other => Fit::Open,
    }
}

/// `None`: they have no place there.
fn time_fit(what: What, holds: &Holds) -> Option<Fit> {
    Some(match (what, holds) {
        (What::Moment, Holds::Date) => Fit::DatePart,
        (What::Moment, Holds::Time { .. }) => Fit::TimePart,
        (What::Day, Holds::Year) => Fit::YearOfDay,
        (What::Span, Holds::Interval) => Fit::Interval,
        (What::Span, Holds::Time { zoned: false }) => Fit::Clock,
        (What::Span, Holds::Integer | Holds::Number) => Fit::Open,
        (What::Day, Holds::Date | Holds::DateTime { .. })
        | (What::OfDay, Holds::Time { .. } | Holds::Interval)
        | (What::Moment, Holds::DateTime { .. })
        | (_, Holds::Text | Holds::ShortText(_) | Holds::Choice(_) | Holds::Loose | Holds::Other) => Fit::Open,
        _ => return None,
    })
}

/// Why values of that kind are refused, and what helps.
fn refusal(what: What, column: Column<'_>) -> String {
    let (name, ty) = (what.name(), column.ty);
    match (what, column.holds) {
        (What::Flag | What::Whole { .. } | What::Fraction | What::Decimal, holds) if holds.is_temporal() => format!(
            "{name} does not tell which time it stands for, and type {ty} would read its digits as one; \
             timestamp.fields.list names fields that count microseconds since 1970 (nanoseconds with \
             timestamp.precision.mode), the transform TimestampConverter (target.type=Timestamp, with the unit in \
             unix.precision) makes them logical Timestamps, and fields of Connect's or Debezium's logical types (see debezium.types) are \
             understood by themselves"
        ),
        (What::Day | What::OfDay | What::Moment | What::Span, Holds::Integer | Holds::Number) => format!(
            "{name} has no place in type {ty}; the transform TimestampConverter (target.type=unix) makes a number of it"
        ),
        (_, Holds::Bytes) => format!(
            "{name} has no place in type {ty}, which would take it for the form in which bytes are written (\\101 for A); \
             send bytes, or make it a text column"
        ),
        _ => format!("{name} has no place in type {ty}; the transform Cast changes a field's type"),
    }
}

impl Fit {
    /// The parameter as the column takes it. Errors: why it does not, without the value.
    pub fn apply<'a>(&self, param: Param<'a>, time: &TimeRules) -> Result<Param<'a>, Cow<'static, str>> {
        let param = match param {
            Param::Null => return Ok(Param::Null),
            Param::Text(text) => return self.apply_text(text, time),
            other => other,
        };
        let number = match &param {
            Param::Bool(flag) => Some(i64::from(*flag)),
            Param::I64(n) => Some(*n),
            Param::F32(n) => number::whole(f64::from(*n)),
            Param::F64(n) => number::whole(*n),
            _ => None,
        };
        match (self, number) {
            (Self::Refused(why), _) => Err(why.to_string().into()),
            (Self::Whole, Some(n)) => Ok(Param::I64(n)),
            (Self::Whole, None) => Err(number::FRACTION.into()),
            (Self::Year, Some(n)) => number::year(n),
            (Self::Choice(members), Some(n)) => text::choice(members, n.to_string().into()),
            (Self::Bits(width, byte), Some(n)) => number::bits(n, *width, *byte).map(Param::I64),
            (Self::BitText(width, byte), Some(n)) => number::bit_text(n, *width, *byte),
            (Self::Flag, Some(n @ (0 | 1))) => Ok(Param::Bool(n == 1)),
            (Self::Flag, _) => Err("only the numbers 0 and 1 are truth values".into()),
            (Self::KeyText, _) => Ok(number::key_text(param)),
            (Self::Interval, Some(n)) => Ok(Param::Text(format!("{n} microseconds").into())),
            (Self::Clock, Some(n)) => Ok(Param::Text(number::clock(n).into())),
            // the schema says what it is, and it is something else: records without a schema
            (Self::DateText | Self::TimeText(_) | Self::MomentText(_) | Self::YearText | Self::IntervalText, _) => {
                Err("its value is no text".into())
            }
            _ => Ok(param),
        }
    }

    fn apply_text<'a>(&self, text: Cow<'a, str>, time: &TimeRules) -> Result<Param<'a>, Cow<'static, str>> {
        match self {
            Self::Refused(why) => Err(why.to_string().into()),
            Self::DatePart => Ok(Param::Text(text::part(text, 0))),
            Self::TimePart => Ok(Param::Text(text::part(text, 1))),
            Self::DateText => text::date(text),
            Self::TimeText(zoned) => text::time(text, *zoned),
            Self::MomentText(zoned) => text::moment(text, *zoned, time),
            Self::YearText => text::year(text),
            Self::YearOfDay => text::year_of_day(text),
            Self::IntervalText => text::interval(text),
            Self::Choice(members) => text::choice(members, text),
            Self::Bits(width, _) => number::bits_of_text(&text, *width).map(Param::I64),
            Self::Whole => number::whole_of_text(&text),
            Self::Number(special) => number::number_text(text, *special),
            Self::Flag => number::flag_of_text(&text).map(Param::Bool),
            Self::Kept => text::kept(text),
            Self::Short(most) if text.len() > *most => {
                Err(format!("its text has more than the {most} bytes that the column's type keeps").into())
            }
            _ => Ok(Param::Text(text)),
        }
    }
}
