//! Rowferry's addition: a prepared statement that is executed for many rows of parameters at once, MariaDB's
//! [COM_STMT_BULK_EXECUTE](https://mariadb.com/kb/en/com_stmt_bulk_execute/).

use sqlx_core::error::BoxDynError;

use super::{MySqlConnection, Waiting};
use crate::encode::{Encode, IsNull};
use crate::error::Error;
use crate::io::ProtocolEncode;
use crate::protocol::text::ColumnFlags;
use crate::protocol::Capabilities;
use crate::types::Type;
use crate::{MySql, MySqlQueryResult, MySqlTypeInfo};

/// Parameters of many rows. The values of one parameter have the same type in all rows.
#[derive(Debug)]
pub struct MySqlRows {
    /// One for each parameter; none while all its values are NULL.
    types: Vec<Option<MySqlTypeInfo>>,
    values: Vec<u8>,
    /// The parameter of the next value.
    next: usize,
}

impl MySqlRows {
    /// Rows of so many parameters, for which `size` bytes are reserved.
    pub fn new(parameters: usize, size: usize) -> Self {
        Self {
            types: vec![None; parameters],
            values: Vec::with_capacity(size),
            next: 0,
        }
    }

    /// Adds a value, row by row. False if an earlier row has another type there: such rows cannot be sent together.
    pub fn add<'q, T>(&mut self, value: T) -> Result<bool, BoxDynError>
    where
        T: Encode<'q, MySql> + Type<MySql>,
    {
        let indicator = self.values.len();
        self.values.push(INDICATOR_NONE);
        if let IsNull::Yes = value.encode_by_ref(&mut self.values)? {
            self.values[indicator] = INDICATOR_NULL;
        } else {
            let ty = value.produces().unwrap_or_else(T::type_info);
            match &self.types[self.next] {
                None => self.types[self.next] = Some(ty),
                Some(known) if on_the_wire(known) == on_the_wire(&ty) => {}
                Some(_) => return Ok(false),
            }
        }
        self.next = (self.next + 1) % self.types.len();
        Ok(true)
    }
}

const INDICATOR_NONE: u8 = 0;
const INDICATOR_NULL: u8 = 1;

/// How a type is sent: its number, and whether it is unsigned.
fn on_the_wire(ty: &MySqlTypeInfo) -> [u8; 2] {
    let unsigned = ty.flags.contains(ColumnFlags::UNSIGNED);
    [ty.r#type as u8, if unsigned { 0x80 } else { 0 }]
}

struct BulkExecute<'q> {
    statement: u32,
    rows: &'q MySqlRows,
}

impl ProtocolEncode<'_, Capabilities> for BulkExecute<'_> {
    fn encode_with(&self, buf: &mut Vec<u8>, _: Capabilities) -> Result<(), Error> {
        const SEND_TYPES_TO_SERVER: u16 = 128;

        buf.push(0xfa); // COM_STMT_BULK_EXECUTE
        buf.extend(&self.statement.to_le_bytes());
        buf.extend(&SEND_TYPES_TO_SERVER.to_le_bytes());
        for ty in &self.rows.types {
            let ty = ty.clone().unwrap_or_else(<str as Type<MySql>>::type_info);
            buf.extend(&on_the_wire(&ty));
        }
        buf.extend(&self.rows.values);
        Ok(())
    }
}

impl MySqlConnection {
    /// Whether the server can execute a statement for many rows at once.
    pub fn takes_rows(&self) -> bool {
        let capabilities = self.inner.stream.capabilities;
        capabilities.contains(Capabilities::MARIADB_CLIENT_STMT_BULK_OPERATIONS)
    }

    /// Executes a statement, which is prepared once and must not return rows, for each of the rows, in order. The
    /// result has the rows affected in all.
    pub async fn execute_rows(
        &mut self,
        sql: &str,
        rows: &MySqlRows,
    ) -> Result<MySqlQueryResult, Error> {
        self.inner.stream.wait_until_ready().await?;
        self.inner.stream.waiting.push_back(Waiting::Result);

        let (statement, metadata) = self.get_or_prepare_statement(sql).await?;
        if rows.types.len() != metadata.parameters || rows.next != 0 || rows.values.is_empty() {
            self.inner.stream.waiting.pop_front();
            return Err(err_protocol!(
                "prepared statement expected rows of {} parameters but rows of {} parameters were provided",
                metadata.parameters,
                rows.types.len()
            ));
        }

        let packet = BulkExecute { statement, rows };
        self.inner.stream.send_packet(packet).await?;
        self.inner.stream.bounds.release();
        let ok = self.inner.stream.recv_ok().await?;
        self.inner.stream.waiting.pop_front();
        self.inner.status_flags = ok.status;
        Ok(MySqlQueryResult {
            rows_affected: ok.affected_rows,
            last_insert_id: ok.last_insert_id,
        })
    }
}
