//! Finds the columns that a mode compares, in a table or a query, and checks whether their types
//! can be compared. Pure.

use connector_api::config::near;
use connector_api::{Error, Result};

use crate::catalog::{ColumnMeta, TableMeta, find_column};
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

/// Why the mode cannot compare a column.
#[derive(Debug)]
pub(crate) struct ColumnProblem {
    /// The key that names the column.
    pub key: &'static str,
    /// The problem and its remedy.
    pub text: String,
    /// True if Kafka Connect accepts such a connector and its task fails (recorded cases 242 and
    /// 244).
    pub fails_at_start: bool,
}

impl ColumnProblem {
    /// A column whose type does not fit the mode.
    pub(crate) fn misfit(key: &'static str, text: String) -> Self {
        Self {
            key,
            text,
            fails_at_start: false,
        }
    }

    /// A column that a table does not have, or that may be NULL.
    fn at_start(key: &'static str, error: &Error) -> Self {
        Self {
            key,
            text: error.message().to_owned(),
            fails_at_start: true,
        }
    }
}

impl From<ColumnProblem> for Error {
    fn from(problem: ColumnProblem) -> Self {
        Self::config(problem.text)
    }
}

/// Where a column comes from, for messages.
#[derive(Clone, Copy)]
enum SqlPlace<'a> {
    Table(&'a str),
    Query,
}

