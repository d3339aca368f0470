//! Finds the tables, distributes them over the tasks, and looks each of them up.
//!
//! [`select`] chooses from the tables that the database lists, by the names in the connector's lists
//! ([`listed_names`]). [`plan_tasks`] distributes them over the tasks, [`assignments`] is what one
//! task reads (a table, ranges of ids of one, or the query). [`look_up`] plans one table from its
//! current definition, [`probe`] asks the database for what validation and planning need, over a
//! [`connection`].

pub(super) mod assignments;
pub(super) mod connection;
mod listed_names;
pub(super) mod look_up;
pub(super) mod plan_tasks;
pub(super) mod probe;
pub(super) mod select;
