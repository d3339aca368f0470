//! What people see of a running worker: its log ([`log`]), including panics ([`panics`]).

pub(crate) mod connector_log;
pub(crate) mod guard;
pub(crate) mod log;
pub(crate) mod panics;