impl<'a> ModeColumns<'a> {
    /// Finds the columns in a table; `shown` is its name in messages.
    /// Errors: when a column is missing, may be NULL or has an unsuitable type, with Confluent's
    /// texts.
    pub(crate) fn of_table(
        meta: &'a TableMeta,
        config: &SourceConfig,
        dialect: &dyn Dialect,
        shown: &str,
    ) -> Result<ModeColumns<'a>, ColumnProblem> {
        let named = Self::named(meta, config, shown)?;
        if let Some(misfit) = named.misfit(config, dialect, SqlPlace::Table(shown)) {
            return Err(misfit);
        }
        named.check_nulls(config, shown)?;
        Ok(named)
    }

    /// Finds the columns in a query's result. Errors: when one is missing.
    pub(crate) fn of_query(
        metas: &'a [ColumnMeta],
        config: &SourceConfig,
    ) -> Result<ModeColumns<'a>, ColumnProblem> {
        let find = |key: &'static str, name: &String| {
            find_column(metas, name).ok_or_else(|| {
                // the names of a masked query's columns must not be shown
                let known = metas.iter().filter(|_| !config.query_is_masked);
                let hint = suggestion(name, known);
                let text = format!(
                    "column {name} is not in the result of the query: select it with that \
                     name{hint}"
                );
                ColumnProblem::misfit(key, text)
            })
        };
        let id = config
            .id_column
            .as_ref()
            .filter(|_| config.mode.has_id())
            .map(|name| find("incrementing.column.name", name))
            .transpose()?;
        let named = config
            .timestamp_columns
            .iter()
            .filter(|_| config.mode.has_timestamp());
        let timestamps = named
            .map(|name| find("timestamp.column.name", name))
            .collect::<Result<Vec<_>, _>>()?;
        if config.mode.has_timestamp() && timestamps.is_empty() {
            return Err(ColumnProblem::misfit(
                "timestamp.column.name",
                "timestamp.column.name is needed to read a query in this mode".to_owned(),
            ));
        }
        Ok(Self { id, timestamps })
    }

    fn named(
        meta: &'a TableMeta,
        config: &SourceConfig,
        shown: &str,
    ) -> Result<ModeColumns<'a>, ColumnProblem> {
        let id = if config.mode.has_id() {
            let found = id_column(meta, config, shown);
            Some(found.map_err(|error| ColumnProblem::at_start(id_key(config), &error))?)
        } else {
            None
        };
        let timestamps = if config.mode.has_timestamp() {
            timestamp_columns(meta, config, shown)
                .map_err(|error| ColumnProblem::at_start(timestamp_key(config), &error))?
        } else {
            Vec::new()
        };
        Ok(Self { id, timestamps })
    }

    fn check_nulls(&self, config: &SourceConfig, shown: &str) -> Result<(), ColumnProblem> {
        let nullable = |c: &ColumnMeta| c.nullable && c.key_position.is_none();
        let refused = |key, text: String| {
            Err(ColumnProblem {
                key,
                text,
                fails_at_start: true,
            })
        };
        if let Some(id) = self.id
            && config.validate_non_null
            && nullable(id)
        {
            let text = format!(
                "Cannot make incremental queries using incrementing column {} on {shown} because this column is \
                     nullable.",
                id.name
            );
            return refused(id_key(config), text);
        }
        let all_nullable = config.validate_non_null && self.timestamps.iter().all(|c| nullable(c));
        if config.mode.has_timestamp() && (all_nullable || self.timestamps.is_empty()) {
            let names: Vec<_> = self.timestamps.iter().map(|c| c.name.as_str()).collect();
            let text = format!(
                "Cannot make incremental queries using timestamp columns {} on {shown} because all of these columns are \
                 nullable.",
                names.join(",")
            );
            return refused(timestamp_key(config), text);
        }
        Ok(())
    }

    /// Returns the first column whose type does not fit.
    fn misfit(
        &self,
        config: &SourceConfig,
        dialect: &dyn Dialect,
        place: SqlPlace<'_>,
    ) -> Option<ColumnProblem> {
        let id = self.id.and_then(|id| id_misfit(id, config, dialect, place));
        id.or_else(|| {
            self.timestamps
                .iter()
                .find_map(|timestamp| timestamp_misfit(timestamp, config, dialect, place))
        })
    }

    /// Returns SQL that counts, for each timestamp column in some rows of `from`, the values, those
    /// of them that are times, and those that seem to count seconds; `None` if the types already
    /// decide it.
    pub(crate) fn values_sql(
        &self,
        dialect: &dyn Dialect,
        name: impl Fn(&str) -> String,
        from: &str,
    ) -> Option<String> {
        let columns: Vec<_> = self.timestamps.iter().map(|c| name(&c.name)).collect();
        let tests: Option<Vec<_>> = columns
            .iter()
            .map(|column| dialect.time_tests(column))
            .collect();
        let counts = columns.iter().zip(tests?).map(|(column, test)| {
            let (is_time, counts_seconds) = (test.is_time, test.counts_seconds);
            format!("COUNT(NULLIF({column}, 0)), SUM({is_time}), SUM({counts_seconds})")
        });
        let (counts, columns) = (counts.collect::<Vec<_>>().join(", "), columns.join(", "));
        (!columns.is_empty()).then(|| {
            format!("SELECT {counts} FROM (SELECT {columns} FROM {from} LIMIT {LOOKED_AT}) AS v")
        })
    }
}

/// What the values of timestamp columns show.
#[derive(Debug, Default)]
pub(crate) struct JudgedValues {
    pub warnings: Vec<String>,
    /// True if each column had values: they need not be examined again.
    pub decided: bool,
}

/// Returns why the mode cannot compare a table's columns.
pub(crate) fn table_problem(
    meta: &TableMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    shown: &str,
) -> Option<ColumnProblem> {
    ModeColumns::of_table(meta, config, dialect, shown).err()
}

