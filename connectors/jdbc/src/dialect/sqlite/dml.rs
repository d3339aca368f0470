//! How SQLite changes rows: ON CONFLICT.

use super::SqliteDialect;
use crate::dialect::Dialect;
use crate::dialect::writing::{DmlDialect, StatementColumns, UpsertAction, on_key_conflict};

/// Statements that change rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteDml;

impl DmlDialect for SqliteDml {
    /// The conflict is on the key alone; a collision on another unique index is an error of its
    /// own.
    fn on_conflict(&self, columns: StatementColumns<'_>, _action: UpsertAction, out: &mut String) {
        on_key_conflict(&SqliteDialect, columns, (" ON CONFLICT(", "excluded"), out);
    }

    fn value(&self, number: usize, _cast: &str, out: &mut String) {
        SqliteDialect.placeholder(number, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{StatementColumns, UpsertAction};
    use crate::dialect::sqlite::writing::SQLITE;
    use crate::dialect::writing::StatementColumn;
    use crate::ident::TableId;

    #[test]
    fn statements_of_every_mode() {
        let table = TableId::bare("t");
        let [k, a] = ["k", "a"].map(|name| StatementColumn {
            name,
            cast: "",
            always_numbered: false,
            own_equality: None,
        });
        let both = StatementColumns {
            keys: &[k],
            all: &[k, a],
        };
        for (seen, want) in [
            (
                SQLITE.insert(&table, both, 2, Some(UpsertAction::Guarded)),
                "INSERT INTO `t`(`k`,`a`) VALUES(?,?),(?,?) ON CONFLICT(`k`) DO UPDATE SET `a`=excluded.`a`",
            ),
            (
                SQLITE.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO `t`(`a`) VALUES(?) ON CONFLICT(`a`) DO NOTHING",
            ),
            (
                SQLITE.update(&table, both),
                "UPDATE `t` SET `a`=? WHERE `k`=?",
            ),
            (
                SQLITE.delete(&table, &[k], 2),
                "DELETE FROM `t` WHERE `k` IN (?,?)",
            ),
        ] {
            assert_eq!(seen, want);
        }
    }
}
