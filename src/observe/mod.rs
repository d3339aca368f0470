//! What people see of a running worker: its log ([`log`]), panics in it included ([`panics`]).

pub mod guard;
pub mod log;
pub mod panics;
