//! Finds the columns that a mode compares, in a table or a query, and checks whether their types
//! can be compared. Pure.

use connector_api::{Error, Result};

use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::Dialect;
use crate::dialect::read::ValueDecoding;
use crate::source::config::mapping::columns_of;
use crate::source::config::{SourceConfig, SourceMode};

/// How many rows are examined if only values show whether a column holds times.
const LOOKED_AT: usize = 1000;

/// The columns that the mode compares.
#[derive(Debug, Default)]
pub(crate) struct ModeColumns<'a> {
    pub id: Option<&'a ColumnMeta>,
    pub timestamps: Vec<&'a ColumnMeta>,
}

/// A column whose type does not fit the mode.
#[derive(Debug)]
pub(crate) struct TypeMismatch {
    /// The key that names the column.
    pub key: &'static str,
    /// The problem and its remedy.
    pub text: String,
}

/// Where a column comes from, for messages.
#[derive(Clone, Copy)]
enum SqlPlace<'a> {
    Table(&'a str),
    Query,
}

impl<'a> ModeColumns<'a> {
    /// Finds the columns in a table; `shown` is its name in messages.
    /// Errors: `Config` when a column is missing, may be NULL or has an unsuitable type, with
    /// Confluent's texts.
    pub(crate) fn of_table(
        meta: &'a TableMeta,
        config: &SourceConfig,
        dialect: &dyn Dialect,
        shown: &str,
    ) -> Result<ModeColumns<'a>> {
        let named = Self::named(meta, config, shown)?;
        if let Some(misfit) = named.misfit(config, dialect, SqlPlace::Table(shown)) {
            return Err(Error::config(misfit.text));
        }
        named.check_nulls(config, shown)?;
        Ok(named)
    }

    /// Finds the columns in a query's result. Errors: `Config` when one is missing.
    pub(crate) fn of_query(
        metas: &'a [ColumnMeta],
        config: &SourceConfig,
    ) -> Result<ModeColumns<'a>> {
        let find = |name: &String| {
            let exact = metas.iter().find(|c| c.name == *name);
            exact
                .or_else(|| metas.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
                .ok_or_else(|| {
                    Error::config(format!(
                        "column {name} is not in the result of the query: select it with that name"
                    ))
                })
        };
        let id = config
            .id_column
            .as_ref()
            .filter(|_| config.mode.has_id())
            .map(find)
            .transpose()?;
        let named = config
            .timestamp_columns
            .iter()
            .filter(|_| config.mode.has_timestamp());
        let timestamps = named.map(find).collect::<Result<Vec<_>>>()?;
        if config.mode.has_timestamp() && timestamps.is_empty() {
            return Err(Error::config(
                "timestamp.column.name is needed to read a query in this mode",
            ));
        }
        Ok(Self { id, timestamps })
    }

    fn named(meta: &'a TableMeta, config: &SourceConfig, shown: &str) -> Result<ModeColumns<'a>> {
        let id = if config.mode.has_id() {
            Some(id_column(meta, config, shown)?)
        } else {
            None
        };
        let timestamps = if config.mode.has_timestamp() {
            timestamp_columns(meta, config, shown)?
        } else {
            Vec::new()
        };
        Ok(Self { id, timestamps })
    }

    fn check_nulls(&self, config: &SourceConfig, shown: &str) -> Result<()> {
        let nullable = |c: &ColumnMeta| c.nullable && c.key_position.is_none();
        if let Some(id) = self.id
            && config.validate_non_null
            && nullable(id)
        {
            return Err(Error::config(format!(
                "Cannot make incremental queries using incrementing column {} on {shown} because this column is \
                     nullable.",
                id.name
            )));
        }
        let all_nullable = config.validate_non_null && self.timestamps.iter().all(|c| nullable(c));
        if config.mode.has_timestamp() && (all_nullable || self.timestamps.is_empty()) {
            let names: Vec<_> = self.timestamps.iter().map(|c| c.name.as_str()).collect();
            return Err(Error::config(format!(
                "Cannot make incremental queries using timestamp columns {} on {shown} because all of these columns are \
                 nullable.",
                names.join(",")
            )));
        }
        Ok(())
    }

    /// Returns the first column whose type does not fit.
    fn misfit(
        &self,
        config: &SourceConfig,
        dialect: &dyn Dialect,
        place: SqlPlace<'_>,
    ) -> Option<TypeMismatch> {
        let id = self.id.and_then(|id| id_misfit(id, config, dialect, place));
        id.or_else(|| {
            self.timestamps
                .iter()
                .find_map(|timestamp| timestamp_misfit(timestamp, config, dialect, place))
        })
    }

    /// Returns SQL that counts, for each timestamp column in some rows of `from`, the values and
    /// those of them that are times; `None` if the types already decide it.
    pub(crate) fn values_sql(
        &self,
        dialect: &dyn Dialect,
        name: impl Fn(&str) -> String,
        from: &str,
    ) -> Option<String> {
        let columns: Vec<_> = self.timestamps.iter().map(|c| name(&c.name)).collect();
        let tests: Option<Vec<_>> = columns
            .iter()
            .map(|column| dialect.is_time(column))
            .collect();
        let counts = columns
            .iter()
            .zip(tests?)
            .map(|(column, test)| format!("COUNT(NULLIF({column}, 0)), SUM({test})"));
        let (counts, columns) = (counts.collect::<Vec<_>>().join(", "), columns.join(", "));
        (!columns.is_empty()).then(|| {
            format!("SELECT {counts} FROM (SELECT {columns} FROM {from} LIMIT {LOOKED_AT}) AS v")
        })
    }
}

