//! How MariaDB and MySQL are written to: column types, literals, ON DUPLICATE KEY UPDATE, the
//! offsets table.

use connector_api::{Schema, SchemaType, Value};

use super::super::Dialect;
use super::super::column_type::TargetColumnType;
use super::super::source_type::{BITS, SourceColumn};
use super::super::writing::{
    ColumnCapacity, ColumnSpec, ColumnWidening, DATE, DATE_TIME, JSON, KeysSql, LogicalType,
    OffsetsSql, StatementColumns, StatementProbe, TIME, TextEquality, WriteDialect, hex,
    numeric_literal,
};
use super::keys::{INDEXES, UniqueIndexes};
use super::{MySqlDialect, holds, widening};
use crate::catalog::ColumnMeta;
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// The writing half of the dialect, for one server.
#[derive(Clone, Copy, Debug)]
pub struct MySqlWriteDialect {
    mariadb: bool,
}

impl MySqlWriteDialect {
    /// Creates the dialect for a server of that version text.
    pub fn new(server_version: &str) -> Self {
        Self {
            mariadb: server_version.contains("MariaDB"),
        }
    }

    /// Maximum digits after the decimal point of DECIMAL.
    fn max_scale(self) -> i32 {
        if self.mariadb { 38 } else { 30 }
    }
}

/// Maximum bits of a BIT column.
const MOST_BITS: u8 = 64;
/// Text type for keys: an index of up to 3,072 bytes holds three of them.
const KEY_TEXT: &str = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Appends a text literal.
fn quoted_text(text: &str, out: &mut String) {
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
}

impl WriteDialect for MySqlWriteDialect {
    fn database(&self) -> DatabaseKind {
        DatabaseKind::MySql
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &MySqlDialect
    }

