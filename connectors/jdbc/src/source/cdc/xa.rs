//! XA transactions: their rows are in the log where they are prepared, and count where they are
//! committed.
//!
//! A prepared transaction is only noted. When it is committed, a second connection reads its rows
//! again, so that a prepared transaction needs no memory, whatever its size.

use connector_api::{Error, Result, Value};
use serde_json::{Value as Json, json};

use super::position::{LogPosition, StreamProgress};
use crate::binlog::decoder::BinlogDecoder;
use crate::binlog::event::{EventBody, hex_literal};
use crate::binlog::gtid::GtidSet;
use crate::binlog::rows::RowsEvent;
use crate::driver::{BinlogStart, BinlogStream, ConnectOptions, Session};
use crate::url::ConnectionTarget;

/// Most transactions that may be prepared at once.
const MOST: usize = 1024;

/// A prepared transaction that may have changed captured tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldXa {
    /// Its name, as the log writes it.
    pub xid: String,
    /// Where its rows are; `None`: it was prepared before the connector began.
    pub rows: Option<HeldRows>,
}

/// Where the rows of a prepared transaction are in the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldRows {
    /// The transaction that prepared it.
    pub gtid: String,
    /// What was complete before it.
    pub gtids: GtidSet,
    /// The end of what was complete before it.
    pub position: Option<LogPosition>,
}

/// What a statement does to a prepared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum XaVerb {
    Commit,
    Rollback,
}

impl HeldXa {
    fn write(&self) -> Json {
        let mut json = json!({"xid": self.xid});
        if let (Some(rows), Some(members)) = (&self.rows, json.as_object_mut()) {
            members.insert("gtid".into(), rows.gtid.as_str().into());
            members.insert("after".into(), rows.gtids.to_string().into());
            if let Some(at) = &rows.position {
                members.insert("file".into(), at.file.as_str().into());
                members.insert("pos".into(), at.position.into());
            }
        }
        json
    }

    fn read(json: &Json) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let position = json.get("pos").and_then(Json::as_u64);
        let rows = match text("gtid") {
            None => None,
            Some(gtid) => Some(HeldRows {
                gtid,
                gtids: GtidSet::parse(&text("after")?)?,
                position: text("file")
                    .zip(position)
                    .map(|(file, position)| LogPosition { file, position }),
            }),
        };
        Some(Self {
            xid: text("xid")?,
            rows,
        })
    }
}

/// Writes the member of a stored offset.
pub(super) fn write(held: &[HeldXa]) -> String {
    Json::Array(held.iter().map(HeldXa::write).collect()).to_string()
}

/// Reads the member of a stored offset.
pub(super) fn read(text: &str) -> Option<Vec<HeldXa>> {
    let items: Vec<Json> = serde_json::from_str(text).ok()?;
    items.iter().map(HeldXa::read).collect()
}

/// Notes a prepared transaction.
/// Errors: `Config` if there are too many.
pub(super) fn hold(held: &mut Vec<HeldXa>, one: HeldXa) -> Result<()> {
    // a name may be used again once its transaction has ended
    held.retain(|other| other.xid != one.xid);
    if held.len() >= MOST {
        return Err(Error::config(format!(
            "more than {MOST} XA transactions are prepared and neither committed nor rolled back: \
             see XA RECOVER"
        )));
    }
    held.push(one);
    Ok(())
}

/// Returns what a statement of the log does to the transaction of that name.
pub(super) fn statement(sql: &str) -> Option<(XaVerb, String)> {
    let mut words = sql.trim().splitn(3, char::is_whitespace);
    let is_xa = words.next()?.eq_ignore_ascii_case("XA");
    let verb = match words.next()? {
        verb if verb.eq_ignore_ascii_case("COMMIT") => XaVerb::Commit,
        verb if verb.eq_ignore_ascii_case("ROLLBACK") => XaVerb::Rollback,
        _ => return None,
    };
    let name = words.next()?.trim().to_ascii_lowercase();
    is_xa.then_some((verb, name))
}

/// Returns the transactions that are prepared now, without their rows.
pub(super) async fn prepared(session: &mut dyn Session) -> Result<Vec<HeldXa>> {
    let rows = session.query("XA RECOVER FORMAT='SQL'", &[]).await?;
    let name = |row: &Vec<Value>| match row.get(3) {
        Some(Value::Text(text)) => Some(in_hex(text)),
        _ => None,
    };
    let held = rows.iter().filter_map(name);
    Ok(held
        .map(|xid| HeldXa { xid, rows: None })
        .take(MOST)
        .collect())
}

