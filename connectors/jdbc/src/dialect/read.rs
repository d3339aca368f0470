//! Maps SQL types to Connect schemas: what the databases have in common. Pure.

use std::sync::Arc;

use connector_api::{Schema, SchemaType, Value, logical};

use crate::calendar::{Calendar, DAY, span_text, wall_text};
use crate::zone::JdbcTimeZone;

/// `numeric.mapping`: when a decimal becomes an integer or a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericMapping {
    None,
    PrecisionOnly,
    BestFit,
    BestFitEagerDouble,
}

/// `timestamp.granularity`: what a date-time becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampGranularity {
    Logical,
    MicrosLong,
    MicrosString,
    MicrosIso,
    NanosLong,
    NanosString,
    NanosIso,
}

/// `bigint.unsigned.handling.mode`: what a BIGINT UNSIGNED becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BigintUnsigned {
    /// INT64; larger values are an error.
    Long,
    /// Decimal of scale 0.
    Precise,
    Text,
}

/// How columns become fields.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOptions {
    /// `numeric.mapping`
    pub numeric: NumericMapping,
    /// `bigint.unsigned.handling.mode`
    pub bigint_unsigned: BigintUnsigned,
    /// `timestamp.granularity`
    pub granularity: TimestampGranularity,
    /// `db.timezone`: the zone of date-times that carry none.
    pub zone: JdbcTimeZone,
    /// `date.calendar.system`
    pub calendar: Calendar,
    /// Types as MySQL's own JDBC driver reports them, where it differs from MariaDB's.
    pub mysql_driver: bool,
    /// `yearIsDateType` of the URL.
    pub year_is_date: bool,
    /// True if TINYINT(1) is a boolean, and with MariaDB's driver BIT(1) too
    /// (`transformedBitIsBoolean`).
    pub bits_are_booleans: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            numeric: NumericMapping::None,
            bigint_unsigned: BigintUnsigned::Long,
            granularity: TimestampGranularity::Logical,
            zone: JdbcTimeZone::default(),
            calendar: Calendar::Legacy,
            mysql_driver: false,
            year_is_date: true,
            bits_are_booleans: false,
        }
    }
}

impl ReadOptions {
    /// Returns how a date-time is read; see [`TimestampDecoding::is_instant`].
    pub(super) fn timestamp(&self, is_instant: bool) -> ValueDecoding {
        ValueDecoding::Timestamp(Box::new(TimestampDecoding {
            granularity: self.granularity,
            calendar: self.calendar,
            zone: self.zone.clone(),
            is_instant,
        }))
    }
}

/// How a result column becomes a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueDecoding {
    Bool,
    /// INT8, INT16, INT32 or INT64, checked to fit.
    Int(SchemaType),
    F32,
    F64,
    /// A decimal with its own digits.
    Decimal,
    /// A decimal rescaled to that scale.
    Scaled(i32),
    /// A decimal without fractional digits, as an integer of that type.
    DecimalInt(SchemaType),
    /// A decimal as FLOAT64.
    DecimalF64,
    Text,
    Bytes,
    /// Up to 64 bits as INT8, like Java's `byte`: 0x80 to 0xff are negative.
    BitInt,
    Date(Calendar),
    /// A year as the Date of its first day; `true`: year 0 is the year 2000.
    YearDate(Calendar, bool),
    /// Logical Time in that zone.
    Time(JdbcTimeZone),
    /// A date-time, see [`TimestampDecoding`].
    Timestamp(Box<TimestampDecoding>),
}

/// How a date-time becomes a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TimestampDecoding {
    /// Representation of the value.
    pub granularity: TimestampGranularity,
    /// The calendar of dates before 1582.
    pub calendar: Calendar,
    /// The zone in which its text is written and, unless `is_instant`, the zone in which it was
    /// stored.
    pub zone: JdbcTimeZone,
    /// True if the server returns an instant in UTC (TIMESTAMP of MariaDB, timestamptz), false for
    /// a wall time.
    pub is_instant: bool,
}

/// A result column: its field, and how its values are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadColumn {
    pub name: Arc<str>,
    pub schema: Arc<Schema>,
    pub read: ValueDecoding,
    /// Text before and after its name in a SELECT, if the server must convert it.
    pub select: (&'static str, &'static str),
    /// True for a bit string.
    pub bits: bool,
    /// Display width of a decimal whose scale only its values show.
    pub open_scale: Option<i32>,
    /// A warning for the user.
    pub warning: Option<String>,
}

impl ReadColumn {
    /// Creates a column whose schema follows from how it is read.
    pub fn new(name: &str, optional: bool, read: ValueDecoding) -> Self {
        let schema = read.schema().optional(optional);
        Self {
            name: name.into(),
            schema: Arc::new(schema),
            read,
            select: ("", ""),
            bits: false,
            open_scale: None,
            warning: None,
        }
    }

    /// Sets the text before and after its name in a SELECT.
    #[must_use]
    pub fn selected(mut self, before: &'static str, behind: &'static str) -> Self {
        self.select = (before, behind);
        self
    }

