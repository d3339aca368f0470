//! Converts, or rejects, values that a server would misread in their column.
//!
//! Pure. The conversion follows from the schema and the column's type, and is chosen once for each
//! column of a shape; most need none. Servers read a number in a DATE column by its digits, and in
//! an ENUM column as an index; a text in a BIT column by its bytes; a text with an offset as if it
//! had none.

mod duration;
mod number;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use self::number::clock;

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Schema, SchemaType};

use crate::dialect::column_type::TargetColumnType;
use crate::dialect::writing::ValueRules;
use crate::driver::SqlParam;
use crate::sink::config::TimeRules;
use crate::sink::mapping::time::is_infinite;

/// The kind of a value, by its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueMeaning {
    /// A truth value.
    Flag,
    /// An integer.
    Whole {
        /// True if it has 8 bits.
        byte: bool,
    },
    /// A float.
    Fraction,
    /// A decimal, bound as text.
    Decimal,
    Text,
    Bytes,
    /// A date.
    Day,
    /// A time of day.
    OfDay,
    /// A date and time.
    Moment,
    /// A span of time in microseconds.
    Span,
    /// A value that is not bound as a single one.
    Other,
}

impl ValueMeaning {
    /// Returns the kind of a schema's values, ignoring logical types.
    pub(crate) fn plain(schema: &Schema) -> Self {
        match schema.ty {
            SchemaType::Boolean => Self::Flag,
            SchemaType::Int8 => Self::Whole { byte: true },
            SchemaType::Int16 | SchemaType::Int32 | SchemaType::Int64 => {
                Self::Whole { byte: false }
            }
            SchemaType::Float32 | SchemaType::Float64 => Self::Fraction,
            SchemaType::String => Self::Text,
            SchemaType::Bytes => Self::Bytes,
            SchemaType::Array | SchemaType::Map | SchemaType::Struct => Self::Other,
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

/// How values are converted for a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fit {
    /// Unchanged: the server reads them correctly or rejects them.
    Open,
    /// Rejected, except NULL, for this reason.
    Refused(Arc<str>),
    /// A date that is not infinite.
    Finite,
    /// The date of a date and time; true if it may be infinite.
    DatePart(bool),
    /// The time of a date and time.
    TimePart,
    /// Text that must be a date.
    DateText,
    /// Text that must be a time of day; true if the column keeps its zone.
    TimeText(bool),
    /// Text that must be a date and time; true if the column reads its offset.
    MomentText(bool),
    /// Text that must be a year.
    YearText,
    /// Like [`Self::DateText`] and [`Self::MomentText`] without words, for a server that checks none.
    DateOnly,
    MomentOnly(bool),
    /// Text that must be an interval.
    IntervalText,
    /// Text that must not be empty.
    NotEmpty,
    /// A number that must be a year.
    Year,
    /// A date that must be the first day of a year.
    YearOfDay,
    /// A span of time as an interval.
    Interval,
    /// A span of time as hours, minutes and seconds.
    Clock,
    /// One of these members, never an index of one.
    Choice(Arc<[String]>),
    /// That many bits as a number; true if negative numbers are bytes.
    Bits(u32, bool),
    /// That many bits as text of zeros and ones; true if negative numbers are bytes.
    BitText(u32, bool),
    /// Bytes that are a number of that many bits, as text of zeros and ones.
    BitBytes(u32),
    /// Bytes as text of zeros and ones, of at most that many.
    VarBits(Option<u32>),
    /// A whole number, from a text or a number with fraction.
    Whole,
    /// The same, of at most 64 bits.
    Long,
    /// Text that must be a number; true if it may be NaN or infinite.
    Number(bool),
    /// A truth value, from a number or text.
    Flag,
    /// A truth value as JSON's word.
    JsonFlag,
    /// A number as the text that a key column holds.
    KeyText,
    /// A value whose text has at most that many bytes.
    Short(usize),
    /// Text that must be a UUID in any form; written in the usual form.
    Uuid,
    /// Text that SQLite stores unchanged although the column converts texts to numbers.
    Kept,
}

/// The column that values are written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FitColumn<'a> {
    pub holds: &'a TargetColumnType,
    /// Its type as the server writes it, for messages.
    pub ty: &'a str,
    /// True if rows are looked up by it.
    pub key: bool,
    pub rules: ValueRules,
}

/// Returns the conversion of values of a kind for that column.
pub(crate) fn fit(meaning: ValueMeaning, column: FitColumn<'_>) -> Fit {
    let holds = column.holds;
    let refused = || Fit::Refused(refusal(meaning, column).into());
    match (meaning, holds) {
        (ValueMeaning::Text, _) => text_fit(column),
        (
            ValueMeaning::Day | ValueMeaning::OfDay | ValueMeaning::Moment | ValueMeaning::Span,
            _,
        ) => time_fit(meaning, column).unwrap_or_else(refused),
        (ValueMeaning::Whole { .. }, TargetColumnType::Year) => Fit::Year,
        (ValueMeaning::Whole { .. } | ValueMeaning::Decimal, TargetColumnType::Choice(members)) => {
            Fit::Choice(members.as_slice().into())
        }
        (ValueMeaning::Whole { byte }, TargetColumnType::Bits(width)) => Fit::Bits(*width, byte),
        (ValueMeaning::Whole { byte }, TargetColumnType::BitText(Some(width))) => {
            Fit::BitText(*width, byte)
        }
        (ValueMeaning::Flag, TargetColumnType::BitText(Some(width))) => Fit::BitText(*width, false),
        (ValueMeaning::Flag, TargetColumnType::Bits(_) | TargetColumnType::Flag) => Fit::Open,
        (ValueMeaning::Flag, TargetColumnType::Json) => Fit::JsonFlag,
        (ValueMeaning::Fraction | ValueMeaning::Decimal, TargetColumnType::Integer) => {
            whole(column)
        }
        (
            ValueMeaning::Flag
            | ValueMeaning::Whole { .. }
            | ValueMeaning::Fraction
            | ValueMeaning::Decimal,
            TargetColumnType::ShortText(most),
        ) => Fit::Short(*most),
        (ValueMeaning::Whole { .. }, TargetColumnType::Flag) => Fit::Flag,
        (
            ValueMeaning::Flag
            | ValueMeaning::Whole { .. }
            | ValueMeaning::Fraction
            | ValueMeaning::Decimal,
            TargetColumnType::Date
            | TargetColumnType::Time { .. }
            | TargetColumnType::DateTime { .. }
            | TargetColumnType::Year
            | TargetColumnType::Interval
            | TargetColumnType::Choice(_)
            | TargetColumnType::Bits(_)
            | TargetColumnType::BitText(_)
            | TargetColumnType::VarBits(_)
            | TargetColumnType::Uuid
            | TargetColumnType::Address
            | TargetColumnType::Bytes,
        )
        | (ValueMeaning::Fraction | ValueMeaning::Decimal, TargetColumnType::Flag) => refused(),
        (
            ValueMeaning::Flag | ValueMeaning::Whole { .. } | ValueMeaning::Fraction,
            TargetColumnType::Text,
        ) if column.key && column.rules.compares_text_as_number => Fit::KeyText,
        (ValueMeaning::Bytes, _) => bytes_fit(column).unwrap_or_else(refused),
        _ => Fit::Open,
    }
}

/// Returns the conversion of numbers for integers.
fn whole(column: FitColumn<'_>) -> Fit {
    if column.rules.checks_types {
        Fit::Whole
    } else {
        Fit::Long
    }
}

/// Returns the conversion of bytes; `None` if the column cannot hold them.
fn bytes_fit(column: FitColumn<'_>) -> Option<Fit> {
    Some(match column.holds {
        TargetColumnType::Text | TargetColumnType::ShortText(_)
            if !column.rules.takes_bytes_as_text =>
        {
            return None;
        }
        TargetColumnType::BitText(Some(width)) => Fit::BitBytes(*width),
        TargetColumnType::VarBits(most) => Fit::VarBits(*most),
        TargetColumnType::Text
        | TargetColumnType::Json
        | TargetColumnType::ShortText(_)
        | TargetColumnType::Bits(_)
        | TargetColumnType::Bytes
        | TargetColumnType::Loose
        | TargetColumnType::Uuid
        | TargetColumnType::Address
        | TargetColumnType::Spatial(_)
        | TargetColumnType::Hstore
        | TargetColumnType::Other => Fit::Open,
        _ => return None,
    })
}

fn text_fit(column: FitColumn<'_>) -> Fit {
    match column.holds {
        TargetColumnType::Date if !column.rules.checks_types => Fit::DateOnly,
        TargetColumnType::Date => Fit::DateText,
        TargetColumnType::Time { zoned } => Fit::TimeText(*zoned),
        TargetColumnType::DateTime { zoned, .. } if !column.rules.checks_types => {
            Fit::MomentOnly(*zoned)
        }
        TargetColumnType::DateTime { zoned, .. } => Fit::MomentText(*zoned),
        TargetColumnType::Year => Fit::YearText,
        TargetColumnType::Interval => Fit::IntervalText,
        TargetColumnType::Choice(members) => Fit::Choice(members.as_slice().into()),
        TargetColumnType::Bits(width) => Fit::Bits(*width, false),
        TargetColumnType::Integer => whole(column),
        TargetColumnType::Money => Fit::NotEmpty,
        TargetColumnType::Number => Fit::Number(column.rules.special_numbers),
        TargetColumnType::Flag => Fit::Flag,
        TargetColumnType::ShortText(most) => Fit::Short(*most),
        TargetColumnType::Loose => Fit::Kept,
        TargetColumnType::Bytes => Fit::Refused(refusal(ValueMeaning::Text, column).into()),
        TargetColumnType::Uuid => Fit::Uuid,
        TargetColumnType::BitText(_)
        | TargetColumnType::VarBits(_)
        | TargetColumnType::Text
        | TargetColumnType::Json
        | TargetColumnType::Address
        | TargetColumnType::Spatial(_)
        | TargetColumnType::Hstore
        | TargetColumnType::Other => Fit::Open,
    }
}

/// Returns the conversion of dates and times; `None` if the column cannot hold them.
fn time_fit(meaning: ValueMeaning, column: FitColumn<'_>) -> Option<Fit> {
    let infinite = column.rules.infinite_times;
    Some(match (meaning, column.holds) {
        (_, TargetColumnType::ShortText(most)) => Fit::Short(*most),
        (ValueMeaning::Moment, TargetColumnType::Date) => Fit::DatePart(infinite),
        (ValueMeaning::Day, TargetColumnType::Date | TargetColumnType::DateTime { .. })
        | (ValueMeaning::Moment, TargetColumnType::DateTime { .. })
            if !infinite =>
        {
            Fit::Finite
        }
        (ValueMeaning::Moment, TargetColumnType::Time { .. }) => Fit::TimePart,
        (ValueMeaning::Day, TargetColumnType::Year) => Fit::YearOfDay,
        (ValueMeaning::Span, TargetColumnType::Interval) => Fit::Interval,
        (ValueMeaning::Span, TargetColumnType::Time { zoned: false }) => Fit::Clock,
        (ValueMeaning::Span, TargetColumnType::Integer | TargetColumnType::Number) => Fit::Open,
        (ValueMeaning::Day, TargetColumnType::Date | TargetColumnType::DateTime { .. })
        | (ValueMeaning::OfDay, TargetColumnType::Time { .. } | TargetColumnType::Interval)
        | (ValueMeaning::Moment, TargetColumnType::DateTime { .. })
        | (
            _,
            TargetColumnType::Text
            | TargetColumnType::Json
            | TargetColumnType::Choice(_)
            | TargetColumnType::Loose
            | TargetColumnType::Spatial(_)
            | TargetColumnType::Hstore
            | TargetColumnType::Other,
        ) => Fit::Open,
        _ => return None,
    })
}

/// Explains why values of that kind are rejected, and what helps.
fn refusal(meaning: ValueMeaning, column: FitColumn<'_>) -> String {
    let (name, ty) = (meaning.name(), column.ty);
    match (meaning, column.holds) {
        (
            ValueMeaning::Flag
            | ValueMeaning::Whole { .. }
            | ValueMeaning::Fraction
            | ValueMeaning::Decimal,
            holds,
        ) if holds.is_temporal() => {
            format!(
                "{name} does not have a known unit of time, and type {ty} would interpret its \
                 digits as a date; timestamp.fields.list names fields that count microseconds \
                 since 1970 (nanoseconds with timestamp.precision.mode); the transform \
                 TimestampConverter (target.type=Timestamp, with the unit in unix.precision) \
                 converts them to logical Timestamps; fields of Connect's or Debezium's logical \
                 types (see debezium.types) need no configuration"
            )
        }
        (
            ValueMeaning::Day | ValueMeaning::OfDay | ValueMeaning::Moment | ValueMeaning::Span,
            TargetColumnType::Integer | TargetColumnType::Number,
        ) => {
            format!(
                "{name} cannot be stored in type {ty}; the transform TimestampConverter \
                 (target.type=unix) converts it to a number"
            )
        }
        (ValueMeaning::Bytes, TargetColumnType::Text | TargetColumnType::ShortText(_)) => format!(
            "{name} cannot be stored in type {ty}, which would store their digits (\\x61 for a); \
             use a bytea column, or send text (StringConverter as key.converter or value.converter, \
             if the whole key or value is one text)"
        ),
        (_, TargetColumnType::Bytes) => format!(
            "{name} cannot be stored in type {ty}, which would interpret it as an escape format \
             for bytes (\\101 for A); send bytes, or use a text column"
        ),
        _ => format!(
            "{name} cannot be stored in type {ty}; the transform Cast changes a field's type"
        ),
    }
}

impl Fit {
    /// Converts a parameter for the column. Errors: why it is rejected, without the value.
    pub(crate) fn apply<'a>(
        &self,
        param: SqlParam<'a>,
        time: &TimeRules,
    ) -> Result<SqlParam<'a>, Cow<'static, str>> {
        let param = match param {
            SqlParam::Null => return Ok(SqlParam::Null),
            SqlParam::Text(text) => return self.apply_text(text, time),
            other => other,
        };
        let number = match &param {
            SqlParam::Bool(flag) => Some(i64::from(*flag)),
            SqlParam::I64(n) => Some(*n),
            SqlParam::F32(n) => number::whole(f64::from(*n)),
            SqlParam::F64(n) => number::whole(*n),
            _ => None,
        };
        match (self, number) {
            (Self::Refused(why), _) => Err(why.to_string().into()),
            (Self::BitBytes(width), _) => number::bits_of_bytes(param, Some(*width), true),
            (Self::VarBits(most), _) => number::bits_of_bytes(param, *most, false),
            (Self::Short(most), _) => number::short(param, *most),
            (Self::Whole | Self::Long, Some(n)) => Ok(SqlParam::I64(n)),
            (Self::Whole | Self::Long, None) => Err(number::FRACTION.into()),
            (Self::Year, Some(n)) => number::year(n),
            (Self::Choice(members), Some(n)) => text::choice(members, n.to_string().into()),
            (Self::Bits(width, byte), Some(n)) => number::bits(n, *width, *byte).map(SqlParam::I64),
            (Self::BitText(width, byte), Some(n)) => number::bit_text(n, *width, *byte),
            (Self::Flag, Some(n @ (0 | 1))) => Ok(SqlParam::Bool(n == 1)),
            (Self::Flag, _) => Err("only the numbers 0 and 1 are booleans".into()),
            (Self::JsonFlag, Some(n)) => {
                Ok(SqlParam::Text(if n == 0 { "false" } else { "true" }.into()))
            }
            (Self::KeyText, _) => Ok(number::key_text(param)),
            (Self::Interval, Some(n)) => Ok(SqlParam::Text(format!("{n} microseconds").into())),
            (Self::Clock, Some(n)) => Ok(SqlParam::Text(number::clock(n).into())),
            // happens to records without a schema only: the value is not the text that was expected
            (
                Self::DateText
                | Self::TimeText(_)
                | Self::MomentText(_)
                | Self::DateOnly
                | Self::MomentOnly(_)
                | Self::YearText
                | Self::IntervalText,
                _,
            ) => Err("its value is not a text".into()),
            _ => Ok(param),
        }
    }

