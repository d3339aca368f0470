//! Conversion of values, without a database.

use connector_api::Config;

use super::{Fit, FitColumn, ValueMeaning, fit};
use crate::dialect::column_type::TargetColumnType;
use crate::dialect::writing;
use crate::driver::SqlParam;
use crate::sink::config::SinkConfig;
use crate::url::DatabaseKind;

fn text(text: &'static str) -> SqlParam<'static> {
    SqlParam::Text(text.into())
}

#[test]
fn most_values_need_nothing() {
    let date_time = TargetColumnType::DateTime {
        zoned: false,
        instant: false,
    };
    let open = [
        (
            ValueMeaning::Whole { byte: false },
            TargetColumnType::Integer,
        ),
        (ValueMeaning::Whole { byte: true }, TargetColumnType::Number),
        (ValueMeaning::Text, TargetColumnType::Text),
        (ValueMeaning::Text, TargetColumnType::Other),
        (ValueMeaning::Fraction, TargetColumnType::Number),
        (ValueMeaning::Decimal, TargetColumnType::Number),
        (ValueMeaning::Flag, TargetColumnType::Integer),
        (ValueMeaning::Bytes, TargetColumnType::Other),
    ];
    let times = [
        (ValueMeaning::Moment, date_time),
        (ValueMeaning::Day, TargetColumnType::Date),
    ];
    for (meaning, holds) in open {
        for database in [
            DatabaseKind::MySql,
            DatabaseKind::Postgres,
            DatabaseKind::Sqlite,
        ] {
            let column = FitColumn {
                holds: &holds,
                ty: "t",
                key: false,
                rules: writing::of(database, "").capabilities.values,
            };
            assert_eq!(fit(meaning, column), Fit::Open, "{meaning:?} {holds:?}");
        }
    }
    for (meaning, holds) in times {
        for (database, want) in [
            (DatabaseKind::MySql, Fit::Finite),
            (DatabaseKind::Postgres, Fit::Open),
            (DatabaseKind::Sqlite, Fit::Finite),
        ] {
            let column = FitColumn {
                holds: &holds,
                ty: "t",
                key: false,
                rules: writing::of(database, "").capabilities.values,
            };
            assert_eq!(fit(meaning, column), want, "{meaning:?} {holds:?}");
        }
    }
}

#[test]
fn offsets_count_in_the_zone_of_the_database() {
    let config = Config::from([
        ("connection.url", "jdbc:mariadb://h/d"),
        ("db.timezone", "Asia/Kolkata"),
    ]);
    let time = SinkConfig::read(&config).unwrap().time;
    for (given, want) in [
        ("2024-03-22T15:58:32Z", Some("2024-03-22 21:28:32.000000")),
        (
            "2024-03-22 15:58:32.5 UTC",
            Some("2024-03-22 21:28:32.500000"),
        ),
        (
            "2024-03-22T15:58:32.123456789-05",
            Some("2024-03-23 02:28:32.123456"),
        ),
        ("2024-03-22Z", Some("2024-03-22 05:30:00.000000")),
        // without an offset it is in the database's time zone already
        ("2024-03-22T15:58:32", Some("2024-03-22T15:58:32")),
        ("2024-03-22", Some("2024-03-22")),
        ("2024-03-22T15:58:32[Asia/Kolkata]", None),
        ("", None),
        ("é", None),
        ("1711123112", None),
    ] {
        let seen = Fit::MomentText(false).apply(text(given), &time);
        assert_eq!(seen.ok(), want.map(text), "{given}");
    }
    for (given, kept) in [
        ("00123", false),
        ("+5", false),
        ("1.50", false),
        ("1.0", false),
        ("1.", false),
        (".5", false),
        ("01.5", false),
        ("1e5", false),
        (" 7", false),
        ("-0", false),
        ("9223372036854775808", false),
        ("1234567890.123456789", false),
        ("0.00001", false),
        ("123", true),
        ("-7", true),
        ("9223372036854775807", true),
        ("1.5", true),
        ("-0.25", true),
        ("abc", true),
        ("0x10", true),
        ("1.2.3", true),
        ("", true),
        ("infinity", true),
        ("nan", true),
    ] {
        assert_eq!(Fit::Kept.apply(text(given), &time).is_ok(), kept, "{given}");
    }
    assert_eq!(
        Fit::Clock.apply(SqlParam::I64(-1), &time),
        Ok(text("-00:00:00.000001"))
    );
    assert_eq!(
        Fit::Whole.apply(text("1e30"), &time),
        Ok(text("1000000000000000000000000000000"))
    );
}

#[test]
fn bytes_are_the_bits_of_a_number() {
    let config = Config::from([("connection.url", "jdbc:postgresql://h/d")]);
    let time = SinkConfig::read(&config).unwrap().time;
    for (fit, bytes, want) in [
        (Fit::BitBytes(12), &[0x0a, 0xbc][..], Some("101010111100")),
        (Fit::BitBytes(12), &[0x1a, 0xbc], None),
        (Fit::BitBytes(12), &[1], Some("000000000001")),
        (Fit::BitBytes(12), &[0, 0, 1], Some("000000000001")),
        (Fit::VarBits(Some(12)), &[0x0a, 0xbc], Some("101010111100")),
        (Fit::VarBits(Some(12)), &[1], Some("00000001")),
        (Fit::VarBits(None), &[], Some("")),
    ] {
        let seen = fit.apply(SqlParam::Bytes(bytes.into()), &time);
        assert_eq!(seen.ok(), want.map(text), "{fit:?} {bytes:?}");
    }
}