/// Returns the mismatch in a table, whatever else is wrong with it.
pub(crate) fn table_misfit(
    meta: &TableMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    shown: &str,
) -> Option<TypeMismatch> {
    ModeColumns::named(meta, config, shown)
        .ok()?
        .misfit(config, dialect, SqlPlace::Table(shown))
}

/// Returns the mismatch in the result of a query.
pub(crate) fn query_misfit(
    compared: &ModeColumns<'_>,
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Option<TypeMismatch> {
    compared.misfit(config, dialect, SqlPlace::Query)
}

/// Evaluates the values of timestamp columns. `counts` are the result of
/// [`ModeColumns::values_sql`]. Returns a warning for a column of which some values are not times.
/// Errors: `Config` for one of which no value is.
pub(crate) fn judge_values(names: &[&str], counts: &[Option<i64>]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (name, counts) in names.iter().zip(counts.chunks(2)) {
        match counts {
            [Some(there @ 1..), Some(0) | None] => {
                return Err(Error::config(format!(
                    "Invalid type for timestamp column: the values of {name} are not dates or \
                     date-times ({there} were checked): texts must begin with YYYY-MM-DD, integers \
                     are milliseconds since 1970, other numbers are Julian days; name another \
                     column with timestamp.column.name, or choose mode=incrementing or mode=bulk"
                )));
            }
            [Some(there), Some(times)] if times < there => warnings.push(format!(
                "column {name}: {} of the first {there} values are not dates or date-times, and \
                 such rows may never be read: correct them, or name another column with \
                 timestamp.column.name",
                there - times
            )),
            _ => {}
        }
    }
    Ok(warnings)
}

/// Returns the incrementing column of a table, which messages call `shown`.
/// Errors: `Config` if it has none.
pub(crate) fn id_column<'a>(
    meta: &'a TableMeta,
    config: &SourceConfig,
    shown: &str,
) -> Result<&'a ColumnMeta> {
    let mapped = if config.id_mapping.is_empty() {
        None
    } else {
        columns_of(&config.id_mapping, &meta.id.to_string())?.first()
    };
    match mapped.or(config.id_column.as_ref()) {
        Some(name) => meta.column(name).ok_or_else(|| {
            Error::config(format!(
                "Incrementing column: {name} does not exist in table '{shown}'"
            ))
        }),
        None => meta
            .columns
            .iter()
            .find(|c| c.auto_increment)
            .ok_or_else(|| {
                Error::config(format!(
                    "table {shown} has no auto-increment column: name a column with \
                 incrementing.column.name, or choose another mode"
                ))
            }),
    }
}

fn timestamp_columns<'a>(
    meta: &'a TableMeta,
    config: &SourceConfig,
    shown: &str,
) -> Result<Vec<&'a ColumnMeta>> {
    let names = if config.timestamp_mapping.is_empty() {
        config.timestamp_columns.as_slice()
    } else {
        columns_of(&config.timestamp_mapping, &meta.id.to_string())?
    };
    let missing: Vec<_> = names
        .iter()
        .filter(|name| meta.column(name).is_none())
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Err(Error::config(format!(
            "Timestamp columns: {} do not exist in table '{shown}'",
            missing.join(", ")
        )));
    }
    Ok(names.iter().filter_map(|name| meta.column(name)).collect())
}

/// Returns the key that names the incrementing column.
fn id_key(config: &SourceConfig) -> &'static str {
    if config.id_mapping.is_empty() {
        "incrementing.column.name"
    } else {
        "incrementing.column.mapping"
    }
}

/// Returns the key that names the timestamp columns.
pub(crate) fn timestamp_key(config: &SourceConfig) -> &'static str {
    if config.timestamp_mapping.is_empty() {
        "timestamp.column.name"
    } else {
        "timestamp.columns.mapping"
    }
}

/// True if values read this way are integers in the order in which the server compares them.
fn counts(read: &ValueDecoding) -> bool {
    matches!(
        read,
        ValueDecoding::Int(_)
            | ValueDecoding::Decimal
            | ValueDecoding::Scaled(_)
            | ValueDecoding::DecimalInt(_)
    )
}

