//! The messages of `pgoutput`, protocol version 1.

use super::PgOutputError;
use super::reader::Reader;

/// Columns of a table at most; PostgreSQL has 1,600.
const MAX_COLUMNS: u16 = 1664;

/// Tables of one TRUNCATE at most.
const MAX_TRUNCATED: u32 = 1 << 16;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A transaction begins; `commit` is the position of its commit.
    Begin {
        commit: u64,
    },
    /// It ends; what follows begins at `end`.
    Commit {
        end: u64,
    },
    Relation(Relation),
    Change(Change<'a>),
    /// Tables were emptied.
    Truncate(Vec<u32>),
    /// A type's name, a transaction's origin, or a message of an application.
    Other,
}

/// A table as it was when the rows that follow were changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub id: u32,
    pub schema: String,
    pub table: String,
    pub columns: Vec<RelationColumn>,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationColumn {
    pub name: String,
    /// The number of its type, and the type's modifier (length, precision and scale).
    pub type_id: u32,
    pub modifier: i32,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Insert,
    Update,
    Delete,
}

/// How much of the row before the change the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldRow {
    /// The columns of the replica identity; the others are NULL.
    Key,
    /// All.
    Full,
}

/// A changed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub kind: ChangeKind,
    pub relation: u32,
    pub old: Option<(OldRow, Vec<LoggedCell<'a>>)>,
    pub new: Option<Vec<LoggedCell<'a>>>,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoggedCell<'a> {
    Null,
    /// A large value that is stored apart and that the change did not touch: the log does not have
    /// it.
    Unchanged,
    /// The type's text form.
    Text(&'a [u8]),
}

/// Decodes a message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Message<'_>, PgOutputError> {
    let mut reader = Reader::new(bytes);
    let r = &mut reader;
    Ok(match r.byte("a message")? {
        b'B' => Message::Begin {
            commit: r.long("a position")?,
        },
        b'C' => {
            r.byte("a commit")?;
            r.long("a position")?;
            Message::Commit {
                end: r.long("a position")?,
            }
        }
        b'R' => Message::Relation(relation(r)?),
        b'I' => {
            let relation = r.int("a table's number")?;
            expect(r, b'N')?;
            let new = Some(tuple(r)?);
            Message::Change(Change {
                kind: ChangeKind::Insert,
                relation,
                old: None,
                new,
            })
        }
        b'U' => Message::Change(update(r)?),
        b'D' => {
            let relation = r.int("a table's number")?;
            let kind = r.byte("a row")?;
            Message::Change(Change {
                kind: ChangeKind::Delete,
                relation,
                old: Some(old(kind, r)?),
                new: None,
            })
        }
        b'T' => truncate(r)?,
        b'Y' | b'O' | b'M' => Message::Other,
        other => {
            return Err(PgOutputError(format!(
                "unknown message {other} of the plugin pgoutput"
            )));
        }
    })
}

fn update<'a>(r: &mut Reader<'a>) -> Result<Change<'a>, PgOutputError> {
    let relation = r.int("a table's number")?;
    let kind = r.byte("a row")?;
    let old = if kind == b'N' {
        None
    } else {
        let old = old(kind, r)?;
        expect(r, b'N')?;
        Some(old)
    };
    Ok(Change {
        kind: ChangeKind::Update,
        relation,
        old,
        new: Some(tuple(r)?),
    })
}

fn old<'a>(kind: u8, r: &mut Reader<'a>) -> Result<(OldRow, Vec<LoggedCell<'a>>), PgOutputError> {
    let old = match kind {
        b'K' => OldRow::Key,
        b'O' => OldRow::Full,
        _ => return Err(PgOutputError(format!("a row of unknown kind {kind}"))),
    };
    Ok((old, tuple(r)?))
}

fn expect(r: &mut Reader<'_>, wanted: u8) -> Result<(), PgOutputError> {
    match r.byte("a row")? {
        found if found == wanted => Ok(()),
        found => Err(PgOutputError(format!("a row of unknown kind {found}"))),
    }
}

fn columns(r: &mut Reader<'_>) -> Result<u16, PgOutputError> {
    match r.short("the number of columns")? {
        count if count > MAX_COLUMNS => Err(PgOutputError(format!("a table of {count} columns"))),
        count => Ok(count),
    }
}

fn relation(r: &mut Reader<'_>) -> Result<Relation, PgOutputError> {
    let id = r.int("a table's number")?;
    let schema = r.text("a schema's name")?.to_owned();
    let table = r.text("a table's name")?.to_owned();
    r.byte("a replica identity")?;
    let count = columns(r)?;
    let mut all = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        // whether the column is of the replica identity
        r.byte("a column")?;
        all.push(RelationColumn {
            name: r.text("a column's name")?.to_owned(),
            type_id: r.int("a type's number")?,
            modifier: r.int("a type's modifier")?.cast_signed(),
        });
    }
    Ok(Relation {
        id,
        // the system's own schema has no name here
        schema: if schema.is_empty() {
            "pg_catalog".to_owned()
        } else {
            schema
        },
        table,
        columns: all,
    })
}

fn tuple<'a>(r: &mut Reader<'a>) -> Result<Vec<LoggedCell<'a>>, PgOutputError> {
    let count = columns(r)?;
    let mut cells = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        cells.push(match r.byte("a value")? {
            b'n' => LoggedCell::Null,
            b'u' => LoggedCell::Unchanged,
            b't' => {
                let length = r.int("a value's length")?;
                LoggedCell::Text(r.bytes(length, "a value")?)
            }
            other => return Err(PgOutputError(format!("a value of unknown kind {other}"))),
        });
    }
    Ok(cells)
}

fn truncate<'a>(r: &mut Reader<'a>) -> Result<Message<'a>, PgOutputError> {
    let count = r.int("the number of tables")?;
    if count > MAX_TRUNCATED {
        return Err(PgOutputError(format!(
            "{count} tables are truncated at once"
        )));
    }
    // CASCADE, RESTART IDENTITY
    r.byte("an option")?;
    let numbers = (0..count).map(|_| r.int("a table's number"));
    Ok(Message::Truncate(numbers.collect::<Result<_, _>>()?))
}
