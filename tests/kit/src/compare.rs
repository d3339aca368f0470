//! The oracle: do two MariaDB tables hold the same rows, by full-table checksum and row by row.

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::mariadb::rows;

/// A table of a database, and the columns that identify a row in it.
#[derive(Clone, Debug)]
pub struct MariaTable<'a> {
    /// Database.
    pub database: &'a str,
    /// Table.
    pub table: &'a str,
}

impl MariaTable<'_> {
    /// `` `database`.`table` ``.
    fn quoted(&self) -> String {
        format!("`{}`.`{}`", self.database, self.table)
    }

    /// Row count and order-free checksum (BIT_XOR of half an MD5) of the canonical text of those columns.
    pub async fn checksum(
        &self,
        connection: &mut MySqlConnection,
        canonical: &[String],
    ) -> (i64, u64) {
        let text = canonical.join(", ");
        let sql = format!(
            "SELECT COUNT(*), CAST(COALESCE(BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('|', {text})), 16), 16, 10) AS UNSIGNED)), 0) \
             AS UNSIGNED) FROM {}",
            self.quoted()
        );
        let row = sqlx::query(AssertSqlSafe(sql.clone()))
            .fetch_one(connection)
            .await;
        let row = row.unwrap_or_else(|error| panic!("{error} in: {sql}"));
        (row.get(0), row.get(1))
    }

    /// Expressions that give each column's value one text whatever its exact type: decimals with 30 digits, moments
    /// with milliseconds, text and bytes as hexadecimal, NULL as a word of its own. In column order.
    pub async fn canonical(&self, connection: &mut MySqlConnection) -> Vec<String> {
        let sql = format!(
            "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR) FROM information_schema.columns \
             WHERE table_schema = '{}' AND table_name = '{}' ORDER BY ordinal_position",
            self.database, self.table
        );
        let columns = rows(connection, &sql).await;
        assert!(!columns.is_empty(), "{} does not exist", self.quoted());
        columns
            .iter()
            .map(|column| canonical_text(column.get(0), column.get(1)))
            .collect()
    }
}

fn canonical_text(column: &str, data_type: &str) -> String {
    let text = match data_type {
        "decimal" => format!("CAST(`{column}` AS DECIMAL(65,30))"),
        "datetime" | "timestamp" => {
            format!(
                "CONCAT(DATE_FORMAT(`{column}`, '%Y-%m-%d %T.'), LPAD(MICROSECOND(`{column}`) DIV 1000, 3, '0'))"
            )
        }
        "time" => {
            format!(
                "CONCAT(TIME_TO_SEC(`{column}`) DIV 1, '.', LPAD(MICROSECOND(`{column}`) DIV 1000, 3, '0'))"
            )
        }
        "float" | "double" => format!("CAST(`{column}` AS DOUBLE)"),
        "bit" => format!("`{column}` + 0"),
        "char" | "varchar" | "text" | "tinytext" | "mediumtext" | "longtext" | "enum" | "set"
        | "uuid" | "inet6" => {
            format!("HEX(CONVERT(`{column}` USING utf8mb4))")
        }
        "binary" | "varbinary" | "blob" | "tinyblob" | "mediumblob" | "longblob" => {
            format!("HEX(`{column}`)")
        }
        _ => format!("CAST(`{column}` AS CHAR)"),
    };
    format!("COALESCE({text}, 'NULL')")
}

/// Panics unless both tables hold the same rows, as seen through the first one's columns, and names up to five rows
/// that differ. Returns how many rows they hold.
pub async fn assert_same(
    connection: &mut MySqlConnection,
    left: &MariaTable<'_>,
    right: &MariaTable<'_>,
) -> i64 {
    let canonical = left.canonical(connection).await;
    let ours = left.checksum(connection, &canonical).await;
    let theirs = right.checksum(connection, &canonical).await;
    if ours != theirs {
        let text = format!("CONCAT_WS('|', {})", canonical.join(", "));
        let only = |these: &MariaTable<'_>, those: &MariaTable<'_>| {
            format!(
                "SELECT CAST(x AS CHAR) FROM (SELECT {text} x, COUNT(*) n FROM {} GROUP BY x) a LEFT JOIN \
                 (SELECT {text} y, COUNT(*) m FROM {} GROUP BY y) b ON x = y WHERE m IS NULL OR m <> n LIMIT 5",
                these.quoted(),
                those.quoted()
            )
        };
        let in_left = rows(connection, &only(left, right)).await;
        let in_right = rows(connection, &only(right, left)).await;
        let show = |found: Vec<sqlx::mysql::MySqlRow>| -> String {
            found
                .iter()
                .map(|row| row.get::<String, _>(0) + "\n  ")
                .collect()
        };
        panic!(
            "{} has {} rows, {} has {}\nmore often in the first:\n  {}\nmore often in the second:\n  {}",
            left.quoted(),
            ours.0,
            right.quoted(),
            theirs.0,
            show(in_left),
            show(in_right)
        );
    }
    ours.0
}
