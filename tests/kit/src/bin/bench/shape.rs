//! The tables that are measured: the usual one, and others whose rows are wide, narrow, large or empty.

use testkit::rows_sql;

/// What the rows are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 11 columns, about 200 bytes.
    Usual,
    /// 100 columns, about 1,100 bytes.
    Wide,
    /// Two numbers.
    Narrow,
    /// One text of 0.9 MB.
    Large,
    /// The columns of the usual one without values.
    Null,
}

impl Shape {
    /// By its name on the command line.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "usual" => Self::Usual,
            "wide" => Self::Wide,
            "narrow" => Self::Narrow,
            "large" => Self::Large,
            "null" => Self::Null,
            _ => return None,
        })
    }

    /// The statement that makes the table.
    pub(crate) fn create(self, table: &str) -> String {
        let columns = match self {
            Self::Usual => return rows_sql::create(table),
            Self::Wide => (0..33)
                .map(|n| format!("a{n} INT, b{n} VARCHAR(40), c{n} DECIMAL(12,2)"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Narrow => "value INT".to_owned(),
            Self::Large => "body LONGTEXT".to_owned(),
            Self::Null => "customer INT, name VARCHAR(60), email VARCHAR(60), amount DECIMAL(12,2), quantity SMALLINT, \
                           rate DOUBLE, active TINYINT(1), born DATE, created DATETIME(3), note VARCHAR(200)"
                .to_owned(),
        };
        format!("CREATE TABLE `{table}` (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns})")
    }

    /// The statement that fills it with rows `first` to `last`.
    pub(crate) fn fill(self, table: &str, first: u64, last: u64) -> String {
        let values = match self {
            Self::Usual => return rows_sql::fill(table, first, last),
            Self::Wide => (0..33)
                .map(|n| {
                    format!(
                        "seq * {n} % 1000003, LEFT(MD5(seq + {n}), 20), seq * {n} % 10000000 / 100"
                    )
                })
                .collect::<Vec<_>>()
                .join(", "),
            Self::Narrow => "seq * 7919 % 100003".to_owned(),
            Self::Large => "REPEAT(MD5(seq), 28000)".to_owned(),
            Self::Null => ["NULL"; 10].join(", "),
        };
        format!("INSERT INTO `{table}` SELECT seq, {values} FROM seq_{first}_to_{last}")
    }

    /// Rows that one statement adds: their bytes must have room in the server's log.
    pub(crate) fn rows_at_once(self) -> u64 {
        match self {
            Self::Usual | Self::Narrow | Self::Null => 100_000,
            Self::Wide => 20_000,
            Self::Large => 20,
        }
    }
}