/// True if values of a numeric column may have a fraction. PostgreSQL's numeric without precision
/// has as many fractional digits as each value; Confluent refuses its first row.
fn has_fraction(column: &ColumnMeta, read: &ValueDecoding) -> bool {
    match read {
        ValueDecoding::Scaled(scale) => *scale != 0,
        ValueDecoding::Decimal => column.scale.unwrap_or(0) != 0,
        ValueDecoding::DecimalInt(_) => column.data_type == "numeric" && column.precision.is_none(),
        _ => false,
    }
}

/// Begins like Confluent's text for the first row.
fn fraction(what: &str, key: &str, place: SqlPlace<'_>) -> String {
    let remedy = match place {
        SqlPlace::Table(_) => "make it BIGINT or NUMERIC(18,0)",
        SqlPlace::Query => "CAST it to BIGINT or NUMERIC(18,0) in the query",
    };
    format!(
        "Scale of Decimal value for incrementing column must be 0: {what}, which may have decimal \
         places; {remedy}, or name another column with {key}"
    )
}

/// True if a column read this way is of a date or date-time type.
fn is_timestamp(read: &ValueDecoding) -> bool {
    matches!(read, ValueDecoding::Timestamp(_) | ValueDecoding::Date(_))
}

fn id_misfit(
    column: &ColumnMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    place: SqlPlace<'_>,
) -> Option<TypeMismatch> {
    let key = id_key(config);
    let read = dialect.read_column(column, &config.read).read;
    let what = described(column, place);
    if column.invisible {
        return Some(TypeMismatch {
            key,
            text: invisible("incrementing", &what, key),
        });
    }
    if counts(&read) {
        return has_fraction(column, &read).then(|| TypeMismatch {
            key,
            text: fraction(&what, key, place),
        });
    }
    let name = &column.name;
    let advice = match (is_timestamp(&read), config.mode) {
        (true, SourceMode::TimestampIncrementing) => {
            format!("choose mode=timestamp, or name an integer column with {key}")
        }
        (true, _) => format!("choose mode=timestamp with timestamp.column.name={name}"),
        (false, _) if column.data_type == "bigint" => {
            format!(
                "set bigint.unsigned.handling.mode to long or precise, or name another column with {key}"
            )
        }
        (false, _) => format!(
            "name an integer column with {key}, or choose mode=timestamp with a column of dates or \
             date-times, or mode=bulk"
        ),
    };
    let text = format!(
        "Invalid type for incrementing column: {what}, not an integer that only increases; {advice}"
    );
    Some(TypeMismatch { key, text })
}

fn timestamp_misfit(
    column: &ColumnMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    place: SqlPlace<'_>,
) -> Option<TypeMismatch> {
    let key = timestamp_key(config);
    let read = dialect.read_column(column, &config.read).read;
    let what = described(column, place);
    if column.invisible {
        return Some(TypeMismatch {
            key,
            text: invisible("timestamp", &what, key),
        });
    }
    if is_timestamp(&read) || dialect.may_hold_times(column, &read) {
        return None;
    }
    let name = &column.name;
    let other = match place {
        SqlPlace::Table(_) => format!("name a column of dates or date-times with {key}"),
        SqlPlace::Query => "CAST it to a date-time in the query".to_owned(),
    };
    let advice = match (counts(&read), config.mode) {
        (true, SourceMode::Timestamp) => {
            format!(
                "choose mode=incrementing with incrementing.column.name={name} if its numbers only \
                 increase, or {other}"
            )
        }
        (true, _) => {
            format!("choose mode=incrementing if new rows have greater numbers, or {other}")
        }
        (false, _) => {
            format!("{other}, or choose mode=incrementing with an integer column, or mode=bulk")
        }
    };
    let text =
        format!("Invalid type for timestamp column: {what}, not a date or a date-time; {advice}");
    Some(TypeMismatch { key, text })
}

/// Describes a column and its type for messages.
fn described(column: &ColumnMeta, place: SqlPlace<'_>) -> String {
    let declared = if column.column_type.is_empty() {
        &column.data_type
    } else {
        &column.column_type
    };
    match place {
        SqlPlace::Table(table) => format!("{} of {table} is {declared}", column.name),
        SqlPlace::Query => format!("{} of the query is {declared}", column.name),
    }
}

fn invisible(kind: &str, what: &str, key: &str) -> String {
    format!(
        "The {kind} column {what} and INVISIBLE, so rows are read without it; make it visible, or \
         name another one with {key}"
    )
}

#[cfg(test)]
mod tests {
    use super::judge_values;

    #[test]
    fn values_tell_whether_a_column_holds_times() {
        let judged = |counts: &[i64]| {
            judge_values(
                &["a", "b"],
                &counts.iter().copied().map(Some).collect::<Vec<_>>(),
            )
            .map(|w| w.len())
        };
        assert_eq!(
            judged(&[0, 0, 5, 5]).unwrap(),
            0,
            "without values nothing is refused"
        );
        assert_eq!(judged(&[3, 2, 5, 5]).unwrap(), 1);
        let refused = judged(&[3, 3, 5, 0]).unwrap_err();
        assert!(
            refused.message().contains("the values of b are not dates"),
            "{refused}"
        );
    }
}
