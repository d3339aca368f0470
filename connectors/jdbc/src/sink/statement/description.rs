//! A statement of the user with what the server says of its parameters.

use connector_api::{Error, ErrorKind, Result, Value};

use super::parameter_columns::{ParameterColumn, parameter_columns};
use super::written::{WrittenTable, written};
use crate::catalog::ColumnMeta;
use crate::dialect::writing::{StatementProbe, WriteDialect};
use crate::driver::Session;
use crate::sink::config::template::StatementTemplate;
use crate::sink::write::known_table::KnownTable;

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParameterCast {
    /// The type's name in a CAST.
    pub sql: String,
    /// The type's name in the catalog.
    pub data_type: String,
}

/// The parameters of a statement, as far as its text or the server shows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatementDescription {
    /// One for each parameter; empty if the server need not be asked.
    pub casts: Vec<ParameterCast>,
    /// The column that each parameter goes to; empty if none is known.
    pub columns: Vec<Option<ColumnMeta>>,
}

/// One statement of the user.
pub(super) struct UserStatement {
    pub template: StatementTemplate,
    description: Option<StatementDescription>,
    /// The table that the statement writes, if its columns are those of the description.
    table: Option<KnownTable>,
}

impl UserStatement {
    /// Takes a parsed statement, which the server has not seen yet.
    pub(super) fn new(template: StatementTemplate) -> Self {
        Self {
            template,
            description: None,
            table: None,
        }
    }

    /// Returns the statement's beginning, for messages.
    pub(super) fn shown(&self) -> String {
        format!("statement '{}'", self.template.shown())
    }

    /// Returns the description; asks the server on first use.
    /// Errors: `Config` if the server cannot parse the statement.
    pub(super) async fn describe(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<&StatementDescription> {
        if self.description.is_none() {
            let casts = self
                .parameter_types(session, writing)
                .await
                .map_err(|error| error.context(self.shown()))?;
            let (columns, table) = self.columns(session, writing, &casts).await?;
            self.table = table;
            self.description = Some(StatementDescription { casts, columns });
        }
        self.description
            .as_ref()
            .ok_or_else(|| Error::fatal("a statement has no description"))
    }

    /// Forgets the description.
    pub(super) fn forget(&mut self) {
        self.description = None;
        self.table = None;
    }

    /// Returns the table that the statement writes, if its parameters are converted for it.
    pub(super) fn table(&mut self) -> Option<&mut KnownTable> {
        self.table.as_mut()
    }

    /// Has the server describe the parameters again. True if the result differs.
    pub(super) async fn has_changed(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<bool> {
        let Some(known) = &self.description else {
            return Ok(false);
        };
        let casts = match self.parameter_types(session, writing).await {
            Ok(casts) => casts,
            Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
            // the server no longer accepts the statement; writing will report why
            Err(_) => return Ok(true),
        };
        let (columns, _) = self.columns(session, writing, &casts).await?;
        Ok(casts != known.casts || columns != known.columns)
    }

    /// Has the server parse the statement.
    /// Errors: why the server refuses it; none if it cannot be asked now.
    pub(super) async fn check(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<()> {
        match self.parameter_types(session, writing).await {
            Err(error) if error.kind() != ErrorKind::Retry => Err(error.context(self.shown())),
            _ => Ok(()),
        }
    }

    /// Returns the types of the parameters as the server describes them; empty if it need not be
    /// asked.
    /// Errors: `Config` if the server cannot parse the statement.
    async fn parameter_types(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<Vec<ParameterCast>> {
        let template = &self.template;
        let sql = template.sql(|n, out| writing.dialect.placeholder(n + 1, out));
        let probe = writing.capabilities.statement_probe;
        let Some(probe) = probe.filter(|_| template.verb() != "CALL") else {
            return Ok(Vec::new());
        };
        let own = session.needs_transaction();
        if own {
            session.begin().await?;
        }
        let types = types_of(session, probe, &sql).await;
        if own {
            session.rollback().await?;
        }
        types
    }

    /// Returns the columns that the parameters go to, as far as the statement's text or the server
    /// shows, and their table if the text shows them.
    async fn columns(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        casts: &[ParameterCast],
    ) -> Result<(Vec<Option<ColumnMeta>>, Option<KnownTable>)> {
        let probe = writing.capabilities.statement_probe;
        if probe.is_none_or(|probe| probe.types.is_none()) {
            return self.columns_of_text(session, writing).await;
        }
        let mut columns: Vec<_> = casts.iter().map(column_of_type).collect();
        let (of_text, table) = self.columns_of_text(session, writing).await?;
        for (column, of_text) in columns.iter_mut().zip(of_text) {
            // The server does not name the length of bits, which a number is written with.
            if let Some(of_text) = of_text.filter(|column| column.data_type == "bit") {
                *column = Some(of_text);
            }
        }
        Ok((columns, table))
    }

    /// Returns the columns that the statement's text shows, and their table.
    async fn columns_of_text(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<(Vec<Option<ColumnMeta>>, Option<KnownTable>)> {
        let nothing = (Vec::new(), None);
        let columns = parameter_columns(&self.template, writing.database);
        if columns.iter().all(Option::is_none) {
            return Ok(nothing);
        }
        let tables = written(&self.template, writing.database);
        let [WrittenTable { table, if_it_has }] = tables.as_slice() else {
            return Ok(nothing);
        };
        if !if_it_has.is_empty() {
            return Ok(nothing);
        }
        let known = KnownTable::read(session, writing, table).await?;
        let Some(meta) = &known.meta else {
            return Ok(nothing);
        };
        let visible: Vec<&ColumnMeta> = meta.columns.iter().filter(|c| !c.invisible).collect();
        let column = |column: Option<ParameterColumn>| match column? {
            ParameterColumn::Named(name) => meta.column(&name).cloned(),
            ParameterColumn::Nth(n) => visible.get(n).copied().cloned(),
        };
        let columns = columns.into_iter().map(column).collect();
        Ok((columns, Some(known)))
    }
}

/// Has the server parse a statement, and returns the types of its parameters.
async fn types_of(
    session: &mut dyn Session,
    probe: StatementProbe,
    sql: &str,
) -> Result<Vec<ParameterCast>> {
    session.run(&(probe.prepare)(sql)).await?;
    let mut types = Vec::new();
    if let Some(query) = probe.types {
        for row in session.query(query, &[]).await? {
            let text = |n: usize| row.get(n).and_then(Value::as_str).unwrap_or_default();
            types.push(ParameterCast {
                sql: text(0).to_owned(),
                data_type: text(1).to_owned(),
            });
        }
    }
    session.run(probe.deallocate).await?;
    Ok(types)
}

/// Returns a column of the type that the server names for a parameter.
fn column_of_type(ParameterCast { sql, data_type }: &ParameterCast) -> Option<ColumnMeta> {
    if sql.is_empty() {
        return None;
    }
    Some(ColumnMeta {
        data_type: data_type.clone(),
        column_type: sql.clone(),
        ..ColumnMeta::default()
    })
}