/// Writes the name of a transaction as the log does: `'a'` is `x'61',x'',1`.
fn in_hex(name: &str) -> String {
    let mut rest = name;
    let (mut global, mut branch) = ("x''".to_owned(), "x''".to_owned());
    for part in [&mut global, &mut branch] {
        // a part with a quote or other characters is in hexadecimal
        let (is_hex, text) = match rest.strip_prefix(['X', 'x']) {
            Some(text) => (true, text),
            None => (false, rest),
        };
        let Some((inner, behind)) = text.strip_prefix('\'').and_then(|t| t.split_once('\'')) else {
            break;
        };
        *part = if is_hex {
            format!("x'{}'", inner.to_ascii_lowercase())
        } else {
            hex_literal(inner.as_bytes())
        };
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    let format = if rest.is_empty() { "1" } else { rest };
    format!("{global},{branch},{format}")
}

/// Reads the rows of a prepared transaction again.
pub(super) struct XaReplay {
    stream: BinlogStream,
    decoder: BinlogDecoder,
    gtid: String,
    is_inside: bool,
}

impl XaReplay {
    /// Connects as a reader without a number, which disturbs no other: the server's log up to now.
    pub(super) async fn open(
        target: &ConnectionTarget,
        options: ConnectOptions,
        rows: &HeldRows,
    ) -> Result<Self> {
        let start = match &rows.position {
            _ if !rows.gtids.is_empty() => BinlogStart::Gtids(rows.gtids.to_string()),
            Some(at) => BinlogStart::File {
                file: at.file.clone(),
                position: at.position,
            },
            None => return Err(Error::fatal("a prepared transaction has no position")),
        };
        Ok(Self {
            stream: BinlogStream::open(target, options, 0, &start).await?,
            decoder: BinlogDecoder::new(options.max_message, false),
            gtid: rows.gtid.clone(),
            is_inside: false,
        })
    }

    /// Returns its next rows; `None` at its end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<RowsEvent<'static>>> {
        loop {
            let bytes = self.stream.next().await?;
            let decoded = self.decoder.decode(&bytes);
            let (_, body) = decoded.map_err(|error| {
                let gtid = &self.gtid;
                Error::config(format!("the XA transaction {gtid} cannot be read: {error}"))
            })?;
            match body {
                EventBody::Gtid(begun) => self.is_inside = begun.gtid.to_string() == self.gtid,
                EventBody::Rows(rows) if self.is_inside => return Ok(Some(rows.into_owned())),
                EventBody::XaPrepare { .. } if self.is_inside => return Ok(None),
                _ => {}
            }
        }
    }
}

impl StreamProgress {
    /// Where the rows of the transaction are that follows.
    pub(super) fn rows_after(&self, gtid: String) -> HeldRows {
        HeldRows {
            gtid,
            gtids: self.gtids.clone(),
            position: self.position.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeldRows, HeldXa, XaVerb, in_hex, read, statement, write};
    use crate::binlog::gtid::GtidSet;

    #[test]
    fn prepared_transactions_survive_their_storage() {
        let held = [
            HeldXa {
                xid: "x'61',x'',1".into(),
                rows: None,
            },
            HeldXa {
                xid: "x'62',x'',1".into(),
                rows: Some(HeldRows {
                    gtid: "0-1-6".into(),
                    gtids: GtidSet::parse("0-1-5").unwrap(),
                    position: None,
                }),
            },
        ];
        assert_eq!(read(&write(&held)).unwrap(), held);
        assert!(read("[{}]").is_none());
    }

    #[test]
    fn names_are_the_same_wherever_they_come_from() {
        let name = "x'61',x'ff',7";
        assert_eq!(
            statement("XA COMMIT X'61',X'FF',7"),
            Some((XaVerb::Commit, name.into()))
        );
        assert_eq!(
            statement("xa rollback X'61',X'ff',7"),
            Some((XaVerb::Rollback, name.into()))
        );
        assert_eq!(statement("XA END X'61',X'',1"), None);
        assert_eq!(in_hex("'a',X'FF',7"), name);
        assert_eq!(in_hex("'a'"), "x'61',x'',1");
        assert_eq!(in_hex("X'71277a','b,'"), "x'71277a',x'622c',1");
    }
}
