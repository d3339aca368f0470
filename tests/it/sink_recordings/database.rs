//! The target of one case: its database, made and dropped, and what its tables hold, every value as the server's text.

use std::cmp::Ordering;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection};
use testkit::{mariadb, postgres};

use crate::lab;

/// A longer cell is kept as its length and digest.
const LONG_CELL: usize = 300;
/// A longer table is kept as its count, digest, first and last rows.
const MANY_ROWS: usize = 60;

/// A table of the sink's own, which no recording has.
const OWN_TABLE: &str = "rowferry_offsets";

type Cells = Vec<Option<String>>;

/// Which server, and the databases of the case there.
pub(super) struct Database {
    mysql: bool,
    name: String,
    extra: Vec<String>,
}

impl Database {
    /// Makes it, empty.
    pub(super) async fn create(case: &Value, name: &str) -> Self {
        let mysql = case["target"] == "mysql";
        let extra = case["extra_databases"].as_array().into_iter().flatten();
        let extra: Vec<_> = extra.filter_map(Value::as_str).map(str::to_owned).collect();
        let database = Self {
            mysql,
            name: name.to_owned(),
            extra,
        };
        let charset = case["charset"].as_str();
        if mysql {
            let charset = charset.unwrap_or("utf8mb4");
            for name in database.names() {
                database
                    .admin(&format!("CREATE DATABASE `{name}` CHARACTER SET {charset}"))
                    .await;
            }
        } else {
            let charset = charset.unwrap_or("UTF8");
            let template =
                format!("TEMPLATE template0 ENCODING '{charset}' LC_COLLATE 'C' LC_CTYPE 'C'");
            database
                .admin(&format!("CREATE DATABASE \"{name}\" {template}"))
                .await;
        }
        database
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.extra)
    }

    async fn admin(&self, sql: &str) {
        let sent = if self.mysql {
            send_mysql(&mut lab().mariadb().connect("mysql").await, sql).await
        } else {
            send_postgres(&mut lab().postgres().connect("postgres").await, sql).await
        };
        sent.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    }

    /// Statements that must succeed.
    pub(super) async fn run(&self, statements: &Value) {
        let statements = statements
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let (mut mysql, mut postgres) = (None, None);
        for sql in statements {
            let sent = if self.mysql {
                if mysql.is_none() {
                    mysql = Some(self.mysql().await);
                }
                send_mysql(mysql.as_mut().expect("a connection"), sql).await
            } else {
                if postgres.is_none() {
                    postgres = Some(lab().postgres().connect(&self.name).await);
                }
                send_postgres(postgres.as_mut().expect("a connection"), sql).await
            };
            sent.unwrap_or_else(|error| panic!("{error} in: {sql}"));
        }
    }

    async fn mysql(&self) -> MySqlConnection {
        let mut connection = lab().mariadb().connect(&self.name).await;
        send_mysql(&mut connection, "SET SESSION sql_mode = @@GLOBAL.sql_mode")
            .await
            .expect("the server's sql_mode");
        connection
    }

    /// Drops it.
    pub(super) async fn drop(&self) {
        for name in self.names() {
            if self.mysql {
                self.admin(&format!("DROP DATABASE IF EXISTS `{name}`"))
                    .await;
            } else {
                self.admin(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                    .await;
            }
        }
    }

    /// Every table and view with columns, primary key and rows. `any_order`: columns are sorted by name.
    pub(super) async fn tables(&self, any_order: bool) -> Value {
        let mut tables = if self.mysql {
            self.mysql_tables().await
        } else {
            self.postgres_tables().await
        };
        tables.sort_by(|(a, _), (b, _)| a.cmp(b));
        Value::Object(
            tables
                .into_iter()
                .map(|(name, table)| (name, table.tidy(any_order)))
                .collect(),
        )
    }

    async fn mysql_tables(&self) -> Vec<(String, Table)> {
        let mut sql = self.mysql().await;
        let mut found = Vec::new();
        for database in self.names() {
            let list = format!(
                "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA='{database}' \
                 AND TABLE_NAME<>'{OWN_TABLE}'"
            );
            for table in mariadb::texts(&mut sql, &list).await {
                let (name, kind) = (text(&table[0]), text(&table[1]));
                let of = format!(
                    "TABLE_SCHEMA='{database}' AND TABLE_NAME='{}'",
                    name.replace('\'', "''")
                );
                let list = format!(
                    "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, DATA_TYPE \
                     FROM information_schema.COLUMNS WHERE {of} ORDER BY ORDINAL_POSITION"
                );
                let (mut columns, mut reads) = (Vec::new(), Vec::new());
                for column in mariadb::texts(&mut sql, &list).await {
                    let (name, data_type) = (text(&column[0]), text(&column[5]));
                    reads.push(mysql_read(&name, &data_type));
                    let mut entry = json!({"name": name, "type": column[1], "nullable": text(&column[2]) == "YES",
                        "default": column[3]});
                    if !text(&column[4]).is_empty() {
                        entry["extra"] = json!(column[4]);
                    }
                    columns.push(entry);
                }
                let list = format!(
                    "SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE {of} \
                     AND CONSTRAINT_NAME='PRIMARY' ORDER BY ORDINAL_POSITION"
                );
                let key = mariadb::texts(&mut sql, &list)
                    .await
                    .iter()
                    .map(|row| text(&row[0]))
                    .collect();
                let from = format!("`{database}`.`{}`", name.replace('`', "``"));
                let rows = mariadb::texts(
                    &mut sql,
                    &format!("SELECT {} FROM {from}", reads.join(", ")),
                )
                .await;
                let kind = Some(kind).filter(|kind| kind != "BASE TABLE");
                let shown = if *database == self.name {
                    name
                } else {
                    format!("{database}.{name}")
                };
                found.push((
                    shown,
                    Table {
                        columns,
                        key,
                        rows,
                        kind,
                    },
                ));
            }
        }
        found
    }

    async fn postgres_tables(&self) -> Vec<(String, Table)> {
        let mut sql = lab().postgres().connect(&self.name).await;
        let mut found = Vec::new();
        let list = format!(
            "SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text FROM pg_class c \
             JOIN pg_namespace n ON n.oid=c.relnamespace WHERE c.relkind IN ('r','p','v','m') \
             AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname<>'information_schema' AND c.relname<>'{OWN_TABLE}'"
        );
        for table in postgres::texts(&mut sql, &list).await {
            let (oid, schema, name, kind) = (
                text(&table[0]),
                text(&table[1]),
                text(&table[2]),
                text(&table[3]),
            );
            let list = format!(
                "SELECT a.attname::text, format_type(a.atttypid,a.atttypmod), (NOT a.attnotnull)::text, \
                 pg_get_expr(d.adbin,d.adrelid), a.attidentity::text FROM pg_attribute a LEFT JOIN pg_attrdef d \
                 ON d.adrelid=a.attrelid AND d.adnum=a.attnum WHERE a.attrelid={oid} AND a.attnum>0 \
                 AND NOT a.attisdropped ORDER BY a.attnum"
            );
            let (mut columns, mut reads) = (Vec::new(), Vec::new());
            for column in postgres::texts(&mut sql, &list).await {
                let (name, ty) = (text(&column[0]), text(&column[1]));
                let quoted = format!("\"{}\"", name.replace('"', "\"\""));
                reads.push(if ty == "bytea" {
                    format!("encode({quoted},'hex')")
                } else {
                    format!("{quoted}::text")
                });
                let mut entry = json!({"name": name, "type": ty, "nullable": text(&column[2]) == "true", "default": column[3]});
                if !text(&column[4]).is_empty() {
                    entry["extra"] = "identity".into();
                }
                columns.push(entry);
            }
            let list = format!(
                "SELECT a.attname::text FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY \
                 u(num,pos) JOIN pg_attribute a ON a.attrelid=k.conrelid AND a.attnum=u.num WHERE k.conrelid={oid} \
                 AND k.contype='p' ORDER BY u.pos"
            );
            let key = postgres::texts(&mut sql, &list)
                .await
                .iter()
                .map(|row| text(&row[0]))
                .collect();
            let quoted = [&schema, &name]
                .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
                .join(".");
            let rows = postgres::texts(
                &mut sql,
                &format!("SELECT {} FROM {quoted}", reads.join(", ")),
            )
            .await;
            let kind = match kind.as_str() {
                "p" => Some("PARTITIONED TABLE".to_owned()),
                "v" => Some("VIEW".to_owned()),
                "m" => Some("MATERIALIZED VIEW".to_owned()),
                _ => None,
            };
            let shown = if schema == "public" {
                name
            } else {
                format!("{schema}.{name}")
            };
            found.push((
                shown,
                Table {
                    columns,
                    key,
                    rows,
                    kind,
                },
            ));
        }
        found
    }
}

