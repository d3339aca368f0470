//! `timestamp.columns.mapping` and `incrementing.column.mapping`: columns by table. Pure.

use connector_api::pattern::Pattern;
use connector_api::{Error, Result};

use crate::ident::TableId;
use crate::url::DatabaseKind;

/// Maximum number of patterns in one list.
const PATTERNS_MAX: usize = 10_000;
/// Maximum bytes of the compiled patterns of one list, and of each one if there are few.
const PATTERNS_BYTES: usize = 128 * 1024 * 1024;
const PATTERN_BYTES: usize = 10 * 1024 * 1024;

/// One item: a pattern for names of tables, and the columns of those tables.
#[derive(Clone, Debug)]
pub(crate) struct NumericMappingRule {
    tables: Pattern,
    columns: Vec<String>,
}

impl NumericMappingRule {
    /// Makes the pattern ignore letter case.
    pub(crate) fn in_any_case(self) -> Self {
        Self {
            tables: self.tables.in_any_case(),
            ..self
        }
    }
}

/// Checks the items of `timestamp.columns.mapping`.
pub(crate) fn check_timestamps(text: &str) -> Result<(), String> {
    few_enough(items(text).count())?;
    items(text).try_for_each(|item| timestamps(item).map(drop))?;
    affordable(items(text).filter_map(|item| Some(item.rsplit_once(':')?.0)))
}

/// Checks the items of `incrementing.column.mapping`.
pub(crate) fn check_incrementing(text: &str) -> Result<(), String> {
    few_enough(items(text).count())?;
    items(text).try_for_each(|item| incrementing(item).map(drop))?;
    affordable(items(text).filter_map(|item| Some(item.rsplit_once(':')?.0)))
}

/// Parses an item `regex:[column|column]`.
pub(crate) fn timestamps(item: &str) -> Result<NumericMappingRule, String> {
    let Some((pattern, columns)) = item.rsplit_once(':') else {
        return Err("Invalid format. Expected 'regex:[col1|col2|...]'".to_owned());
    };
    let Some(columns) = columns
        .trim()
        .strip_prefix('[')
        .and_then(|c| c.strip_suffix(']'))
    else {
        return Err("Columns list must be enclosed in square brackets".to_owned());
    };
    if columns.trim().is_empty() {
        return Err("Columns list cannot be empty".to_owned());
    }
    let columns: Vec<_> = columns.split('|').map(|c| c.trim().to_owned()).collect();
    if columns.iter().any(String::is_empty) {
        return Err("Every column name should be non-empty string".to_owned());
    }
    Ok(NumericMappingRule {
        tables: anchored(pattern)?,
        columns,
    })
}

/// Parses an item `regex:column`.
pub(crate) fn incrementing(item: &str) -> Result<NumericMappingRule, String> {
    let Some((pattern, column)) = item.rsplit_once(':') else {
        return Err("Invalid format. Expected 'regex:columnName'".to_owned());
    };
    if column.trim().is_empty() {
        return Err("Column name cannot be empty".to_owned());
    }
    Ok(NumericMappingRule {
        tables: anchored(pattern)?,
        columns: vec![column.trim().to_owned()],
    })
}

/// Returns the columns of a table. Errors: `Config` unless exactly one item matches its name.
pub(crate) fn columns_of<'a>(
    mappings: &'a [NumericMappingRule],
    table: &str,
) -> Result<&'a [String]> {
    let mut matching = Vec::new();
    for mapping in mappings {
        if matches(&mapping.tables, table)? {
            matching.push(mapping);
        }
    }
    match matching[..] {
        [one] => Ok(&one.columns),
        [] => Err(Error::config(format!(
            "Included table '{table}' does not match any of the provided regexes"
        ))),
        [..] => Err(Error::config(format!(
            "Included table '{table}' matches more than one of the provided regexes"
        ))),
    }
}

/// Checks the items of a list of regular expressions, with Confluent's text.
pub(crate) fn check_patterns(text: &str) -> Result<(), String> {
    few_enough(items(text).count())?;
    affordable(items(text)).map_err(|error| {
        format!("Must be a valid comma-separated list of regular expression patterns: {error}")
    })
}

fn few_enough(count: usize) -> Result<(), String> {
    if count <= PATTERNS_MAX {
        return Ok(());
    }
    Err(format!(
        "It lists {count} regular expressions, but at most {PATTERNS_MAX} are allowed"
    ))
}

/// Checks that each pattern can be compiled within its share of the memory limit.
/// Errors: the problem of the first that cannot.
fn affordable<'a>(mut patterns: impl Iterator<Item = &'a str> + Clone) -> Result<(), String> {
    let share = (PATTERNS_BYTES / patterns.clone().count().max(1)).min(PATTERN_BYTES);
    patterns.try_for_each(|pattern| match Pattern::fits(pattern.trim(), share) {
        Ok(()) => Ok(()),
        Err(_) if Pattern::new(pattern.trim()).is_ok() => {
            Err(format!("together they take more than {PATTERNS_BYTES} bytes when compiled, use fewer or simpler ones"))
        }
        Err(error) => Err(error),
    })
}

/// True if a table's whole name matches.
/// Errors: `Config` if matching takes too long: a table must be neither skipped nor read by chance.
pub(crate) fn matches(pattern: &Pattern, table: &str) -> Result<bool> {
    pattern.matches(table).map_err(|undecided| {
        Error::config(format!(
            "{} compared with the table {table}: {undecided}; use a simpler one",
            pattern.text()
        ))
    })
}

/// Compiles a regular expression, which may use look-around and must match the whole text.
pub(crate) fn anchored(pattern: &str) -> Result<Pattern, String> {
    Pattern::whole(pattern.trim()).map_err(|error| format!("Invalid regular expression: {error}"))
}

