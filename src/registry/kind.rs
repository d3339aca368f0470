//! Kinds of plug-ins, roles of converters, and the names by which a class can be found.

use std::sync::Arc;

use connector_api::{Config, ConfigKey, ConfigReport, Plugin, SinkConnector, SourceConnector};

/// A source or sink connector.
#[derive(Clone)]
pub enum ConnectorPlugin {
    /// Reads rows and emits records.
    Source(Arc<dyn SourceConnector>),
    /// Reads records and writes rows.
    Sink(Arc<dyn SinkConnector>),
}

impl ConnectorPlugin {
    /// Returns what the connector declares about itself.
    pub fn plugin(&self) -> &dyn Plugin {
        match self {
            Self::Source(source) => &**source as &dyn Plugin,
            Self::Sink(sink) => &**sink as &dyn Plugin,
        }
    }

    /// Returns `source` or `sink`, as in REST responses.
    pub fn type_name(&self) -> &'static str {
        self.kind().name()
    }

    pub(super) fn kind(&self) -> PluginKind {
        match self {
            Self::Source(_) => PluginKind::Source,
            Self::Sink(_) => PluginKind::Sink,
        }
    }
}

/// The use of a converter (Connect's `converter.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConverterRole {
    /// Converts record keys.
    Key,
    /// Converts record values.
    Value,
    /// Converts header values.
    Header,
}

impl ConverterRole {
    /// Returns the name used in settings, such as `key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Header => "header",
        }
    }

    /// Returns the kind of plug-in that serves this role.
    pub fn kind(self) -> PluginKind {
        match self {
            Self::Key | Self::Value => PluginKind::Converter,
            Self::Header => PluginKind::HeaderConverter,
        }
    }
}

/// The kinds of plug-ins, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Kafka Connect's own names")]
pub enum PluginKind {
    Sink,
    Source,
    Transformation,
    Predicate,
    Converter,
    HeaderConverter,
}

impl PluginKind {
    /// All kinds: connectors first, then [`PluginKind::OF_CONNECTORS`].
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::Sink,
        Self::Transformation,
        Self::Predicate,
        Self::Converter,
        Self::HeaderConverter,
    ];
    /// The kinds that a connector's config names besides the connector itself.
    pub const OF_CONNECTORS: [Self; 4] = [
        Self::Transformation,
        Self::Predicate,
        Self::Converter,
        Self::HeaderConverter,
    ];

    /// Returns the name used in REST responses, such as `header_converter`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Source => "source",
            Self::Transformation => "transformation",
            Self::Predicate => "predicate",
            Self::Converter => "converter",
            Self::HeaderConverter => "header_converter",
        }
    }

    /// Returns the suffix of a simple class name that may be omitted (Kafka Connect's
    /// `PluginUtils.prunedName`).
    fn suffix(self) -> &'static str {
        match self {
            Self::Sink | Self::Source => "Connector",
            Self::Transformation => "Transformation",
            Self::Predicate => "Predicate",
            Self::Converter => "Converter",
            Self::HeaderConverter => "HeaderConverter",
        }
    }

    /// True if `asked` names `class`: by its full name, its simple name, or its simple name without
    /// the suffix.
    pub(super) fn names(self, class: &str, asked: &str) -> bool {
        let simple = class.rsplit('.').next().unwrap_or(class);
        let pruned = simple
            .strip_suffix(self.suffix())
            .filter(|pruned| !pruned.is_empty());
        asked == class || asked == simple || pruned == Some(asked)
    }

    pub(super) fn finds(self, plugin: &dyn Plugin, asked: &str) -> bool {
        std::iter::once(&plugin.class())
            .chain(plugin.other_classes())
            .any(|class| self.names(class, asked))
    }
}

/// The declaration of a plug-in that is not a connector; its version is this program's.
#[derive(Clone, Copy)]
pub struct PluginDescription {
    /// Full class name.
    pub class: &'static str,
    /// Declared keys.
    pub keys: &'static [ConfigKey],
    /// Checks constraints between keys.
    pub check: fn(&Config, &mut ConfigReport),
}

impl Plugin for PluginDescription {
    fn class(&self) -> &'static str {
        self.class
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [ConfigKey] {
        self.keys
    }

    fn check(&self, config: &Config, report: &mut ConfigReport) {
        (self.check)(config, report);
    }
}

#[cfg(test)]
mod tests {
    use super::PluginKind;

    #[test]
    fn a_class_answers_to_its_full_simple_and_pruned_name_only() {
        let class = "io.confluent.connect.jdbc.JdbcSourceConnector";
        for (asked, want) in [
            (class, true),
            ("JdbcSourceConnector", true),
            ("JdbcSource", true),
            ("jdbcsource", false),
            ("JdbcSourceConnecto", false),
            ("jdbc.JdbcSourceConnector", false),
            ("", false),
        ] {
            assert_eq!(PluginKind::Source.names(class, asked), want, "{asked}");
        }
        assert!(PluginKind::Converter.names("a.b.JsonConverter", "Json"));
        assert!(PluginKind::Transformation.names("a.b.HoistField$Value", "HoistField$Value"));
    }
}