/// Binary columns are read as hex, FLOAT with all its digits, not the six it shows.
fn mysql_read(name: &str, data_type: &str) -> String {
    let quoted = format!("`{}`", name.replace('`', "``"));
    match data_type {
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            format!("HEX({quoted})")
        }
        "bit" => format!("{quoted}+0"),
        "float" => format!("CAST({quoted} AS DOUBLE)"),
        _ => quoted,
    }
}

struct Table {
    columns: Vec<Value>,
    key: Vec<String>,
    rows: Vec<Cells>,
    kind: Option<String>,
}

impl Table {
    /// Rows in a fixed order; a long cell shrinks to its digest, a long table to its count, digest, first and last rows.
    fn tidy(mut self, any_order: bool) -> Value {
        if any_order {
            let mut order: Vec<usize> = (0..self.columns.len()).collect();
            order.sort_by_key(|&n| self.columns[n]["name"].as_str().map(str::to_owned));
            self.columns = order.iter().map(|&n| self.columns[n].clone()).collect();
            self.rows = self
                .rows
                .iter()
                .map(|row| order.iter().map(|&n| row[n].clone()).collect())
                .collect();
        }
        for cell in self.rows.iter_mut().flatten().flatten() {
            let length = cell.chars().count();
            if length > LONG_CELL {
                *cell = format!("({length} characters, sha256 {})", digest(cell));
            }
        }
        self.rows.sort_by(row_order);
        let mut table = json!({"columns": self.columns, "primary_key": self.key});
        if let Some(kind) = &self.kind {
            table["kind"] = json!(kind);
        }
        let count = self.rows.len();
        table["rows"] = if count > MANY_ROWS {
            let rows = &self.rows;
            let (first, last) = (&rows[..3], &rows[count - 3..]);
            json!({"count": count, "sha256": digest(&python_json(rows)), "first": first, "last": last})
        } else {
            json!(self.rows)
        };
        table
    }
}

