//! What of configs is secret, and how it is kept out of what people and programs see.
//!
//! `names` says which keys hold secrets: what plug-ins declare, and what the names of other keys
//! say. [`Redactor`] takes the values themselves out of texts; `known` remembers those of this
//! process for its log.

pub mod known;
mod names;
mod redactor;
mod words;

pub use names::{HIDDEN, SecretKeys};
pub use redactor::Redactor;
pub use words::SecretWords;
