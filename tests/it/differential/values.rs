//! Columns of random types and their random values, as literals and as canonical texts.

use connector_api::Decimal;
use testkit::Random;

/// Whose SQL is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    MariaDb,
    Postgres,
    Sqlite,
}

/// What both sides can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int16,
    Int32,
    Int64,
    Bool,
    Float32,
    Float64,
    Decimal,
    Text,
    Bytes,
    Date,
    Time,
    Stamp,
}

impl Kind {
    pub const ALL: &[Self] = &[
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Bool,
        Self::Float32,
        Self::Float64,
        Self::Decimal,
        Self::Text,
        Self::Bytes,
        Self::Date,
        Self::Time,
        Self::Stamp,
    ];
}

/// A column of the source table.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub required: bool,
    /// Digits of a decimal, and those after the point.
    digits: (u32, u32),
}

impl Column {
    /// Numbers of SQLite have 15 digits.
    pub fn new(random: &mut Random, number: usize, kind: Kind, flavour: Flavour) -> Self {
        let most = if flavour == Flavour::Sqlite { 15 } else { 50 };
        let precision = 1 + random.below(most) as u32;
        let scale = random.below(u64::from(precision.min(30)) + 1) as u32;
        Self {
            name: format!("c{number}"),
            kind,
            required: random.below(3) == 0,
            digits: (precision, scale),
        }
    }

    /// Its type in that database.
    pub fn sql_type(&self, flavour: Flavour) -> String {
        let of = |maria: &str, postgres: &str, sqlite: &str| {
            match flavour {
                Flavour::MariaDb => maria,
                Flavour::Postgres => postgres,
                Flavour::Sqlite => sqlite,
            }
            .to_owned()
        };
        match self.kind {
            Kind::Int16 => "SMALLINT".to_owned(),
            Kind::Int32 => "INT".to_owned(),
            Kind::Int64 => "BIGINT".to_owned(),
            Kind::Bool => "BOOLEAN".to_owned(),
            Kind::Float32 => of("FLOAT", "REAL", "REAL"),
            Kind::Float64 => "DOUBLE PRECISION".to_owned(),
            Kind::Decimal => format!("DECIMAL({},{})", self.digits.0, self.digits.1),
            Kind::Text => "TEXT".to_owned(),
            Kind::Bytes => of("VARBINARY(1000)", "BYTEA", "BLOB"),
            Kind::Date => "DATE".to_owned(),
            Kind::Time => of("TIME(6)", "TIME", "TIME"),
            Kind::Stamp => of("DATETIME(6)", "TIMESTAMP", "TIMESTAMP"),
        }
    }

