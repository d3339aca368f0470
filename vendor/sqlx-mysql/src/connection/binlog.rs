//! Rowferry's addition: the server's binary log, as it sends it to replicas
//! ([COM_REGISTER_SLAVE](https://mariadb.com/kb/en/com_register_slave/),
//! [COM_BINLOG_DUMP](https://mariadb.com/kb/en/com_binlog_dump/)).

use super::MySqlConnection;
use crate::error::Error;
use crate::io::ProtocolEncode;
use crate::protocol::Capabilities;

struct RegisterReplica {
    server_id: u32,
}

impl ProtocolEncode<'_, Capabilities> for RegisterReplica {
    fn encode_with(&self, buf: &mut Vec<u8>, _: Capabilities) -> Result<(), Error> {
        buf.push(0x15);
        buf.extend(&self.server_id.to_le_bytes());
        // no host, user and password, port 0, rank 0, no source's id
        buf.extend(&[0; 3 + 2 + 4 + 4]);
        Ok(())
    }
}

struct DumpBinlog<'q> {
    server_id: u32,
    file: &'q str,
    position: u32,
}

impl ProtocolEncode<'_, Capabilities> for DumpBinlog<'_> {
    fn encode_with(&self, buf: &mut Vec<u8>, _: Capabilities) -> Result<(), Error> {
        buf.push(0x12);
        buf.extend(&self.position.to_le_bytes());
        // no flags: the server waits for more at the end
        buf.extend(&0_u16.to_le_bytes());
        buf.extend(&self.server_id.to_le_bytes());
        buf.extend(self.file.as_bytes());
        Ok(())
    }
}

impl MySqlConnection {
    /// Asks for the binary log from a position of a file on; without a file's name, from the global transaction id that
    /// the session's variables say. From then on the connection is good for [`Self::next_binlog_event`] only.
    pub async fn dump_binlog(&mut self, server_id: u32, file: &str, position: u32) -> Result<(), Error> {
        let stream = &mut self.inner.stream;
        stream.wait_until_ready().await?;
        stream.bounds.release();
        stream.send_packet(RegisterReplica { server_id }).await?;
        stream.recv_ok().await?;
        stream.send_packet(DumpBinlog { server_id, file, position }).await
    }

    /// The next event of the log; `None` at its end, if the server does not wait for more. Not cancel-safe.
    pub async fn next_binlog_event(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let stream = &mut self.inner.stream;
        stream.bounds.release();
        let packet = stream.recv_packet().await?;
        match packet.split_first() {
            Some((0, event)) => Ok(Some(event.to_vec())),
            Some((0xfe, _)) if packet.len() < 9 => Ok(None),
            _ => Err(err_protocol!("unexpected message in place of an event of the binary log")),
        }
    }
}
