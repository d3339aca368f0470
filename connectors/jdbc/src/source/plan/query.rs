//! Writes the statement of each mode: text and parameters. Pure.
//!
//! Tables are read in pages: every statement asks for a limited number of rows after a position, in
//! the order of a key. Without a key that distinguishes the rows, it asks for all of them at once.

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, Value};

use super::key_plan::KeyPlan;
use crate::calendar::wall_text;
use crate::dialect::Dialect;
use crate::driver::SqlParam;
use crate::source::config::SourceMode;

/// A page of rows is cut when its values weigh more than this many bytes.
pub(crate) const PAGE_WEIGHT: usize = 4 << 20;

/// What is read, as SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryShape {
    pub mode: SourceMode,
    /// `SELECT … FROM …`, or the user's query.
    pub select: String,
    pub id: Option<String>,
    /// SQL type of the id column.
    pub id_type: String,
    /// The timestamp column, or COALESCE of several.
    pub timestamp: Option<String>,
    /// SQL type to which a bound timestamp is cast, for databases that require it.
    pub timestamp_type: String,
    /// Columns that distinguish rows beyond those of the mode (bulk and timestamp: the primary
    /// key), each with its SQL type. Empty: rows are not read in pages.
    pub key: Vec<(String, String)>,
    /// True if the rows can be read in pages.
    pub paged: bool,
    /// `query.suffix`
    pub suffix: Option<String>,
}

/// A position from which reading continues. Timestamps are microseconds on the server's calendar.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReadPosition {
    /// Rows after this timestamp.
    pub timestamp: Option<i64>,
    /// Rows before this timestamp.
    pub before: Option<i64>,
    /// Rows above this id.
    pub id: Option<i64>,
    /// Rows up to this id.
    pub up_to: Option<i64>,
    /// Also rows of the timestamp `at.0` after the key `at.1` (timestamp mode, in the middle of
    /// equal timestamps).
    pub at: Option<(i64, Vec<Value>)>,
    /// Bulk mode: rows after this key.
    pub key: Option<Vec<Value>>,
    /// Bulk mode: only rows whose key is within.
    pub bounds: KeyBounds,
}

/// Bounds of a key, both inclusive. Each has values of all columns of the key, or of the first ones;
/// without values it is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeyBounds {
    pub first: Vec<Value>,
    pub last: Vec<Value>,
}

/// Text and parameters of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SqlStatement {
    pub sql: Arc<str>,
    pub params: Vec<SqlParam<'static>>,
}

struct QueryBuilder<'a> {
    dialect: &'a dyn Dialect,
    timestamp_type: &'a str,
    sql: String,
    params: Vec<SqlParam<'static>>,
}

impl QueryBuilder<'_> {
    fn text(&mut self, text: &str) -> &mut Self {
        self.sql.push_str(text);
        self
    }

    /// Writes the names of columns.
    fn columns(&mut self, key: &[(String, String)]) -> &mut Self {
        for (n, (column, _)) in key.iter().enumerate() {
            self.text(if n == 0 { "" } else { "," }).text(column);
        }
        self
    }

    fn bind(&mut self, param: SqlParam<'static>, sql_type: &str) -> &mut Self {
        self.params.push(param);
        self.dialect
            .typed_placeholder(self.params.len(), sql_type, &mut self.sql);
        self
    }

    fn timestamp(&mut self, micros: i64) -> &mut Self {
        let text = wall_text(micros, ' ', 6);
        let sql_type = self.timestamp_type.to_owned();
        self.bind(SqlParam::Text(Cow::Owned(text)), &sql_type)
    }

    fn long(&mut self, n: i64) -> &mut Self {
        self.bind(SqlParam::I64(n), "")
    }

    /// `id > n`, also where the type of the id has no number that low or that high.
    fn above(&mut self, id: &str, id_type: &str, n: i64) -> &mut Self {
        let known = self.dialect.comparable_integers(id_type);
        let (operator, bound) = if n < *known.start() {
            (" >= ", *known.start())
        } else {
            (" > ", n.min(*known.end()))
        };
        self.text(id).text(operator).long(bound)
    }

    /// `id <= n`, also where the type of the id has no number that high.
    fn id_up_to(&mut self, id: &str, id_type: &str, n: i64) -> &mut Self {
        let known = self.dialect.comparable_integers(id_type);
        self.text(id).text(" <= ").long(n.min(*known.end()))
    }

    fn build(self) -> SqlStatement {
        SqlStatement {
            sql: self.sql.into(),
            params: self.params,
        }
    }

    /// `a > ?` for one column; `a >= ? AND (a > ? OR (a = ? AND …))` for several, so that an index
    /// can be used.
    fn after(&mut self, key: &[(String, String)], values: &[Value]) -> &mut Self {
        self.beside(key, values, [" >= ", " > ", " > "])
    }

    /// `a <= ?` for one column; `a <= ? AND (a < ? OR (a = ? AND …))` for several.
    fn up_to(&mut self, key: &[(String, String)], values: &[Value]) -> &mut Self {
        self.beside(key, values, [" <= ", " < ", " <= "])
    }

    /// `a >= ?` for one column; `a >= ? AND (a > ? OR (a = ? AND …))` for several.
    fn at_or_after(&mut self, key: &[(String, String)], values: &[Value]) -> &mut Self {
        self.beside(key, values, [" >= ", " > ", " >= "])
    }

    /// Compares a key. A column before the last must be at or beyond its value; either it is
    /// beyond, or it is equal and the remaining columns are compared. The last column has its own
    /// operator.
    fn beside(
        &mut self,
        key: &[(String, String)],
        values: &[Value],
        operators: [&str; 3],
    ) -> &mut Self {
        let [(column, sql_type), rest @ ..] = key else {
            return self;
        };
        let [value, others @ ..] = values else {
            return self;
        };
        let [at_or_beyond, beyond, last] = operators;
        if rest.is_empty() {
            return self.text(column).text(last).bind(param(value), sql_type);
        }
        self.text("(")
            .text(column)
            .text(at_or_beyond)
            .bind(param(value), sql_type);
        self.text(" AND (")
            .text(column)
            .text(beyond)
            .bind(param(value), sql_type);
        self.text(" OR (")
            .text(column)
            .text(" = ")
            .bind(param(value), sql_type)
            .text(" AND ");
        self.beside(rest, others, operators).text(")))")
    }
}

