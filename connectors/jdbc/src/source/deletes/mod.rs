//! `delete.capture=key_sweep`: a [`sweep`] periodically reads the primary keys of a table and
//! compares them with the [`known_keys`], those that readers of the topic believe in; `second_look`
//! queries again for keys that were not found.

pub(super) mod known_keys;
mod second_look;
pub(super) mod sweep;