    /// A random value as SQL.
    pub fn literal(&self, random: &mut Random, flavour: Flavour) -> String {
        if !self.required && random.below(6) == 0 {
            return "NULL".to_owned();
        }
        match self.kind {
            Kind::Int16 => integer(random, i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Int32 => integer(random, i64::from(i32::MIN), i64::from(i32::MAX)),
            // the least number of 64 bits is none to SQL but a sum
            Kind::Int64 => integer(random, -i64::MAX, i64::MAX),
            Kind::Bool => random.pick(&["TRUE", "FALSE"]).to_string(),
            Kind::Float32 => float(f64::from(f32::from_bits(finite32(random))), flavour),
            Kind::Float64 => float(finite64(random), flavour),
            Kind::Decimal => self.decimal(random),
            Kind::Text => text(&random.text(60), flavour),
            Kind::Bytes => bytes(
                &(0..random.below(60))
                    .map(|_| random.bits() as u8)
                    .collect::<Vec<_>>(),
                flavour,
            ),
            Kind::Date => format!("'{}'", date(random)),
            Kind::Time => format!("'{}'", time(random)),
            Kind::Stamp => format!("'{} {}'", date(random), time(random)),
        }
    }

    fn decimal(&self, random: &mut Random) -> String {
        let (precision, scale) = self.digits;
        let count = random.below(u64::from(precision) + 1);
        let digits: String = (0..count)
            .map(|_| char::from(b'0' + random.below(10) as u8))
            .collect();
        let digits = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let whole = if u64::from(scale) == u64::from(precision) {
            "0"
        } else {
            whole
        };
        let sign = random.pick(&["", "-"]);
        if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }

    /// The text in which both sides show the same value, from what SQL shows.
    pub fn canonical(&self, shown: Option<&str>) -> String {
        let Some(shown) = shown else {
            return "NULL".to_owned();
        };
        let millis = |text: &str| {
            let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
            format!("{clock}.{:.3}", format!("{fraction:0<3}"))
        };
        match self.kind {
            Kind::Bool => match shown {
                "true" => "1".to_owned(),
                "false" => "0".to_owned(),
                other => other.to_owned(),
            },
            Kind::Float32 => format!("{:?}", shown.parse::<f64>().unwrap() as f32),
            Kind::Float64 => format!("{:?}", shown.parse::<f64>().unwrap()),
            Kind::Decimal => {
                let decimal =
                    Decimal::parse(shown).unwrap_or_else(|| panic!("{shown} is no decimal"));
                if decimal.significant_digits() == 0 {
                    "0".to_owned()
                } else {
                    decimal.stripped().to_string()
                }
            }
            Kind::Time | Kind::Stamp => millis(shown),
            Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Text | Kind::Bytes | Kind::Date => {
                shown.to_owned()
            }
        }
    }

    /// SQL that shows a value as text.
    pub fn shown(&self, flavour: Flavour) -> String {
        let name = &self.name;
        match (flavour, self.kind) {
            (Flavour::MariaDb, Kind::Text) => format!("HEX(CONVERT({name} USING utf8mb4))"),
            (Flavour::MariaDb, Kind::Bytes) => format!("HEX({name})"),
            // of NULL it is an empty text
            (Flavour::Sqlite, Kind::Text | Kind::Bytes) => {
                format!("iif({name} IS NULL, NULL, hex({name}))")
            }
            (Flavour::MariaDb, Kind::Float32 | Kind::Float64) => {
                format!("CAST(CAST({name} AS DOUBLE) AS CHAR)")
            }
            (Flavour::MariaDb, _) => format!("CAST({name} AS CHAR)"),
            (Flavour::Postgres, Kind::Text) => {
                format!("upper(encode(convert_to({name}, 'UTF8'), 'hex'))")
            }
            (Flavour::Postgres, Kind::Bytes) => format!("upper(encode({name}, 'hex'))"),
            (Flavour::Postgres, _) => format!("CAST({name} AS TEXT)"),
            // as text they would lose their last digit
            (Flavour::Sqlite, Kind::Float32 | Kind::Float64) => name.clone(),
            (Flavour::Sqlite, _) => format!("CAST({name} AS TEXT)"),
        }
    }
}

fn integer(random: &mut Random, least: i64, most: i64) -> String {
    match random.below(5) {
        0 => least,
        1 => most,
        2 => *random.pick(&[0, 1, -1]),
        _ => (random.bits() as i64).clamp(least, most) >> random.below(16),
    }
    .to_string()
}

fn float(value: f64, flavour: Flavour) -> String {
    let text = format!("{value:e}");
    if flavour == Flavour::Postgres {
        format!("'{text}'")
    } else {
        text
    }
}

/// Neither -0, which JSON's readers take for 0, nor what is no number, nor numbers so small that servers cut them.
fn finite64(random: &mut Random) -> f64 {
    if random.below(6) == 0 {
        return *random.pick(&[
            0.0,
            1.0,
            f64::MAX,
            f64::MIN,
            0.1,
            1e23,
            123_456_789.123_456_79,
        ]);
    }
    let value = f64::from_bits(random.bits());
    if value.is_normal() && value.abs() > 1e-300 {
        value
    } else {
        0.5
    }
}

fn finite32(random: &mut Random) -> u32 {
    let value = f32::from_bits(random.bits() as u32);
    if value.is_normal() && value.abs() < 1e38 && value.abs() > 1e-37 {
        value.to_bits()
    } else {
        0.25f32.to_bits()
    }
}

fn text(text: &str, flavour: Flavour) -> String {
    let hex: String = text.bytes().map(|b| format!("{b:02X}")).collect();
    match flavour {
        Flavour::MariaDb => format!("CONVERT(X'{hex}' USING utf8mb4)"),
        Flavour::Postgres => format!("convert_from(decode('{hex}', 'hex'), 'UTF8')"),
        Flavour::Sqlite => format!("CAST(X'{hex}' AS TEXT)"),
    }
}

fn bytes(bytes: &[u8], flavour: Flavour) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
    if flavour == Flavour::Postgres {
        format!("decode('{hex}', 'hex')")
    } else {
        format!("X'{hex}'")
    }
}

/// Days that both calendars have; MariaDB's begin with the year 1000.
fn date(random: &mut Random) -> String {
    let fixed = [
        "1000-01-01",
        "1582-10-04",
        "1582-10-15",
        "1969-12-31",
        "1970-01-01",
        "2000-02-29",
        "9999-12-31",
    ];
    if random.below(3) == 0 {
        return random.pick(&fixed).to_string();
    }
    format!(
        "{}-{:02}-{:02}",
        1600 + random.below(800),
        1 + random.below(12),
        1 + random.below(28)
    )
}

fn time(random: &mut Random) -> String {
    let clock = format!(
        "{:02}:{:02}:{:02}",
        random.below(24),
        random.below(60),
        random.below(60)
    );
    match random.below(4) {
        0 => clock,
        1 => format!("{clock}.{:03}", random.below(1000)),
        _ => format!("{clock}.{:06}", random.below(1_000_000)),
    }
}