/// Returns the mismatch in the result of a query.
pub(crate) fn query_misfit(
    compared: &ModeColumns<'_>,
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Option<ColumnProblem> {
    compared.misfit(config, dialect, SqlPlace::Query)
}

/// Evaluates the values of timestamp columns. `counts` are the result of
/// [`ModeColumns::values_sql`]. Warns of a column of which some values are not times, or all seem to
/// count seconds.
/// Errors: `Config` for one of which no value is a time.
pub(crate) fn judge_values(names: &[&str], counts: &[Option<i64>]) -> Result<JudgedValues> {
    let mut judged = JudgedValues {
        warnings: Vec::new(),
        decided: true,
    };
    for (name, counts) in names.iter().zip(counts.chunks(3)) {
        match counts {
            [Some(there @ 1..), Some(0) | None, _] => {
                return Err(Error::config(format!(
                    "Invalid type for timestamp column: the values of {name} are not dates or \
                     date-times ({there} were checked): texts must begin with YYYY-MM-DD, integers \
                     are milliseconds since 1970, other numbers are Julian days; name another \
                     column with timestamp.column.name, or choose mode=incrementing or mode=bulk"
                )));
            }
            [Some(there), Some(times), _] if times < there => judged.warnings.push(format!(
                "column {name}: {} of the first {there} values are not dates or date-times, and \
                 such rows may never be read: correct them, or name another column with \
                 timestamp.column.name",
                there - times
            )),
            [Some(there @ 1..), _, Some(seconds)] if seconds == there => {
                judged.warnings.push(format!(
                    "column {name}: its integers seem to count seconds since 1970, and are read as \
                     milliseconds: of rows of the same second, those written after the others were \
                     read are never read; store milliseconds, or read a view or a query with \
                     {name} * 1000 AS {name}"
                ));
            }
            [Some(1..), ..] => {}
            _ => judged.decided = false,
        }
    }
    Ok(judged)
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
            let hint = suggestion(name, &meta.columns);
            Error::config(format!(
                "Incrementing column: {name} does not exist in table '{shown}'{hint}"
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

/// Returns the name that is most likely meant, as the end of a text; empty if there is none.
pub(crate) fn suggestion<'a>(
    name: &str,
    columns: impl IntoIterator<Item = &'a ColumnMeta>,
) -> String {
    let known = columns.into_iter().map(|column| column.name.as_str());
    near(name, known).map_or_else(String::new, |near| format!("; did you mean {near}?"))
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
        let hints = missing.iter().map(|name| suggestion(name, &meta.columns));
        return Err(Error::config(format!(
            "Timestamp columns: {} do not exist in table '{shown}'{}",
            missing.join(", "),
            hints.collect::<String>()
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
) -> Option<ColumnProblem> {
    let key = id_key(config);
    let read = dialect.read_column(column, &config.read).read;
    let what = described(column, place);
    if column.invisible {
        return Some(ColumnProblem::misfit(
            key,
            invisible("incrementing", &what, key),
        ));
    }
    if counts(&read) {
        return has_fraction(column, &read)
            .then(|| ColumnProblem::misfit(key, fraction(&what, key, place)));
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
    Some(ColumnProblem::misfit(key, text))
}

fn timestamp_misfit(
    column: &ColumnMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    place: SqlPlace<'_>,
) -> Option<ColumnProblem> {
    let key = timestamp_key(config);
    let read = dialect.read_column(column, &config.read).read;
    let what = described(column, place);
    if column.invisible {
        return Some(ColumnProblem::misfit(
            key,
            invisible("timestamp", &what, key),
        ));
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
    Some(ColumnProblem::misfit(key, text))
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
        };
        let warnings = |counts: &[i64]| judged(counts).unwrap().warnings.len();
        let is_decided = |counts: &[i64]| judged(counts).unwrap().decided;
        assert_eq!(
            warnings(&[0, 0, 0, 5, 5, 0]),
            0,
            "without values nothing is refused"
        );
        assert!(!is_decided(&[0, 0, 0, 5, 5, 0]) && is_decided(&[1, 1, 0, 5, 5, 0]));
        assert_eq!(warnings(&[3, 2, 0, 5, 5, 0]), 1);
        assert_eq!(warnings(&[3, 3, 3, 5, 5, 4]), 1);
        let refused = judged(&[3, 3, 0, 5, 0, 0]).unwrap_err();
        assert!(
            refused.message().contains("the values of b are not dates"),
            "{refused}"
        );
    }
}
