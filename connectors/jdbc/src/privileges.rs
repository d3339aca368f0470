//! Finds the privileges that an account lacks, and the statements that grant them.
//!
//! A privilege that cannot be determined counts as granted: if it is missing, the running task
//! fails.

use std::collections::BTreeMap;

use connector_api::{Result, Value};

use crate::dialect::Dialect;
use crate::dialect::mysql::grants::AccountGrants;
use crate::driver::{Session, SqlParam};
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// A privilege on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Privilege {
    Select,
    Insert,
    Update,
    Delete,
    Create,
    Alter,
}

impl Privilege {
    /// Returns the name in SQL.
    fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
        }
    }
}

/// The privileges of an account, as its server reports them.
pub(crate) struct AccountPrivileges {
    /// In quotes, as GRANT expects it.
    name: String,
    rights: TableRights,
}

enum TableRights {
    MySql(AccountGrants),
    /// PostgreSQL is queried for each table.
    Postgres,
}

impl AccountPrivileges {
    /// Reads the privileges of the session's account; `None` if they cannot be determined.
    pub(crate) async fn of(
        session: &mut dyn Session,
        database: DatabaseKind,
    ) -> Result<Option<Self>> {
        Ok(match database {
            DatabaseKind::MySql => {
                let lines = session.query("SHOW GRANTS", &[]).await?;
                let lines = lines
                    .iter()
                    .filter_map(|row| row.first().and_then(Value::as_str));
                let rights = TableRights::MySql(AccountGrants::parse(lines));
                let user = session.query("SELECT CURRENT_USER()", &[]).await?;
                let (user, host) = text(&user).rsplit_once('@').unwrap_or_default();
                Some(Self {
                    name: format!("'{user}'@'{host}'"),
                    rights,
                })
            }
            DatabaseKind::Postgres => {
                let user = session
                    .query("SELECT current_user::pg_catalog.text", &[])
                    .await?;
                Some(Self {
                    name: session.dialect().quoted(text(&user)),
                    rights: TableRights::Postgres,
                })
            }
            DatabaseKind::Sqlite => None,
        })
    }

    /// Returns a text for each table with missing privileges, with the statement that grants them.
    /// Table names must be full.
    pub(crate) async fn missing(
        &self,
        session: &mut dyn Session,
        needs: &[(TableId, Privilege)],
    ) -> Result<Vec<String>> {
        let mut missing: BTreeMap<&TableId, Vec<Privilege>> = BTreeMap::new();
        for (table, privilege) in needs {
            let allowed = match &self.rights {
                TableRights::MySql(grants) => {
                    grants.allows(privilege.name(), Some(table)).unwrap_or(true)
                }
                TableRights::Postgres => postgres_allows(session, table, *privilege).await?,
            };
            if !allowed {
                missing.entry(table).or_default().push(*privilege);
            }
        }
        let dialect = session.dialect();
        Ok(missing
            .into_iter()
            .map(|(table, privileges)| self.told(dialect, table, privileges))
            .collect())
    }

    /// Returns what the account lacks to see open transactions, if anything.
    pub(crate) async fn blind(&self, session: &mut dyn Session) -> Result<Option<String>> {
        let Some(wanted) = session.dialect().capabilities().oldest_transaction else {
            return Ok(None);
        };
        let (sees, grant) = match &self.rights {
            TableRights::MySql(grants) => (
                grants.allows(wanted.grant, None).unwrap_or(true),
                format!("GRANT {} ON *.* TO {}", wanted.grant, self.name),
            ),
            TableRights::Postgres => {
                let sql =
                    "SELECT pg_catalog.pg_has_role(current_user, $1, 'USAGE')::pg_catalog.int4";
                let found = session
                    .query(sql, &[SqlParam::Text(wanted.grant.into())])
                    .await?;
                (
                    is_true(&found),
                    format!("GRANT {} TO {}", wanted.grant, self.name),
                )
            }
        };
        Ok((!sees).then(|| {
            format!(
                "{} cannot see how long other transactions have been open, so new rows are read \
                 some seconds later, and a row whose transaction stays open for longer may be \
                 missed; to fix this: {grant}",
                self.name
            )
        }))
    }

