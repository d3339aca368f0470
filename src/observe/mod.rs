//! What people see of a running worker: its log ([`log`]).

pub mod log;
