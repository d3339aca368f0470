//! How PostgreSQL changes rows: ON CONFLICT, values with casts, updates of many rows by a join.

#![expect(clippy::indexing_slicing, reason = "there is one name for each column")]

use super::PostgresDialect;
use crate::dialect::Dialect;
use crate::dialect::writing::{
    DmlDialect, StatementColumn, StatementColumns, UpsertAction, on_key_conflict, value_rows,
};
use crate::ident::TableId;

/// Statements that change rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostgresDml;

impl DmlDialect for PostgresDml {
    /// The conflict is on the key alone; a collision on another unique index is an error of its
    /// own.
    fn on_conflict(&self, columns: StatementColumns<'_>, _action: UpsertAction, out: &mut String) {
        on_key_conflict(
            &PostgresDialect,
            columns,
            (" ON CONFLICT (", "EXCLUDED"),
            out,
        );
    }

    fn value(&self, number: usize, cast: &str, out: &mut String) {
        if cast.is_empty() {
            return PostgresDialect.placeholder(number, out);
        }
        out.push_str("CAST(");
        PostgresDialect.placeholder(number, out);
        out.push_str(" AS ");
        out.push_str(cast);
        out.push(')');
    }
}

/// Joins the table with rows of cast parameters.
pub(super) fn bulk_update(table: &TableId, columns: StatementColumns<'_>, rows: usize) -> String {
    let names: Vec<_> = columns
        .all
        .iter()
        .map(|c| PostgresDialect.quoted(c.name))
        .collect();
    let pairs = |keys: bool, target: &str, separator: &str| {
        let is_chosen = |c: &StatementColumn<'_>| {
            columns.keys.contains(c) == keys && (keys || !c.always_numbered)
        };
        let chosen = columns.all.iter().enumerate().filter(|(_, c)| is_chosen(c));
        let pair = |(n, column): (usize, &StatementColumn<'_>)| {
            let mut out = format!("{target}{}", names[n]);
            if keys {
                column.equals(&mut out);
            } else {
                out.push('=');
            }
            out + &format!("s.c{n}")
        };
        chosen.map(pair).collect::<Vec<_>>().join(separator)
    };
    let mut out = format!(
        "UPDATE {} AS t SET {} FROM (VALUES",
        PostgresDialect.table(table),
        pairs(false, "", ",")
    );
    value_rows(&PostgresDml, columns.all, rows, &mut out);
    let names_of_values: Vec<_> = (0..names.len()).map(|n| format!("c{n}")).collect();
    out.push_str(&format!(
        ") AS s({}) WHERE {}",
        names_of_values.join(","),
        pairs(true, "t.", " AND ")
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::{StatementColumn, StatementColumns, UpsertAction};
    use crate::dialect::postgres::writing::POSTGRES;
    use crate::ident::TableId;

    #[test]
    fn statements_of_every_mode() {
        let table = TableId::in_schema("s", "t");
        let of = |name, cast| StatementColumn {
            name,
            cast,
            always_numbered: false,
            own_equality: None,
        };
        let (k, a) = (of("k", "pg_catalog.\"int4\""), of("a", ""));
        let numbered = StatementColumn {
            always_numbered: true,
            ..k
        };
        let both = StatementColumns {
            keys: &[k],
            all: &[k, a],
        };
        for (seen, want) in [
            (
                POSTGRES.insert(&table, both, 2, Some(UpsertAction::Guarded)),
                "INSERT INTO \"s\".\"t\"(\"k\",\"a\") VALUES(CAST($1 AS pg_catalog.\"int4\"),$2),(CAST($3 AS pg_catalog.\"int4\"),$4) \
                 ON CONFLICT (\"k\") DO UPDATE SET \"a\"=EXCLUDED.\"a\"",
            ),
            (
                POSTGRES.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO \"s\".\"t\"(\"a\") VALUES($1) ON CONFLICT (\"a\") DO NOTHING",
            ),
            (
                POSTGRES.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a, numbered],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO \"s\".\"t\"(\"a\",\"k\") OVERRIDING SYSTEM VALUE VALUES($1,CAST($2 AS pg_catalog.\"int4\")) \
                 ON CONFLICT (\"a\") DO NOTHING",
            ),
            (
                POSTGRES.copy(&table, &[k, a]).unwrap(),
                "COPY \"s\".\"t\"(\"k\",\"a\") FROM STDIN",
            ),
            (
                POSTGRES.update(&table, both),
                "UPDATE \"s\".\"t\" SET \"a\"=$1 WHERE \"k\"=CAST($2 AS pg_catalog.\"int4\")",
            ),
            (
                POSTGRES.update_many(&table, both, 2),
                "UPDATE \"s\".\"t\" AS t SET \"a\"=s.c1 FROM (VALUES(CAST($1 AS pg_catalog.\"int4\"),$2),(CAST($3 AS pg_catalog.\"int4\"),$4)) \
                 AS s(c0,c1) WHERE t.\"k\"=s.c0",
            ),
            (
                POSTGRES.delete(
                    &table,
                    &[StatementColumn {
                        own_equality: Some("ext.="),
                        ..a
                    }],
                    2,
                ),
                "DELETE FROM \"s\".\"t\" WHERE (\"a\" OPERATOR(ext.=) $1) OR (\"a\" OPERATOR(ext.=) $2)",
            ),
            (
                POSTGRES.delete(&table, &[k], 2),
                "DELETE FROM \"s\".\"t\" WHERE \"k\" IN (CAST($1 AS pg_catalog.\"int4\"),CAST($2 AS pg_catalog.\"int4\"))",
            ),
        ] {
            assert_eq!(seen, want);
        }
    }
}