    fn told(&self, dialect: &dyn Dialect, table: &TableId, privileges: Vec<Privilege>) -> String {
        let names: Vec<_> = privileges
            .iter()
            .map(|privilege| privilege.name())
            .collect();
        let place = dialect.table(table);
        let grants = match self.rights {
            TableRights::MySql(_) => {
                format!("GRANT {} ON {place} TO {}", names.join(", "), self.name)
            }
            TableRights::Postgres => self.postgres_grants(dialect, table, &place, &privileges),
        };
        format!(
            "{} lacks {} on {table}; to fix this: {grants}",
            self.name,
            names.join(", ")
        )
    }

    /// On PostgreSQL, creating a table takes a privilege on its schema, and altering one belongs to
    /// its owner.
    fn postgres_grants(
        &self,
        dialect: &dyn Dialect,
        table: &TableId,
        place: &str,
        lacked: &[Privilege],
    ) -> String {
        let mut statements = Vec::new();
        let schema = dialect.quoted(table.schema.as_deref().unwrap_or("public"));
        if lacked.contains(&Privilege::Create) {
            statements.push(format!(
                "GRANT USAGE, CREATE ON SCHEMA {schema} TO {}",
                self.name
            ));
        }
        if lacked.contains(&Privilege::Alter) {
            statements.push(format!("ALTER TABLE {place} OWNER TO {}", self.name));
        }
        let of_rows = |p: &&Privilege| !matches!(p, Privilege::Create | Privilege::Alter);
        let rows: Vec<_> = lacked
            .iter()
            .filter(of_rows)
            .map(|privilege| privilege.name())
            .collect();
        if !rows.is_empty() {
            statements.push(format!(
                "GRANT {} ON {place} TO {}",
                rows.join(", "),
                self.name
            ));
        }
        statements.join("; ")
    }
}

/// True if the current user has a privilege on a table. For a missing table every privilege but
/// `Create` counts as granted.
async fn postgres_allows(
    session: &mut dyn Session,
    table: &TableId,
    privilege: Privilege,
) -> Result<bool> {
    let schema = SqlParam::Text(table.schema.as_deref().unwrap_or("public").into());
    let name = SqlParam::Text(table.table.as_str().into());
    let found = match privilege {
        Privilege::Create => {
            let sql = "SELECT pg_catalog.has_schema_privilege(current_user, n.oid, 'CREATE')::pg_catalog.int4 \
                       FROM pg_catalog.pg_namespace n WHERE n.nspname = $1";
            session.query(sql, &[schema]).await?
        }
        Privilege::Alter => {
            let sql = "SELECT pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')::pg_catalog.int4 FROM pg_catalog.pg_class c \
                       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
            session.query(sql, &[schema, name]).await?
        }
        of_rows => {
            let sql = "SELECT pg_catalog.has_any_column_privilege(current_user, c.oid, $3)::pg_catalog.int4 \
                       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                       WHERE n.nspname = $1 AND c.relname = $2";
            // there is no DELETE privilege on columns
            let whole = sql.replace("has_any_column_privilege", "has_table_privilege");
            let sql = if of_rows == Privilege::Delete {
                whole.as_str()
            } else {
                sql
            };
            session
                .query(sql, &[schema, name, SqlParam::Text(of_rows.name().into())])
                .await?
        }
    };
    Ok(found.is_empty() || is_true(&found))
}

fn is_true(found: &[Vec<Value>]) -> bool {
    found
        .first()
        .and_then(|row| row.first())
        .and_then(Value::as_i64)
        == Some(1)
}

fn text(found: &[Vec<Value>]) -> &str {
    found
        .first()
        .and_then(|row| row.first())
        .and_then(Value::as_str)
        .unwrap_or_default()
}