    /// READ COMMITTED takes no gap locks. Strict mode makes a value that does not fit an error
    /// instead of silently truncating it; a zero in an AUTO_INCREMENT column stays zero; a
    /// backslash in a literal is an escape. Lock timeouts are short because waiting for locks of
    /// others is done by retries, so that the status reports it.
    fn session(&self) -> &'static [&'static str] {
        &[
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION sql_mode = CONCAT(REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''), \
             ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')",
            // Tables created by the sink must be able to roll back, whatever the server's default
            // engine.
            "SET SESSION default_storage_engine = (SELECT IF(transactions = 'YES', engine, 'InnoDB') \
             FROM information_schema.engines WHERE engine = @@default_storage_engine)",
            "SET SESSION idle_write_transaction_timeout = 30",
            "SET SESSION innodb_lock_wait_timeout = 5",
            "SET SESSION lock_wait_timeout = 30",
        ]
    }

    fn surroundings(&self) -> &'static str {
        "SELECT DATABASE(), NULL, @@max_allowed_packet"
    }

    /// Most collations ignore letter case and trailing spaces.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality {
        match column.map(|column| column.data_type.as_str()) {
            Some("inet4" | "inet6" | "binary") => TextEquality::Unknown,
            _ => TextEquality::Folded,
        }
    }

    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String> {
        if column.instant && matches!(column.schema.ty, SchemaType::Int64 | SchemaType::String) {
            return Some("DATETIME(6)".to_owned());
        }
        let ty = match LogicalType::of(column.schema) {
            LogicalType::Decimal(scale) if scale > self.max_scale() => {
                if column.key {
                    KEY_TEXT
                } else {
                    "TEXT"
                }
            }
            LogicalType::Decimal(scale) => return Some(format!("DECIMAL(65,{})", scale.max(0))),
            LogicalType::Date => "DATE",
            LogicalType::Time => "TIME(3)",
            LogicalType::Timestamp => "DATETIME(3)",
            LogicalType::None => match column.schema.ty {
                SchemaType::Int8 | SchemaType::Boolean => "TINYINT",
                SchemaType::Int16 => "SMALLINT",
                SchemaType::Int32 => "INT",
                SchemaType::Int64 => "BIGINT",
                SchemaType::Float32 => "FLOAT",
                SchemaType::Float64 => "DOUBLE",
                SchemaType::String if column.schema.is_named(DATE) => "DATE",
                SchemaType::String if column.schema.is_named(TIME) => "TIME(6)",
                SchemaType::String if column.schema.is_named(DATE_TIME) => "DATETIME(6)",
                SchemaType::String if column.key => KEY_TEXT,
                SchemaType::String if column.schema.is_named(JSON) => "JSON",
                SchemaType::String => "TEXT",
                SchemaType::Bytes if column.schema.is_named(BITS) => {
                    let length = column
                        .schema
                        .get_param("length")
                        .and_then(|length| length.parse::<u8>().ok());
                    return Some(
                        length
                            .filter(|n| (1..=MOST_BITS).contains(n))
                            .map_or("BLOB".into(), |n| format!("BIT({n})")),
                    );
                }
                SchemaType::Bytes => "VARBINARY(1024)",
                SchemaType::Array | SchemaType::Map | SchemaType::Struct => return None,
            },
        };
        Some(ty.to_owned())
    }

    fn carried_type(&self, carried: &SourceColumn, key: bool) -> Option<String> {
        widening::carried_type(carried, key, self.mariadb)
    }

    fn holds(&self, column: &ColumnMeta) -> TargetColumnType {
        holds::holds(column)
    }

    fn room(&self, column: &ColumnMeta) -> Option<ColumnCapacity> {
        widening::room(column)
    }

    fn longer(&self, column: &ColumnMeta, length: u64) -> Option<String> {
        widening::longer(column, length)
    }

    fn wider(&self, column: &ColumnMeta, schema: &Schema) -> Option<String> {
        widening::wider(column, schema, self.max_scale())
    }

    fn can_loosen(&self) -> bool {
        true
    }

    fn shown_by(&self, table: &str) -> Option<String> {
        Some(format!("SHOW CREATE TABLE {table}"))
    }

    fn change_columns(
        &self,
        table: &str,
        changes: &[ColumnWidening],
        shown: &str,
    ) -> Option<String> {
        widening::change_columns(table, changes, shown)
    }

    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        if let Some(text) = column.default_time {
            out.push('\'');
            out.push_str(text);
            out.push('\'');
            return Some(());
        }
        match value {
            Value::Bool(flag) => out.push(if *flag { '1' } else { '0' }),
            Value::Text(text) => quoted_text(text, out),
            Value::Bytes(bytes) => {
                out.push_str("X'");
                hex(bytes, out);
                out.push('\'');
            }
            other => numeric_literal(other, out)?,
        }
        Some(())
    }

    /// MySQL accepts a default of TEXT and BLOB only as an expression in parentheses (since
    /// 8.0.13).
    fn default_clause(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let mut literal = String::new();
        self.literal(column, column.schema.default.as_ref()?, &mut literal)?;
        let text = self.column_type(column).is_some_and(|ty| ty == "TEXT");
        Some(if text && !self.mariadb {
            format!("DEFAULT ({literal})")
        } else {
            format!("DEFAULT {literal}")
        })
    }

    /// `VALUES()` is deprecated by MySQL but the only form that MariaDB knows. The guard sets a key
    /// column to NULL, which strict mode refuses (error 1048), if the existing row has another key.
    fn on_conflict(&self, columns: StatementColumns<'_>, guard: bool, out: &mut String) {
        out.push_str(" ON DUPLICATE KEY UPDATE ");
        let values = columns.all.iter().filter(|c| !columns.keys.contains(c));
        let mut set: Vec<String> = values
            .map(|c| MySqlDialect.quoted(c.name))
            .map(|c| format!("{c}=VALUES({c})"))
            .collect();
        if let Some(first) = columns.keys.first().map(|k| MySqlDialect.quoted(k.name)) {
            if guard {
                let same: Vec<_> = columns
                    .keys
                    .iter()
                    .map(|k| MySqlDialect.quoted(k.name))
                    .map(|k| format!("{k}<=>VALUES({k})"))
                    .collect();
                set.insert(
                    0,
                    format!("{first}=IF({},{first},NULL)", same.join(" AND ")),
                );
            } else if set.is_empty() {
                set.push(format!("{first}={first}"));
            }
        }
        out.push_str(&set.join(","));
    }

    /// ON DUPLICATE KEY uses whatever unique indexes exist when it runs, without an error.
    fn keys_sql(&self) -> Option<KeysSql> {
        Some(KeysSql {
            sql: INDEXES,
            are: |rows, keys| UniqueIndexes::read(rows).keys() == keys,
        })
    }

    fn guard_sign(&self) -> Option<&'static str> {
        Some("(1048,")
    }

    /// True for types and character sets whose union with a parameter is the column's own type, so
    /// that nothing is converted.
    fn updates_many(&self, column: &ColumnMeta) -> bool {
        const TYPES: [&str; 24] = [
            "tinyint",
            "smallint",
            "mediumint",
            "int",
            "bigint",
            "decimal",
            "float",
            "double",
            "char",
            "varchar",
            "tinytext",
            "text",
            "mediumtext",
            "longtext",
            "date",
            "datetime",
            "timestamp",
            "time",
            "binary",
            "varbinary",
            "tinyblob",
            "blob",
            "mediumblob",
            "longblob",
        ];
        let charset = column
            .charset
            .as_deref()
            .is_none_or(|charset| charset == "utf8mb4");
        self.mariadb && charset && TYPES.contains(&column.data_type.as_str())
    }

    /// Joins the table with the rows, each a SELECT of parameters. The first part of the union has
    /// no rows: it gives the columns the table's types and collations, without which keys would be
    /// compared differently.
    fn update_many(&self, table: &TableId, columns: StatementColumns<'_>, rows: usize) -> String {
        let table = MySqlDialect.table(table);
        let names: Vec<_> = columns
            .all
            .iter()
            .map(|c| MySqlDialect.quoted(c.name))
            .collect();
        let typed: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| format!("{name} AS c{n}"))
            .collect();
        let mut out = format!("UPDATE (SELECT {} FROM {table} WHERE 1=0", typed.join(","));
        let row = format!(" UNION ALL SELECT {}", vec!["?"; names.len()].join(","));
        (0..rows).for_each(|_| out.push_str(&row));
        let is_key = |n: usize| columns.keys.contains(&columns.all[n]);
        let pairs = |keys: bool, separator: &str| {
            let chosen = (0..names.len()).filter(|&n| is_key(n) == keys);
            chosen
                .map(|n| format!("t.{}=s.c{n}", names[n]))
                .collect::<Vec<_>>()
                .join(separator)
        };
        // The rows come first in the join, so that the table is looked up by its key and never
        // scanned.
        out.push_str(&format!(
            ") s STRAIGHT_JOIN {table} t ON {} SET {}",
            pairs(true, " AND "),
            pairs(false, ",")
        ));
        out
    }

    /// In arithmetic, a decimal's text would be taken for a floating-point number.
    fn argument_cast(&self, schema: &Schema) -> Option<String> {
        match LogicalType::of(schema) {
            LogicalType::Decimal(scale) if scale <= self.max_scale() => {
                Some(format!("DECIMAL(65,{})", scale.max(0)))
            }
            _ => None,
        }
    }

    fn statement_probe(&self, sql: &str) -> Option<StatementProbe> {
        let mut prepare = "PREPARE rowferry_statement FROM ".to_owned();
        quoted_text(sql, &mut prepare);
        Some(StatementProbe {
            prepare,
            types: None,
            forget: "DEALLOCATE PREPARE rowferry_statement",
        })
    }

    fn offsets_sql(&self) -> &'static OffsetsSql {
        &LEDGER
    }
}

