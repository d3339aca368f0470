//! Which rows of a table are read again, and how far that has come, as offsets store it. Pure.
//!
//! Rows are read in the order of the primary key, whatever the mode. How far that has come is stored
//! under the table's partition with a member `reread`, in the transaction of the records, until the
//! last row has been read. The peers do not look for such a partition.

#![expect(
    clippy::indexing_slicing,
    reason = "the order of a plan is of its own columns"
)]

use connector_api::{
    Decimal, Error, OffsetValue, Reread, RereadProgress, RereadState, Result, SourceOffset, Value,
};

use super::offset::{read_key, write_key};
use super::query::KeyBounds;
use super::table::TablePlan;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::ident::TableId;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::key::order;

const FROM: &str = "from";
const TO: &str = "to";
const AT_KEY: &str = "at_key";
const ROWS: &str = "rows";

/// How far a table has been read again. Keys are in the form in which offsets hold them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RereadPlace {
    /// The first key; may have values of the first columns only, or none.
    pub from: Vec<OffsetValue>,
    /// The last key, likewise.
    pub to: Vec<OffsetValue>,
    /// Key of the last row that has been emitted; empty before the first.
    pub after: Vec<OffsetValue>,
    /// Number of rows emitted.
    pub rows: u64,
}

impl RereadPlace {
    /// Returns the beginning of what is wanted.
    /// Errors: `Config` if the table cannot be read in the order of its key, or the range does not
    /// fit the key.
    pub(crate) fn begin(
        wanted: &Reread,
        (id, meta, plan): (&TableId, &TableMeta, &TablePlan),
        dialect: &dyn Dialect,
    ) -> Result<Self> {
        let key = order(meta, SourceMode::Timestamp, dialect);
        if key.is_empty() || key.len() != plan.order.len() || !plan.shape.paged {
            let why = if plan.shape.suffix.is_some() {
                "query.suffix is set"
            } else if meta.primary_key.is_empty() {
                "it has no primary key"
            } else {
                "its primary key does not consist of whole numbers, decimals and texts"
            };
            return Err(Error::config(format!(
                "table {id} cannot be read again in the order of its key, because {why}: stop the \
                 connector and set or delete the table's offset instead"
            )));
        }
        let columns: Vec<_> = plan
            .order
            .iter()
            .map(|i| &plan.layout.columns[*i])
            .collect();
        let bound = |what: &str, given: &[OffsetValue]| {
            if given.len() > columns.len() {
                let names: Vec<_> = columns.iter().map(|c| &*c.name).collect();
                return Err(Error::config(format!(
                    "'{what}' has {} values, but the primary key of table {id} has {}: {}",
                    given.len(),
                    names.len(),
                    names.join(", ")
                )));
            }
            let fitted = given.iter().zip(&columns).map(|(value, column)| {
                fit(value, column).ok_or_else(|| {
                    Error::config(format!(
                        "'{what}' does not fit the primary key of table {id}: column {} has {}",
                        column.name,
                        if is_text(column) { "texts" } else { "numbers" }
                    ))
                })
            });
            fitted.collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            from: bound(FROM, &wanted.from)?,
            to: bound(TO, &wanted.to)?,
            ..Self::default()
        })
    }

    /// Reads a stored offset. Errors: `Config` for a member of the wrong type.
    pub(crate) fn read(offset: &SourceOffset) -> Result<Self> {
        let key = |name: &str| match offset.get(name) {
            None | Some(OffsetValue::Null) => Ok(Vec::new()),
            Some(OffsetValue::Text(text)) => read_key(text).ok_or_else(|| wrong(name)),
            Some(_) => Err(wrong(name)),
        };
        let rows = match offset.get(ROWS) {
            None | Some(OffsetValue::Null) => Some(0),
            Some(OffsetValue::Long(rows)) => u64::try_from(*rows).ok(),
            Some(_) => None,
        };
        Ok(Self {
            from: key(FROM)?,
            to: key(TO)?,
            after: key(AT_KEY)?,
            rows: rows.ok_or_else(|| wrong(ROWS))?,
        })
    }

    /// Returns the offset to store.
    pub(crate) fn write(&self) -> SourceOffset {
        let keys = [(FROM, &self.from), (TO, &self.to), (AT_KEY, &self.after)];
        let given = keys.into_iter().filter(|(_, key)| !key.is_empty());
        let keys = given.map(|(name, key)| (name.to_owned(), OffsetValue::Text(write_key(key))));
        let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
        let rows = (ROWS.to_owned(), OffsetValue::Long(rows));
        SourceOffset(keys.chain([rows]).collect())
    }

    /// Returns the bounds of the statements.
    pub(crate) fn bounds(&self) -> KeyBounds {
        KeyBounds {
            first: self.from.iter().map(key_value).collect(),
            last: self.to.iter().map(key_value).collect(),
        }
    }

    /// Returns the key after which to continue, `None` at the beginning.
    pub(crate) fn after(&self) -> Option<Vec<Value>> {
        (!self.after.is_empty()).then(|| self.after.iter().map(key_value).collect())
    }

    /// Returns how far it has come, for display.
    pub(crate) fn report(
        &self,
        table: String,
        state: &RereadState,
        rows_estimated: Option<u64>,
    ) -> RereadProgress {
        RereadProgress {
            wanted: Reread {
                table,
                from: self.from.clone(),
                to: self.to.clone(),
            },
            reached: self.after.clone(),
            rows: self.rows,
            share: match state {
                RereadState::Done => Some(1.0),
                _ => self.share(rows_estimated),
            },
            state: state.clone(),
        }
    }

    /// Returns the share that has been read, if it can be estimated: from the number of rows if all
    /// are read, otherwise from the ids.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate; an i64 might not hold the distance of two ids"
    )]
    pub(crate) fn share(&self, rows_estimated: Option<u64>) -> Option<f64> {
        let share = match (&*self.from, &*self.to, &*self.after) {
            ([], [], _) => self.rows as f64 / rows_estimated.filter(|all| *all > 0)? as f64,
            ([OffsetValue::Long(_)], [OffsetValue::Long(_)], []) => 0.0,
            ([OffsetValue::Long(from)], [OffsetValue::Long(to)], [OffsetValue::Long(at)]) => {
                (*at as f64 - *from as f64 + 1.0) / (*to as f64 - *from as f64 + 1.0).max(1.0)
            }
            _ => return None,
        };
        Some(share.clamp(0.0, 1.0))
    }
}