    fn apply_text<'a>(
        &self,
        text: Cow<'a, str>,
        time: &TimeRules,
    ) -> Result<SqlParam<'a>, Cow<'static, str>> {
        match self {
            Self::Refused(why) => Err(why.to_string().into()),
            Self::Finite | Self::DatePart(false) | Self::TimePart if is_infinite(&text) => {
                Err(text::INFINITE_TIME.into())
            }
            Self::DatePart(_) => Ok(SqlParam::Text(text::part(text, 0))),
            Self::TimePart => Ok(SqlParam::Text(text::part(text, 1))),
            Self::DateOnly | Self::MomentOnly(_) if text::is_word(&text) => {
                Err(text::NO_DATE.into())
            }
            Self::DateText | Self::DateOnly => text::date(text),
            Self::TimeText(zoned) => text::time(text, *zoned, time),
            Self::MomentText(zoned) | Self::MomentOnly(zoned) => text::moment(text, *zoned, time),
            Self::YearText => text::year(text),
            Self::YearOfDay => text::year_of_day(text),
            Self::IntervalText => text::interval(text),
            Self::Choice(members) => text::choice(members, text),
            Self::Bits(width, _) => number::bits_of_text(&text, *width).map(SqlParam::I64),
            Self::NotEmpty if text.trim().is_empty() => {
                Err("its text is empty, and the column's type would read it as zero".into())
            }
            Self::Whole => number::whole_of_text(&text),
            Self::Long => number::long_of_text(&text),
            Self::Number(special) => number::number_text(text, *special),
            Self::Flag => number::flag_of_text(&text).map(SqlParam::Bool),
            Self::Kept => text::kept(text),
            Self::Uuid => text::uuid(text),
            Self::Short(most) if text.len() > *most => Err(format!(
                "its text is longer than the {most} bytes that the column's type can store"
            )
            .into()),
            _ => Ok(SqlParam::Text(text)),
        }
    }
}
