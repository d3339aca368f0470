//! The stored form of a table's columns: JSON, in the offset of the table. Pure.

use serde_json::{Value as Json, json};

use super::traits::RowEnd;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::ident::TableId;

/// Writes what decoding and record schemas need of a table.
pub(super) fn write(meta: &TableMeta, row_end: Option<&RowEnd>) -> String {
    let column = |c: &ColumnMeta| {
        json!({
            "name": c.name, "type": c.data_type, "full": c.column_type, "null": c.nullable,
            "len": c.length, "prec": c.precision, "scale": c.scale, "frac": c.fraction,
            "cs": c.charset, "inv": c.invisible, "gen": c.generated, "auto": c.auto_increment,
            "def": c.default, "json": c.checked_json,
        })
    };
    json!({
        "columns": meta.columns.iter().map(column).collect::<Vec<_>>(),
        "key": meta.primary_key,
        // of a system-versioned table; the empty name: a hidden column
        "row_end": row_end.map(|row_end| match row_end {
            RowEnd::Hidden => "",
            RowEnd::Column(name) => name,
        }),
    })
    .to_string()
}

/// Reads a table's columns back; `None` if the text is not such a form.
pub(super) fn read(id: &TableId, text: &str) -> Option<(TableMeta, Option<RowEnd>)> {
    let json: Json = serde_json::from_str(text).ok()?;
    let texts = |json: &Json| {
        let items = json.as_array()?.iter();
        items
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
    };
    let primary_key = texts(json.get("key")?)?;
    let column = |c: &Json| {
        let string = |name: &str| c.get(name).and_then(Json::as_str).map(str::to_owned);
        let flag = |name: &str| c.get(name).and_then(Json::as_bool).unwrap_or(false);
        let number = |name: &str| c.get(name).and_then(Json::as_i64);
        let name = string("name")?;
        Some(ColumnMeta {
            data_type: string("type")?,
            column_type: string("full")?,
            nullable: flag("null"),
            key_position: primary_key.iter().position(|key| *key == name),
            length: number("len").and_then(|n| u64::try_from(n).ok()),
            precision: number("prec").and_then(|n| i32::try_from(n).ok()),
            scale: number("scale").and_then(|n| i32::try_from(n).ok()),
            fraction: number("frac").and_then(|n| u32::try_from(n).ok()),
            charset: string("cs"),
            invisible: flag("inv"),
            generated: flag("gen"),
            auto_increment: flag("auto"),
            default: string("def"),
            checked_json: flag("json"),
            name,
            ..ColumnMeta::default()
        })
    };
    let columns = json.get("columns")?.as_array()?.iter().map(column);
    let row_end = json.get("row_end").and_then(Json::as_str);
    let row_end = row_end.map(|name| match name {
        "" => RowEnd::Hidden,
        name => RowEnd::Column(name.to_owned()),
    });
    let meta = TableMeta {
        id: id.clone(),
        columns: columns.collect::<Option<_>>()?,
        primary_key,
        unique: Vec::new(),
        unique_in_part: false,
        deferrable: Vec::new(),
        is_view: false,
        rows_estimated: None,
        no_rollback: None,
        only_insert: true,
        has_triggers: true,
    };
    Some((meta, row_end))
}

#[cfg(test)]
mod tests {
    use super::super::traits::RowEnd;
    use super::{read, write};
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::ident::TableId;

    #[test]
    fn a_definition_survives_its_storage() {
        let column = ColumnMeta {
            name: "id".into(),
            data_type: "decimal".into(),
            column_type: "decimal(10,2) unsigned".into(),
            precision: Some(10),
            scale: Some(2),
            key_position: Some(0),
            default: Some("1.00".into()),
            ..ColumnMeta::default()
        };
        let text = ColumnMeta {
            name: "t".into(),
            data_type: "varchar".into(),
            column_type: "varchar(5)".into(),
            length: Some(5),
            charset: Some("latin1".into()),
            nullable: true,
            ..ColumnMeta::default()
        };
        let id = TableId::in_catalog("d", "t");
        let meta = TableMeta::of_columns(id.clone(), vec![column, text]);
        for end in [
            None,
            Some(RowEnd::Hidden),
            Some(RowEnd::Column("bis".into())),
        ] {
            let text = write(&meta, end.as_ref());
            assert_eq!(read(&id, &text).unwrap(), (meta.clone(), end));
        }
        assert!(read(&id, "{}").is_none() && read(&id, "x").is_none());
    }
}