/// NULL, then numbers by value, then text: the order of the recordings.
fn row_order(a: &Cells, b: &Cells) -> Ordering {
    let rank = |cell: &Option<String>| match cell {
        None => (0, 0.0),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => (1, number),
            _ => (2, 0.0),
        },
    };
    for (a, b) in a.iter().zip(b) {
        let ((kind_a, number_a), (kind_b, number_b)) = (rank(a), rank(b));
        let order = kind_a.cmp(&kind_b).then(number_a.total_cmp(&number_b));
        let order = if kind_a == 2 {
            order.then_with(|| a.cmp(b))
        } else {
            order
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Rows as JSON in ASCII with spaces after commas, over which the recordings' digests were made.
fn python_json(rows: &[Cells]) -> String {
    let cell = |cell: &Option<String>| {
        let Some(text) = cell else {
            return "null".to_owned();
        };
        let escaped = Value::from(text.as_str()).to_string();
        let mut units = [0; 2];
        let ascii = |c: char| match c {
            '\u{7f}' => "\u{7f}".to_owned(),
            c if c.is_ascii() => c.to_string(),
            c => c
                .encode_utf16(&mut units)
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect(),
        };
        escaped.chars().map(ascii).collect()
    };
    let row = |row: &Cells| format!("[{}]", row.iter().map(cell).collect::<Vec<_>>().join(", "));
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(", "))
}

fn text(cell: &Option<String>) -> String {
    cell.clone().unwrap_or_default()
}

async fn send_mysql(sql: &mut MySqlConnection, statement: &str) -> sqlx::Result<()> {
    sql.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
        .await
        .map(drop)
}

async fn send_postgres(sql: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    sql.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
        .await
        .map(drop)
}