const LEDGER: OffsetsSql = OffsetsSql {
    places: None,
    create: "CREATE TABLE IF NOT EXISTS {table} (\n\
             cluster VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'Kafka cluster',\n\
             sink VARCHAR(255) NOT NULL COMMENT 'connector',\n\
             topic VARCHAR(249) NOT NULL,\n\
             partition_id INT NOT NULL,\n\
             next_offset BIGINT NOT NULL COMMENT 'next record to read; -1: none yet',\n\
             epoch BIGINT NOT NULL COMMENT 'one more with each owner',\n\
             owner VARCHAR(255) NOT NULL COMMENT 'task that wrote last',\n\
             session_id BIGINT NULL COMMENT 'its CONNECTION_ID()',\n\
             updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,\n\
             PRIMARY KEY (cluster, sink, topic, partition_id)\n\
             ) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    upgrade: &[
        "ALTER TABLE {table} ADD COLUMN cluster VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'Kafka cluster' \
               FIRST, DROP PRIMARY KEY, ADD PRIMARY KEY (cluster, sink, topic, partition_id)",
    ],
    seed: "INSERT IGNORE INTO {table} (cluster, sink, topic, partition_id, next_offset, epoch, owner) \
           VALUES (?, ?, ?, ?, -1, 0, '')",
    session: "CONNECTION_ID()",
    lock: " FOR UPDATE",
    short_wait: &["SET SESSION innodb_lock_wait_timeout = 1"],
    usual_wait: &["SET SESSION innodb_lock_wait_timeout = 5"],
    own_session: "SELECT 1 FROM information_schema.PROCESSLIST \
                  WHERE ID = ? AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
    end_session: "KILL CONNECTION {}",
};

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value};

    use super::{ColumnSpec, MySqlWriteDialect, StatementColumns, WriteDialect};
    use crate::dialect::writing::{StatementColumn, UpsertAction};
    use crate::ident::TableId;

    const MARIADB: MySqlWriteDialect = MySqlWriteDialect { mariadb: true };

    fn spec<'a>(name: &'a str, schema: &'a Schema, key: bool) -> ColumnSpec<'a> {
        ColumnSpec {
            name,
            schema,
            key,
            instant: false,
            default_time: None,
        }
    }

    #[test]
    fn a_table_is_created_as_the_peers_do() {
        let with = |schema: Schema, default: Value| Schema {
            default: Some(default),
            ..schema
        };
        let schemas = [
            Schema::of(SchemaType::Int32),
            Schema::of(SchemaType::Int64),
            Schema::of(SchemaType::String).optional(true),
            with(Schema::date(), Value::I32(11_396)),
            Schema::decimal(4).optional(true),
            with(Schema::of(SchemaType::Boolean), Value::Bool(true)),
            with(
                Schema::of(SchemaType::String),
                Value::Text("it's \\ 50%".into()),
            ),
            Schema::decimal(-2),
            Schema::decimal(60),
        ];
        let mut columns: Vec<_> = ["c1", "c2", "c3", "c4", "c5", "c6", "c`7", "c8", "c9"]
            .iter()
            .zip(&schemas)
            .map(|(n, s)| spec(n, s, false))
            .collect();
        columns[0].key = true;
        columns[3].default_time = Some("2001-03-15");
        assert_eq!(
            MARIADB
                .create_table(&TableId::in_catalog("d", "t"), &columns)
                .unwrap(),
            "CREATE TABLE IF NOT EXISTS `d`.`t` (\n`c1` INT NOT NULL,\n`c2` BIGINT NOT NULL,\n`c3` TEXT NULL,\n\
             `c4` DATE DEFAULT '2001-03-15',\n`c5` DECIMAL(65,4) NULL,\n`c6` TINYINT DEFAULT 1,\n\
             `c``7` TEXT DEFAULT 'it''s \\\\ 50%',\n`c8` DECIMAL(65,0) NOT NULL,\n`c9` TEXT NOT NULL,\nPRIMARY KEY(`c1`))"
        );
        let nested = Schema::array(Schema::of(SchemaType::Int32));
        let text = MARIADB
            .create_table(&TableId::bare("t"), &[spec("a", &nested, false)])
            .unwrap_err();
        assert!(
            text.starts_with(
                "null (ARRAY) type doesn't have a mapping to the SQL database column type"
            ),
            "{text}"
        );
    }

    #[test]
    fn keys_that_are_text_have_a_length() {
        let text = Schema::of(SchemaType::String);
        let ty = MARIADB.column_type(&spec("k", &text, true)).unwrap();
        assert_eq!(ty, "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    }

    #[test]
    fn statements_of_every_mode() {
        let table = TableId::in_catalog("d", "t");
        let [k, k2, a] = ["k", "k2", "a"].map(|name| StatementColumn {
            name,
            cast: "",
            always_numbered: false,
            own_equality: None,
        });
        let both = StatementColumns {
            keys: &[k, k2],
            all: &[k, k2, a],
        };
        let only_keys = StatementColumns {
            keys: &[k],
            all: &[k],
        };
        for (seen, want) in [
            (
                MARIADB.insert(&table, both, 2, None),
                "INSERT INTO `d`.`t`(`k`,`k2`,`a`) VALUES(?,?,?),(?,?,?)",
            ),
            (
                MARIADB.insert(&table, both, 1, Some(UpsertAction::Plain)),
                "INSERT INTO `d`.`t`(`k`,`k2`,`a`) VALUES(?,?,?) ON DUPLICATE KEY UPDATE `a`=VALUES(`a`)",
            ),
            (
                MARIADB.insert(&table, only_keys, 1, Some(UpsertAction::Plain)),
                "INSERT INTO `d`.`t`(`k`) VALUES(?) ON DUPLICATE KEY UPDATE `k`=`k`",
            ),
            (
                MARIADB.insert(&table, only_keys, 1, Some(UpsertAction::Guarded)),
                "INSERT INTO `d`.`t`(`k`) VALUES(?) ON DUPLICATE KEY UPDATE `k`=IF(`k`<=>VALUES(`k`),`k`,NULL)",
            ),
            (
                MARIADB.update(&table, both),
                "UPDATE `d`.`t` SET `a`=? WHERE `k`=? AND `k2`=?",
            ),
            (
                MARIADB.update_many(&table, both, 2),
                "UPDATE (SELECT `k` AS c0,`k2` AS c1,`a` AS c2 FROM `d`.`t` WHERE 1=0 UNION ALL SELECT ?,?,? \
                 UNION ALL SELECT ?,?,?) s STRAIGHT_JOIN `d`.`t` t ON t.`k`=s.c0 AND t.`k2`=s.c1 SET t.`a`=s.c2",
            ),
            (
                MARIADB.delete(&table, &[k], 3),
                "DELETE FROM `d`.`t` WHERE `k` IN (?,?,?)",
            ),
            (
                MARIADB.delete(&table, &[k, k2], 2),
                "DELETE FROM `d`.`t` WHERE (`k`=? AND `k2`=?) OR (`k`=? AND `k2`=?)",
            ),
        ] {
            assert_eq!(seen, want);
        }
    }
}