/// Returns the config by which rows are read again: in the order of their key.
pub(crate) fn config_for_reread(config: &SourceConfig) -> SourceConfig {
    SourceConfig {
        mode: SourceMode::Bulk,
        ..config.clone()
    }
}

/// Returns the key of a row in the form in which offsets hold it.
pub(crate) fn key_of_row(row: &[Value], plan: &TablePlan) -> Vec<OffsetValue> {
    plan.order.iter().map(|i| offset_value(&row[*i])).collect()
}

fn offset_value(value: &Value) -> OffsetValue {
    match value {
        Value::Text(text) => OffsetValue::Text(text.to_string()),
        Value::Decimal(decimal) => {
            whole(decimal).map_or_else(|| OffsetValue::Text(decimal.to_string()), OffsetValue::Long)
        }
        value => value.as_i64().map_or(OffsetValue::Null, OffsetValue::Long),
    }
}

fn whole(decimal: &Decimal) -> Option<i64> {
    let whole = (decimal.scale() == 0).then(|| decimal.unscaled_i128())??;
    i64::try_from(whole).ok()
}

fn key_value(value: &OffsetValue) -> Value {
    match value {
        OffsetValue::Long(n) => Value::I64(*n),
        OffsetValue::Text(text) => Value::Text(text.as_str().into()),
        _ => Value::Null,
    }
}

fn is_text(column: &ReadColumn) -> bool {
    matches!(column.read, ValueDecoding::Text)
}

