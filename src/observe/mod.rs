//! What people see of a running worker: its log ([`log`]), including panics ([`panics`]).

pub mod guard;
pub mod log;
pub mod panics;
