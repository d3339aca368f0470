//! The unique indexes of a table in MariaDB and MySQL, as `information_schema` reports them. Pure.

use connector_api::Value;

/// Lists the columns of a table's unique indexes; parameters: the names of its database and table.
pub(crate) const INDEXES: &str = "SELECT index_name, column_name, sub_part FROM information_schema.statistics \
     WHERE table_schema = ? AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index";

/// Unique indexes, read from the rows of [`INDEXES`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UniqueIndexes {
    pub primary: Vec<String>,
    /// Columns of each other index over whole columns.
    pub unique: Vec<Vec<String>>,
    /// True if an index covers prefixes of columns, or expressions.
    pub in_part: bool,
}

impl UniqueIndexes {
    /// Reads the rows of [`INDEXES`].
    pub(crate) fn read(rows: &[Vec<Value>]) -> Self {
        let mut indexes: Vec<(String, Vec<String>, bool)> = Vec::new();
        for row in rows {
            let [index, column, part] = row.as_slice() else {
                continue;
            };
            // A functional index has parts without a column.
            let whole = part.is_null() && !column.is_null();
            let (index, column) = (text(index), text(column));
            match indexes.last_mut() {
                Some((name, columns, all_whole)) if *name == index => {
                    columns.push(column);
                    *all_whole &= whole;
                }
                _ => indexes.push((index, vec![column], whole)),
            }
        }
        Self {
            primary: indexes
                .iter()
                .find(|i| i.0 == "PRIMARY")
                .map(|i| i.1.clone())
                .unwrap_or_default(),
            in_part: indexes.iter().any(|i| !i.2),
            unique: indexes
                .into_iter()
                .filter(|i| i.0 != "PRIMARY" && i.2)
                .map(|i| i.1)
                .collect(),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::UniqueIndexes;

    #[test]
    fn a_unique_index_over_a_prefix_or_an_expression_is_no_key_of_columns() {
        let row = |index: &str, column: Option<&str>, part: Option<i64>| {
            let column = column.map_or(Value::Null, |column| Value::Text(column.into()));
            vec![
                Value::Text(index.into()),
                column,
                part.map_or(Value::Null, Value::I64),
            ]
        };
        let whole = [
            row("PRIMARY", Some("b"), None),
            row("PRIMARY", Some("a"), None),
            row("u1", Some("c"), None),
        ];
        let read = |more: &[Vec<Value>]| UniqueIndexes::read(&[&whole[..], more].concat());
        let known = read(&[]);
        assert_eq!(
            (known.primary, known.unique),
            (vec!["b".into(), "a".into()], vec![vec!["c".into()]])
        );
        assert!(!known.in_part);
        for more in [
            [row("u2", Some("d"), Some(10)), row("u2", Some("e"), None)],
            [row("u2", None, None), row("u2", Some("e"), None)],
        ] {
            let known = read(&more);
            assert_eq!(
                (known.unique, known.in_part),
                (vec![vec!["c".into()]], true)
            );
        }
        assert!(UniqueIndexes::read(&[row("PRIMARY", Some("a"), Some(9))]).in_part);
    }
}
