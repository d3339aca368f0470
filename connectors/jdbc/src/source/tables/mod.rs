//! Which tables there are, which of them each task reads, and what the database says of one.
//!
//! [`select`] chooses from the tables that the database lists, [`plan_tasks`] deals them out to tasks, [`assignments`] is
//! what one task reads (a table, ranges of ids of one, or the query). [`look_up`] plans one table from its definition of
//! now, [`probe`] asks the database for what validation and planning need, over a [`connection`].

pub mod assignments;
pub mod connection;
pub mod look_up;
pub mod plan_tasks;
pub mod probe;
pub mod select;