    /// True if the field can hold that value of the column. Other values are read as what they are
    /// (text, bytes; a zero date as NULL), and the field of that record has that type.
    pub fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.schema.optional,
            Value::Text(_) => self.schema.ty == SchemaType::String,
            Value::Bytes(_) => self.schema.ty == SchemaType::Bytes && self.schema.name.is_none(),
            _ => true,
        }
    }

    /// True if the database has values of that type that the field cannot hold.
    pub fn may_overflow(&self) -> bool {
        match &self.read {
            ValueDecoding::Date(_)
            | ValueDecoding::Time(_)
            | ValueDecoding::BitInt
            | ValueDecoding::Scaled(_)
            | ValueDecoding::Decimal
            | ValueDecoding::DecimalInt(_) => true,
            ValueDecoding::Timestamp(_) => true,
            ValueDecoding::Bool
            | ValueDecoding::Int(_)
            | ValueDecoding::F32
            | ValueDecoding::F64
            | ValueDecoding::DecimalF64 => false,
            ValueDecoding::Text | ValueDecoding::Bytes | ValueDecoding::YearDate(..) => false,
        }
    }

    /// Returns the column with the scale of a value, if its scale is open. The display width counts
    /// the digits, a sign and the decimal point.
    pub fn with_scale_of(&self, value: &Value) -> Option<Self> {
        let (Some(width), Value::Decimal(decimal)) = (self.open_scale, value) else {
            return None;
        };
        let scale = decimal.scale();
        let precision = width - 1 - i32::from(scale > 0);
        Some(Self::decimal(
            &self.name,
            self.schema.optional,
            precision,
            scale,
        ))
    }

    /// Creates a decimal column of that precision and scale.
    pub fn decimal(name: &str, optional: bool, precision: i32, scale: i32) -> Self {
        let schema = Schema::decimal(scale)
            .param(logical::PRECISION, &precision.to_string())
            .optional(optional);
        Self {
            schema: Arc::new(schema),
            ..Self::new(name, optional, ValueDecoding::Decimal)
        }
    }
}

impl ValueDecoding {
    fn schema(&self) -> Schema {
        match self {
            Self::Bool => Schema::of(SchemaType::Boolean),
            Self::Int(ty) | Self::DecimalInt(ty) => Schema::of(*ty),
            Self::F32 => Schema::of(SchemaType::Float32),
            Self::F64 | Self::DecimalF64 => Schema::of(SchemaType::Float64),
            Self::Decimal => Schema::decimal(0),
            Self::Scaled(scale) => Schema::decimal(*scale),
            Self::Text => Schema::of(SchemaType::String),
            Self::Bytes => Schema::of(SchemaType::Bytes),
            Self::BitInt => Schema::of(SchemaType::Int8),
            Self::Date(_) | Self::YearDate(..) => Schema::date(),
            Self::Time(_) => Schema::time(),
            Self::Timestamp(decoding) => match decoding.granularity {
                TimestampGranularity::Logical => Schema::timestamp(),
                TimestampGranularity::MicrosLong | TimestampGranularity::NanosLong => {
                    Schema::of(SchemaType::Int64)
                }
                _ => Schema::of(SchemaType::String),
            },
        }
    }
}

/// Returns how a decimal is read under `numeric.mapping` (precision and scale as JDBC reports
/// them). Source: the table of Confluent's "numeric.mapping".
pub(crate) fn numeric(
    name: &str,
    optional: bool,
    precision: i32,
    scale: i32,
    mapping: NumericMapping,
) -> ReadColumn {
    let integer = match precision {
        10.. => SchemaType::Int64,
        5..=9 => SchemaType::Int32,
        3..=4 => SchemaType::Int16,
        _ => SchemaType::Int8,
    };
    let fits = precision <= 18;
    let eager = mapping == NumericMapping::BestFitEagerDouble;
    let best = mapping == NumericMapping::BestFit || eager;
    if fits
        && ((mapping == NumericMapping::PrecisionOnly && scale == 0)
            || (best && (-84..1).contains(&scale)))
    {
        return ReadColumn::new(name, optional, ValueDecoding::DecimalInt(integer));
    }
    if scale > 0 && ((best && fits) || eager) {
        return ReadColumn::new(name, optional, ValueDecoding::DecimalF64);
    }
    ReadColumn::decimal(name, optional, precision, scale)
}

impl TimestampDecoding {
    /// Converts a date-time in microseconds: an instant or a wall time, depending on `is_instant`.
    pub fn value(&self, micros: i64) -> Value {
        self.of_instant(if self.is_instant {
            micros
        } else {
            self.zone.instant(micros)
        })
    }

    /// Converts an instant in microseconds.
    pub fn of_instant(&self, instant: i64) -> Value {
        let text = |text: String| Value::Text(text.into());
        match self.granularity {
            TimestampGranularity::Logical => Value::I64(instant.div_euclid(1000)),
            TimestampGranularity::MicrosLong => Value::I64(instant),
            TimestampGranularity::MicrosString => text(instant.to_string()),
            // 64 bits of nanoseconds cover 1677 to 2262.
            TimestampGranularity::NanosLong => instant
                .checked_mul(1000)
                .map_or_else(|| text(nanos(instant)), Value::I64),
            TimestampGranularity::NanosString => text(nanos(instant)),
            TimestampGranularity::MicrosIso => text(wall_text(self.zone.wall(instant), 'T', 6)),
            TimestampGranularity::NanosIso => text(wall_text(self.zone.wall(instant), 'T', 9)),
        }
    }
}