/// Returns the statement that continues from a position; limited to `limit` rows if it is read in
/// pages.
pub(crate) fn statement(
    shape: &QueryShape,
    from: &ReadPosition,
    limit: u64,
    dialect: &dyn Dialect,
) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: &shape.timestamp_type,
        sql: shape.select.clone(),
        params: Vec::new(),
    };
    match (shape.mode, &shape.id, &shape.timestamp) {
        (SourceMode::Incrementing, Some(id), _) => by_id(&mut b, id, &shape.id_type, from),
        (SourceMode::Timestamp, _, Some(timestamp)) => by_timestamp(&mut b, shape, timestamp, from),
        (SourceMode::TimestampIncrementing, Some(id), Some(timestamp)) => {
            by_timestamp_and_id(&mut b, timestamp, (id, &shape.id_type), from);
        }
        _ if shape.paged => by_key(&mut b, shape, from),
        _ => {}
    }
    if shape.paged {
        b.text(" LIMIT ")
            .long(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    if let Some(suffix) = &shape.suffix {
        b.text(" ").text(suffix);
    }
    b.build()
}

fn by_id(b: &mut QueryBuilder<'_>, id: &str, id_type: &str, from: &ReadPosition) {
    b.text(" WHERE ").above(id, id_type, from.id.unwrap_or(-1));
    if let Some(up_to) = from.up_to {
        b.text(" AND ").id_up_to(id, id_type, up_to);
    }
    b.text(" ORDER BY ").text(id).text(" ASC");
}

fn by_timestamp(
    b: &mut QueryBuilder<'_>,
    shape: &QueryShape,
    timestamp: &str,
    from: &ReadPosition,
) {
    let before = from.before.unwrap_or(i64::MAX);
    match &from.at {
        Some((at, key)) => {
            b.text(" WHERE ")
                .text(timestamp)
                .text(" < ")
                .timestamp(before);
            b.text(" AND ((")
                .text(timestamp)
                .text(" = ")
                .timestamp(*at)
                .text(" AND ")
                .after(&shape.key, key);
            b.text(") OR ")
                .text(timestamp)
                .text(" > ")
                .timestamp(*at)
                .text(")");
        }
        None => {
            b.text(" WHERE ")
                .text(timestamp)
                .text(" > ")
                .timestamp(from.timestamp.unwrap_or(0));
            b.text(" AND ")
                .text(timestamp)
                .text(" < ")
                .timestamp(before);
        }
    }
    b.text(" ORDER BY ").text(timestamp);
    if shape.paged {
        for (column, _) in &shape.key {
            b.text(",").text(column);
        }
    }
    b.text(" ASC");
}

fn by_timestamp_and_id(
    b: &mut QueryBuilder<'_>,
    timestamp: &str,
    (id, id_type): (&str, &str),
    from: &ReadPosition,
) {
    let after = from.timestamp.unwrap_or(0);
    b.text(" WHERE ")
        .text(timestamp)
        .text(" < ")
        .timestamp(from.before.unwrap_or(i64::MAX));
    b.text(" AND ((")
        .text(timestamp)
        .text(" = ")
        .timestamp(after)
        .text(" AND ")
        .above(id, id_type, from.id.unwrap_or(-1));
    b.text(") OR ").text(timestamp).text(" > ").timestamp(after);
    b.text(") ORDER BY ")
        .text(timestamp)
        .text(",")
        .text(id)
        .text(" ASC");
}

/// Bulk mode: the next rows in the order of the key.
fn by_key(b: &mut QueryBuilder<'_>, shape: &QueryShape, from: &ReadPosition) {
    // Bounds may have values of the first columns only.
    let columns = |values: &[Value]| shape.key.get(..values.len()).unwrap_or(&shape.key);
    let KeyBounds { first, last } = &from.bounds;
    let mut word = " WHERE ";
    if let Some(key) = &from.key {
        b.text(word).after(&shape.key, key);
        word = " AND ";
    } else if !first.is_empty() {
        b.text(word).at_or_after(columns(first), first);
        word = " AND ";
    }
    if !last.is_empty() {
        b.text(word).up_to(columns(last), last);
    }
    b.text(" ORDER BY ").columns(&shape.key);
}

/// Returns the statement that reads the row with this key.
pub(crate) fn of_key(shape: &QueryShape, key: &[Value], dialect: &dyn Dialect) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: shape.select.clone(),
        params: Vec::new(),
    };
    for (n, ((column, sql_type), value)) in shape.key.iter().zip(key).enumerate() {
        b.text(if n == 0 { " WHERE " } else { " AND " })
            .text(column)
            .text(" = ")
            .bind(param(value), sql_type);
    }
    b.build()
}