/// Returns the databases with which the alternatives of a pattern literally begin: `shop` of
/// `shop\..*`, but none of `.*\.users`.
pub(crate) fn databases_of(pattern: &Pattern) -> impl Iterator<Item = &str> {
    let database = |alternative: &'_ str| -> Option<usize> {
        let end = alternative.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))?;
        let rest = &alternative[end..];
        let after = rest
            .strip_prefix("\\.")
            .or_else(|| rest.strip_prefix('.'))?;
        (end > 0 && !after.starts_with(['*', '+', '?', '{'])).then_some(end)
    };
    pattern
        .text()
        .split('|')
        .filter_map(move |alternative| Some(&alternative[..database(alternative)?]))
}

fn items(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Returns the table named by these parts in that kind of database; `None` without parts.
pub(crate) fn table_id(parts: Vec<String>, database: DatabaseKind) -> Option<TableId> {
    let mut parts = parts.into_iter().rev();
    let table = parts.next()?;
    let (second, third) = (parts.next(), parts.next());
    Some(match database {
        DatabaseKind::MySql => TableId {
            catalog: second,
            schema: None,
            table,
        },
        DatabaseKind::Postgres | DatabaseKind::Sqlite => TableId {
            catalog: third,
            schema: second,
            table,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{
        anchored, check_incrementing, check_patterns, check_timestamps, columns_of, databases_of,
        incrementing, matches, timestamps,
    };

    #[test]
    fn bad_items_are_named() {
        for (text, want) in [
            ("a", "Invalid format. Expected 'regex:[col1|col2|...]'"),
            (".*:ts", "Columns list must be enclosed in square brackets"),
            (".*:[]", "Columns list cannot be empty"),
            (".*:[a||b]", "Every column name should be non-empty string"),
        ] {
            assert_eq!(check_timestamps(text).unwrap_err(), want);
        }
        assert_eq!(
            check_incrementing("a").unwrap_err(),
            "Invalid format. Expected 'regex:columnName'"
        );
        assert_eq!(
            check_incrementing("a:").unwrap_err(),
            "Column name cannot be empty"
        );
        assert!(
            check_incrementing("(:id")
                .unwrap_err()
                .starts_with("Invalid regular expression")
        );
        assert!(check_timestamps("a:[x], b:[y|z]").is_ok());
        assert!(check_patterns(r"db\.(?!tmp_).*, x").is_ok());
        let listed = |pattern: &str, count: usize| vec![pattern; count].join(",");
        for (pattern, count) in [
            (r"\w{20}", 10),
            (r"shop\.[a-z_]+_\d+", 1_000),
            ("crm.a_table_with_a_name", 10_000),
        ] {
            assert_eq!(check_patterns(&listed(pattern, count)), Ok(()), "{pattern}");
        }
        for (pattern, count, why) in [
            ("a", 10_001, "at most 10000"),
            (r"\w{50}", 5_000, "when compiled"),
        ] {
            let refused = check_patterns(&listed(pattern, count)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
            let refused = check_incrementing(&listed(&format!("{pattern}:id"), count)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(
            check_patterns("[")
                .unwrap_err()
                .starts_with("Must be a valid comma-separated list of regular")
        );
    }

    #[test]
    fn an_expression_may_begin_with_a_database() {
        for (pattern, want) in [
            (r"shop\..*", "shop"),
            (r"shop.users|my-db\.[ab]+", "shop my-db"),
            (r"shop.*\.users", ""),
            (r".*\.users", ""),
            ("users", ""),
            (r"(a|b)\.c", ""),
        ] {
            let pattern = anchored(pattern).unwrap();
            assert_eq!(
                databases_of(&pattern).collect::<Vec<_>>().join(" "),
                want,
                "{pattern:?}"
            );
        }
    }

    #[test]
    fn case_counts_unless_it_is_said_not_to() {
        let pattern = anchored(r"shop\.(?!tmp).*|crm\.A").unwrap();
        let any = pattern.in_any_case();
        for (name, want) in [
            ("shop.a", [true, true]),
            ("SHOP.a", [false, true]),
            ("Shop.TMP1", [false, false]),
        ] {
            assert_eq!(
                [
                    matches(&pattern, name).unwrap(),
                    matches(&any, name).unwrap()
                ],
                want,
                "{name}"
            );
        }
        assert!(matches(&any, "CRM.a").unwrap() && !matches(&any, "xcrm.a").unwrap());
        assert_eq!(any.text(), pattern.text());
        let mapping = [incrementing("shop.A:id").unwrap().in_any_case()];
        assert_eq!(columns_of(&mapping, "Shop.a").unwrap(), ["id"]);
    }

    #[test]
    fn a_table_that_an_expression_cannot_be_compared_with_is_an_error_that_names_both() {
        let slow = timestamps("(a|b|ab)*(?=c):[x]").unwrap();
        let table = "ab".repeat(40);
        let error = columns_of(&[slow], &table).unwrap_err();
        for part in ["(a|b|ab)*(?=c)", &table, "cannot be evaluated"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn exactly_one_item_must_match_the_whole_name() {
        let mappings = [
            timestamps(r"db\.a:[x|y]").unwrap(),
            incrementing(r"db\..*b:id").unwrap(),
        ];
        assert_eq!(columns_of(&mappings, "db.a").unwrap(), ["x", "y"]);
        assert_eq!(columns_of(&mappings, "db.bb").unwrap(), ["id"]);
        assert!(columns_of(&mappings, "xdb.a").is_err());
        let both = [incrementing(".*:a").unwrap(), incrementing("t:b").unwrap()];
        assert!(
            columns_of(&both, "t")
                .unwrap_err()
                .message()
                .contains("more than one")
        );
    }
}