fn nanos(micros: i64) -> String {
    (i128::from(micros) * 1000).to_string()
}

/// Converts a time of day in microseconds, in that zone; the shift stays within the day. Connect's
/// Time is a time of day: other values (MariaDB's TIME ranges to ±838 hours) are spans of time and
/// stay text, whatever the zone.
pub(crate) fn time_value(micros: i64, zone: &JdbcTimeZone) -> Value {
    if !(0..=DAY).contains(&micros) {
        return Value::Text(span_text(micros).into());
    }
    let shifted = if zone.is_utc() {
        micros
    } else {
        zone.instant(micros).rem_euclid(DAY)
    };
    Value::I32(i32::try_from(shifted / 1000).unwrap_or(i32::MAX))
}

/// Converts an integer to a value of that type. `None` if it does not fit.
pub(crate) fn int_value(n: i64, ty: SchemaType) -> Option<Value> {
    match ty {
        SchemaType::Int8 => i8::try_from(n).ok().map(Value::I8),
        SchemaType::Int16 => i16::try_from(n).ok().map(Value::I16),
        SchemaType::Int32 => i32::try_from(n).ok().map(Value::I32),
        _ => Some(Value::I64(n)),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{SchemaType, Value};

    use super::{
        NumericMapping, TimestampDecoding, TimestampGranularity, ValueDecoding, numeric, time_value,
    };
    use crate::calendar::{Calendar, parse_wall};
    use crate::zone::JdbcTimeZone;

    #[test]
    fn numeric_mapping_follows_the_table() {
        use NumericMapping::{BestFit, BestFitEagerDouble, None, PrecisionOnly};
        let decimal = ValueDecoding::Decimal;
        for (precision, scale, mapping, want) in [
            (8, 0, None, decimal.clone()),
            (
                2,
                0,
                PrecisionOnly,
                ValueDecoding::DecimalInt(SchemaType::Int8),
            ),
            (
                4,
                0,
                PrecisionOnly,
                ValueDecoding::DecimalInt(SchemaType::Int16),
            ),
            (9, 0, BestFit, ValueDecoding::DecimalInt(SchemaType::Int32)),
            (18, 0, BestFit, ValueDecoding::DecimalInt(SchemaType::Int64)),
            (19, 0, BestFitEagerDouble, decimal.clone()),
            (10, 2, PrecisionOnly, decimal.clone()),
            (10, 2, BestFit, ValueDecoding::DecimalF64),
            (20, 5, BestFit, decimal.clone()),
            (20, 5, BestFitEagerDouble, ValueDecoding::DecimalF64),
            (3, -2, BestFit, ValueDecoding::DecimalInt(SchemaType::Int16)),
            (3, -2, PrecisionOnly, decimal),
        ] {
            assert_eq!(
                numeric("n", true, precision, scale, mapping).read,
                want,
                "{precision},{scale} {mapping:?}"
            );
        }
    }

    #[test]
    fn date_times_have_seven_faces() {
        let wall = parse_wall("1969-12-31 23:59:59.999999").unwrap();
        for (granularity, want) in [
            (TimestampGranularity::Logical, Value::I64(-1)),
            (TimestampGranularity::MicrosLong, Value::I64(-1)),
            (TimestampGranularity::MicrosString, Value::Text("-1".into())),
            (
                TimestampGranularity::MicrosIso,
                Value::Text("1969-12-31T23:59:59.999999".into()),
            ),
            (TimestampGranularity::NanosLong, Value::I64(-1000)),
            (
                TimestampGranularity::NanosString,
                Value::Text("-1000".into()),
            ),
            (
                TimestampGranularity::NanosIso,
                Value::Text("1969-12-31T23:59:59.999999000".into()),
            ),
        ] {
            let decoding = TimestampDecoding {
                granularity,
                calendar: Calendar::Legacy,
                zone: JdbcTimeZone::default(),
                is_instant: false,
            };
            assert_eq!(decoding.value(wall), want);
        }
        let zone = JdbcTimeZone::named("Asia/Kolkata").unwrap();
        assert_eq!(
            time_value(12 * 3_600_000_000, &zone),
            Value::I32(23_400_000)
        );
        assert_eq!(
            time_value(-1_000_000, &zone),
            Value::Text("-00:00:01".into())
        );
        let late = parse_wall("9999-12-31 00:00:00").unwrap();
        let nanos = TimestampDecoding {
            granularity: TimestampGranularity::NanosLong,
            calendar: Calendar::Legacy,
            zone,
            is_instant: true,
        };
        assert_eq!(
            nanos.value(late),
            Value::Text("253402214400000000000".into())
        );
    }
}
