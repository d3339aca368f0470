//! Finds the secrets in configs and keeps them out of what people and programs see.
//!
//! `names` decides which keys are secret, by the declarations of plug-ins and by the names of other
//! keys. [`Redactor`] removes the values from texts; `known` collects those of the whole process
//! for its log.

pub(crate) mod known;
mod names;
mod redactor;
mod words;

pub use names::{HIDDEN, SecretKeys};
pub use redactor::Redactor;
pub use words::SecretWords;