/// Returns the statement that reads the rows with ids in these ranges. The ranges are padded to a
/// power of two, so that the text stays the same for up to twice as many.
pub(crate) fn within(
    shape: &QueryShape,
    ranges: &[(i64, i64)],
    dialect: &dyn Dialect,
) -> SqlStatement {
    let id = shape.id.as_deref().unwrap_or("NULL");
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: shape.select.clone(),
        params: Vec::new(),
    };
    let rest = ranges
        .last()
        .into_iter()
        .cycle()
        .take(ranges.len().next_power_of_two() - ranges.len());
    for (n, (first, last)) in ranges.iter().chain(rest).enumerate() {
        b.text(if n == 0 { " WHERE (" } else { " OR " })
            .text(id)
            .text(" BETWEEN ")
            .long(*first);
        b.text(" AND ").long(*last);
    }
    b.text(") ORDER BY ").text(id).text(" ASC");
    b.build()
}

/// Returns a statement that counts the ids of a range, with sums that distinguish two sets of ids:
/// rows, sum, sum of the CRC-32 of their texts. (Adding 0 removes ZEROFILL's zeros from the text.)
pub(crate) fn fingerprint(
    table: &str,
    id: &str,
    above: i64,
    up_to: i64,
    dialect: &dyn Dialect,
) -> SqlStatement {
    range(
        &format!("SELECT COUNT(*), SUM({id}), SUM(CRC32(0+{id})) FROM {table}"),
        id,
        above,
        up_to,
        "",
        dialect,
    )
}

/// Returns a statement for the ids of a range in ascending order.
pub(crate) fn ids(
    table: &str,
    id: &str,
    above: i64,
    up_to: i64,
    dialect: &dyn Dialect,
) -> SqlStatement {
    range(
        &format!("SELECT {id} FROM {table}"),
        id,
        above,
        up_to,
        &format!(" ORDER BY {id}"),
        dialect,
    )
}

fn range(
    select: &str,
    id: &str,
    above: i64,
    up_to: i64,
    tail: &str,
    dialect: &dyn Dialect,
) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: select.to_owned(),
        params: Vec::new(),
    };
    b.text(" WHERE ")
        .text(id)
        .text(" > ")
        .long(above)
        .text(" AND ")
        .text(id)
        .text(" <= ")
        .long(up_to)
        .text(tail);
    b.build()
}