/// Returns a value that a user gave in the form that the column is compared with. The command line
/// gives texts only, so a text may be a number; and a key of digits may be given as a number.
fn fit(value: &OffsetValue, column: &ReadColumn) -> Option<OffsetValue> {
    match value {
        OffsetValue::Long(n) if is_text(column) => Some(OffsetValue::Text(n.to_string())),
        OffsetValue::Text(_) if is_text(column) => Some(value.clone()),
        OffsetValue::Long(_) => Some(value.clone()),
        OffsetValue::Text(text) => match text.trim().parse::<i64>() {
            Ok(n) => Some(OffsetValue::Long(n)),
            Err(_) => is_decimal(text.trim()).then(|| OffsetValue::Text(text.trim().to_owned())),
        },
        OffsetValue::Double(_) | OffsetValue::Bool(_) | OffsetValue::Null => None,
    }
}

/// True for digits with at most one point and a sign before them.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, part]
        .iter()
        .all(|half| !half.is_empty() && half.bytes().all(|b| b.is_ascii_digit()))
}

fn wrong(name: &str) -> Error {
    Error::config(format!(
        "the member {name} of the offset of a table that is read again is invalid: delete that \
         offset with PATCH /connectors/NAME/offsets, which ends reading it again"
    ))
}

#[cfg(test)]
mod tests {
    use connector_api::{OffsetValue, SchemaType, SourceOffset, Value};

    use super::{RereadPlace, fit};
    use crate::dialect::read::{ReadColumn, ValueDecoding};

    #[test]
    fn places_are_read_as_they_are_written() {
        let all = RereadPlace::default();
        let some = RereadPlace {
            from: vec![OffsetValue::Long(-5)],
            to: vec![OffsetValue::Text("a\"ß".into()), OffsetValue::Long(9)],
            after: vec![OffsetValue::Text("7.50".into())],
            rows: 12,
        };
        for place in [all, some] {
            assert_eq!(RereadPlace::read(&place.write()).unwrap(), place);
        }
        for (name, value) in [
            ("from", OffsetValue::Long(1)),
            ("at_key", OffsetValue::Text("1".into())),
            ("rows", OffsetValue::Long(-1)),
        ] {
            let offset = SourceOffset(vec![(name.to_owned(), value)]);
            assert!(RereadPlace::read(&offset).is_err(), "{name}");
        }
    }

    #[test]
    fn bounds_fit_the_columns_of_the_key() {
        let text = |text: &str| OffsetValue::Text(text.to_owned());
        let of = |read, value: &OffsetValue| fit(value, &ReadColumn::new("k", false, read));
        let int = || ValueDecoding::Int(SchemaType::Int64);
        assert_eq!(of(int(), &text(" 5 ")), Some(OffsetValue::Long(5)));
        assert_eq!(of(int(), &text("x")), None);
        assert_eq!(of(int(), &OffsetValue::Double(0.5)), None);
        assert_eq!(
            of(ValueDecoding::Text, &OffsetValue::Long(5)),
            Some(text("5"))
        );
        assert_eq!(of(ValueDecoding::Text, &text("5")), Some(text("5")));
        assert_eq!(
            of(ValueDecoding::Decimal, &text("-1.50")),
            Some(text("-1.50"))
        );
        for wrong in ["1.", ".5", "--1", "1e5", "", "1.5.2"] {
            assert_eq!(of(ValueDecoding::Decimal, &text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn the_share_is_known_of_whole_tables_and_of_ranges_of_ids() {
        let long = |n| vec![OffsetValue::Long(n)];
        let mut place = RereadPlace {
            rows: 25,
            ..RereadPlace::default()
        };
        assert_eq!(place.share(Some(100)), Some(0.25));
        assert_eq!((place.share(None), place.share(Some(0))), (None, None));
        assert_eq!(place.share(Some(20)), Some(1.0));
        (place.from, place.to) = (long(11), long(20));
        assert_eq!(place.share(Some(100)), Some(0.0));
        place.after = long(15);
        assert_eq!(place.share(None), Some(0.5));
        (place.from, place.to) = (long(i64::MIN), long(i64::MAX));
        assert!(
            place
                .share(None)
                .is_some_and(|share| share > 0.4 && share < 0.6)
        );
        place.to = Vec::new();
        assert_eq!(place.share(Some(100)), None);
        assert_eq!(place.after(), Some(vec![Value::I64(15)]));
    }
}
