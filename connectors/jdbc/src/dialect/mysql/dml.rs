//! How MariaDB and MySQL change rows: ON DUPLICATE KEY UPDATE, and updates of many rows by a join.

#![expect(clippy::indexing_slicing, reason = "there is one name for each column")]

use super::MySqlDialect;
use crate::catalog::ColumnMeta;
use crate::dialect::Dialect;
use crate::dialect::writing::{DmlDialect, StatementColumns, UpsertAction};
use crate::ident::TableId;

/// Statements that change rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MySqlDml;

impl DmlDialect for MySqlDml {
    /// `VALUES()` is deprecated by MySQL but the only form that MariaDB knows. The guard sets a key
    /// column to NULL, which strict mode refuses (error 1048), if the existing row has another key.
    fn on_conflict(&self, columns: StatementColumns<'_>, action: UpsertAction, out: &mut String) {
        out.push_str(" ON DUPLICATE KEY UPDATE ");
        let values = columns.all.iter().filter(|c| !columns.keys.contains(c));
        let mut set: Vec<String> = values
            .map(|c| MySqlDialect.quoted(c.name))
            .map(|c| format!("{c}=VALUES({c})"))
            .collect();
        if let Some(first) = columns.keys.first().map(|k| MySqlDialect.quoted(k.name)) {
            if action == UpsertAction::Guarded {
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

    fn value(&self, number: usize, _cast: &str, out: &mut String) {
        MySqlDialect.placeholder(number, out);
    }
}

/// True for types and character sets whose union with a parameter is the column's own type, so
/// that nothing is converted.
pub(super) fn is_bulk_updatable(column: &ColumnMeta) -> bool {
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
    charset && TYPES.contains(&column.data_type.as_str())
}

/// Joins the table with the rows, each a SELECT of parameters. The first part of the union has
/// no rows: it gives the columns the table's types and collations, without which keys would be
/// compared differently.
pub(super) fn bulk_update(table: &TableId, columns: StatementColumns<'_>, rows: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::{StatementColumns, UpsertAction};
    use crate::dialect::mysql::writing::MARIADB;
    use crate::dialect::writing::StatementColumn;
    use crate::ident::TableId;

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
