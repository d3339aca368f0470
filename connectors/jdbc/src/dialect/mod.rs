//! SQL dialects: text, types and limits. Pure, no I/O; `driver` sends what is written here.

pub mod mysql;
pub mod writing;

use connector_api::Kind;

use crate::ident::TableId;
use crate::url::Database;

/// What a server takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bound parameters of one statement.
    pub params: usize,
    /// Length of an identifier, in the server's own unit (characters or bytes).
    pub identifier: usize,
    /// Bytes of one statement with its parameters, where nothing else is known.
    pub packet: usize,
}

/// One database's SQL.
pub trait Dialect: Send + Sync {
    /// Its name in texts.
    fn name(&self) -> &'static str;

    /// What the server takes at most.
    fn limits(&self) -> Limits;

    /// The character around identifiers.
    fn quote_char(&self) -> char;

    /// Appends the placeholder of the parameter numbered from 1.
    fn placeholder(&self, number: usize, out: &mut String);

    /// What kind of trouble a server's error is: `code` is its own number (`1213`), empty where there is only the
    /// SQLSTATE.
    fn classify(&self, code: &str, sqlstate: &str) -> Kind;

    /// Appends an identifier in quotes.
    fn quote(&self, identifier: &str, out: &mut String) {
        let q = self.quote_char();
        out.push(q);
        for c in identifier.chars() {
            if c == q {
                out.push(q);
            }
            out.push(c);
        }
        out.push(q);
    }

    /// The table's full name, each part in quotes.
    fn table(&self, id: &TableId) -> String {
        let mut out = String::new();
        for (n, part) in id.parts().enumerate() {
            if n > 0 {
                out.push('.');
            }
            self.quote(part, &mut out);
        }
        out
    }

    /// The identifier in quotes.
    fn quoted(&self, identifier: &str) -> String {
        let mut out = String::with_capacity(identifier.len() + 2);
        self.quote(identifier, &mut out);
        out
    }
}

/// The dialect of a database. `None` for one that has none yet.
pub fn of(database: Database) -> Option<&'static dyn Dialect> {
    match database {
        Database::MySql => Some(&mysql::MySql),
        Database::Postgres | Database::Sqlite => None,
    }
}