/// Returns a statement for the next keys of a table in their order, between two keys.
pub(crate) fn keys(
    plan: &KeyPlan,
    after: Option<&[Value]>,
    up_to: Option<&[Value]>,
    limit: u64,
    dialect: &dyn Dialect,
) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: plan.select.clone(),
        params: Vec::new(),
    };
    if let Some(after) = after {
        b.text(" WHERE ").after(&plan.columns, after);
    }
    if let Some(up_to) = up_to {
        b.text(if after.is_some() { " AND " } else { " WHERE " })
            .up_to(&plan.columns, up_to);
    }
    b.text(" ORDER BY ")
        .columns(&plan.columns)
        .text(" LIMIT ")
        .long(i64::try_from(limit).unwrap_or(i64::MAX));
    b.build()
}

/// Returns a statement for those of the given keys that are in the table. The keys are padded to a
/// power of two, so that the text stays the same for up to twice as many.
pub(crate) fn among(plan: &KeyPlan, keys: &[Box<[Value]>], dialect: &dyn Dialect) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: plan.select.clone(),
        params: Vec::new(),
    };
    let rest = keys
        .last()
        .into_iter()
        .cycle()
        .take(keys.len().next_power_of_two() - keys.len());
    for (n, key) in keys.iter().chain(rest).enumerate() {
        b.text(if n == 0 { " WHERE (" } else { " OR (" });
        for (n, ((column, sql_type), value)) in plan.columns.iter().zip(key).enumerate() {
            b.text(if n == 0 { "" } else { " AND " })
                .text(column)
                .text(" = ")
                .bind(param(value), sql_type);
        }
        b.text(")");
    }
    b.build()
}

/// Returns a statement for the ids in the given ranges that are in the table.
pub(crate) fn among_ids(
    plan: &KeyPlan,
    ranges: &[(i64, i64)],
    dialect: &dyn Dialect,
) -> SqlStatement {
    let mut b = QueryBuilder {
        dialect,
        timestamp_type: "",
        sql: plan.select.clone(),
        params: Vec::new(),
    };
    let id = plan
        .columns
        .first()
        .map_or("NULL", |(column, _)| column.as_str());
    let rest = ranges
        .last()
        .into_iter()
        .cycle()
        .take(ranges.len().next_power_of_two() - ranges.len());
    for (n, (first, last)) in ranges.iter().chain(rest).enumerate() {
        b.text(if n == 0 { " WHERE " } else { " OR " })
            .text(id)
            .text(" BETWEEN ")
            .long(*first);
        b.text(" AND ").long(*last);
    }
    b.build()
}

/// Converts a key value to a parameter.
pub(crate) fn param(value: &Value) -> SqlParam<'static> {
    match value {
        Value::Bool(v) => SqlParam::Bool(*v),
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => {
            value.as_i64().map_or(SqlParam::Null, SqlParam::I64)
        }
        Value::F32(v) => SqlParam::F32(*v),
        Value::F64(v) => SqlParam::F64(*v),
        Value::Decimal(d) => SqlParam::Text(Cow::Owned(d.to_string())),
        Value::Text(text) => SqlParam::Text(Cow::Owned(text.to_string())),
        Value::Bytes(bytes) => SqlParam::Bytes(Cow::Owned(bytes.to_vec())),
        Value::Null | Value::Array(_) | Value::Map(_) | Value::Struct(_) => SqlParam::Null,
    }
}

/// Returns the id of a row. Errors: `Record`, with Confluent's texts.
pub(crate) fn id_of(value: &Value) -> Result<i64> {
    match value {
        Value::Decimal(d) if d.scale() != 0 => Err(Error::config(
            "Scale of Decimal value for incrementing column must be 0",
        )),
        Value::Decimal(d) => d
            .unscaled_i128()
            .and_then(|n| i64::try_from(n).ok())
            .ok_or_else(|| {
                let error = Error::new(
                    ErrorKind::Record,
                    "Decimal value for incrementing column exceeded Long.MAX_VALUE",
                );
                error.and_line(
                    "How far the rows are read is stored as an integer of 64 bits: choose \
                     mode=timestamp or mode=bulk, or name another column with \
                     incrementing.column.name.",
                )
            }),
        value => value.as_i64().ok_or_else(|| {
            let error = Error::record("Null value for incrementing column of type: INT64");
            error.and_line(
                "Rows are counted by this column (incrementing.column.name), so it must not be \
                     NULL: make it NOT NULL, or select the other rows with query.suffix or a view.",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{QueryShape, ReadPosition, statement, within};
    use crate::dialect::mysql::MySqlDialect;
    use crate::driver::SqlParam;
    use crate::source::config::SourceMode;

    fn shape(mode: SourceMode, key: &[&str]) -> QueryShape {
        QueryShape {
            mode,
            select: "SELECT * FROM `t`".into(),
            id: Some("`id`".into()),
            id_type: "int".into(),
            timestamp: Some("`ts`".into()),
            timestamp_type: "datetime".into(),
            key: key
                .iter()
                .map(|k| ((*k).to_owned(), "int".to_owned()))
                .collect(),
            paged: true,
            suffix: None,
        }
    }

    #[test]
    fn missing_ids_are_asked_for_by_range() {
        let made = within(
            &shape(SourceMode::Incrementing, &[]),
            &[(1, 2), (5, 5), (7, 9)],
            &MySqlDialect,
        );
        let or = " OR `id` BETWEEN ? AND ?";
        let want =
            format!("SELECT * FROM `t` WHERE (`id` BETWEEN ? AND ?{or}{or}{or}) ORDER BY `id` ASC");
        assert_eq!(&*made.sql, want);
        let params: Vec<_> = [1, 2, 5, 5, 7, 9, 7, 9]
            .into_iter()
            .map(SqlParam::I64)
            .collect();
        assert_eq!(made.params, params);
    }

    fn from() -> ReadPosition {
        ReadPosition {
            timestamp: Some(1),
            before: Some(2_000_000),
            id: Some(7),
            ..ReadPosition::default()
        }
    }

    fn check(shape: &QueryShape, from: &ReadPosition, want: &str) {
        let made = statement(shape, from, 10, &MySqlDialect);
        assert_eq!(&*made.sql, want);
        assert_eq!(made.params.len(), want.matches('?').count());
    }

    #[test]
    fn bulk_mode_pages_by_the_key() {
        let key = ReadPosition {
            key: Some(vec![Value::I32(3), Value::Text("x".into())]),
            ..ReadPosition::default()
        };
        check(
            &shape(SourceMode::Bulk, &["a"]),
            &ReadPosition::default(),
            "SELECT * FROM `t` ORDER BY a LIMIT ?",
        );
        check(
            &shape(SourceMode::Bulk, &["a", "b"]),
            &key,
            "SELECT * FROM `t` WHERE (a >= ? AND (a > ? OR (a = ? AND b > ?))) ORDER BY a,b LIMIT ?",
        );
    }

    #[test]
    fn incrementing_mode_pages_by_the_id() {
        let suffix = QueryShape {
            paged: false,
            suffix: Some("LIMIT 2".into()),
            ..shape(SourceMode::Incrementing, &[])
        };
        check(
            &suffix,
            &from(),
            "SELECT * FROM `t` WHERE `id` > ? ORDER BY `id` ASC LIMIT 2",
        );
        let ids = shape(SourceMode::Incrementing, &[]);
        check(
            &ids,
            &from(),
            "SELECT * FROM `t` WHERE `id` > ? ORDER BY `id` ASC LIMIT ?",
        );
        let range = ReadPosition {
            up_to: Some(9),
            ..from()
        };
        check(
            &ids,
            &range,
            "SELECT * FROM `t` WHERE `id` > ? AND `id` <= ? ORDER BY `id` ASC LIMIT ?",
        );
    }

    #[test]
    fn timestamp_modes_page_by_timestamp_and_key() {
        let at = ReadPosition {
            at: Some((5, vec![Value::I32(3)])),
            ..from()
        };
        let paged = shape(SourceMode::Timestamp, &["a"]);
        check(
            &paged,
            &from(),
            "SELECT * FROM `t` WHERE `ts` > ? AND `ts` < ? ORDER BY `ts`,a ASC LIMIT ?",
        );
        check(
            &paged,
            &at,
            "SELECT * FROM `t` WHERE `ts` < ? AND ((`ts` = ? AND a > ?) OR `ts` > ?) ORDER BY `ts`,a ASC LIMIT ?",
        );
        let streamed = QueryShape {
            paged: false,
            key: Vec::new(),
            ..shape(SourceMode::Timestamp, &[])
        };
        check(
            &streamed,
            &from(),
            "SELECT * FROM `t` WHERE `ts` > ? AND `ts` < ? ORDER BY `ts` ASC",
        );
        let both = shape(SourceMode::TimestampIncrementing, &[]);
        check(
            &both,
            &from(),
            "SELECT * FROM `t` WHERE `ts` < ? AND ((`ts` = ? AND `id` > ?) OR `ts` > ?) ORDER BY `ts`,`id` ASC LIMIT ?",
        );
        let text = |t: &'static str| SqlParam::Text(t.into());
        let one = text("1970-01-01 00:00:00.000001");
        let want = [
            text("1970-01-01 00:00:02.000000"),
            one.clone(),
            SqlParam::I64(7),
            one,
            SqlParam::I64(10),
        ];
        assert_eq!(statement(&both, &from(), 10, &MySqlDialect).params, want);
    }
}
