//! Kinds of plug-ins, what a converter is for, and by which names a class is found.

use std::sync::Arc;

use connector_api::{Config, ConfigKey, ConfigReport, Plugin, SinkConnector, SourceConnector};

/// A connector of either direction.
#[derive(Clone)]
pub enum ConnectorPlugin {
    /// Rows become records.
    Source(Arc<dyn SourceConnector>),
    /// Records become rows.
    Sink(Arc<dyn SinkConnector>),
}

impl ConnectorPlugin {
    /// What it tells about itself.
    pub fn plugin(&self) -> &dyn Plugin {
        match self {
            Self::Source(source) => &**source as &dyn Plugin,
            Self::Sink(sink) => &**sink as &dyn Plugin,
        }
    }

    /// `source` or `sink`, as REST answers have it.
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

impl ConverterRole {
    /// Its name as a setting, such as `key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Header => "header",
        }
    }

    /// The kind of plug-in that is used so.
    pub fn kind(self) -> PluginKind {
        match self {
            Self::Key | Self::Value => PluginKind::Converter,
            Self::Header => PluginKind::HeaderConverter,
        }
    }
}

/// What kind of plug-in it is, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are Kafka Connect's own names")]
pub enum PluginKind {
    Sink,
    Source,
    Transformation,
    Predicate,
    Converter,
    HeaderConverter,
}

impl PluginKind {
    /// Connectors first, and then [`PluginKind::OF_CONNECTORS`].
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::Sink,
        Self::Transformation,
        Self::Predicate,
        Self::Converter,
        Self::HeaderConverter,
    ];
    /// What a connector's config names besides the connector.
    pub const OF_CONNECTORS: [Self; 4] = [
        Self::Transformation,
        Self::Predicate,
        Self::Converter,
        Self::HeaderConverter,
    ];

    /// Its name in REST answers, such as `header_converter`.
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

    /// The end of a simple class name that may be left out (`PluginUtils.prunedName` of Kafka
    /// Connect).
    fn suffix(self) -> &'static str {
        match self {
            Self::Sink | Self::Source => "Connector",
            Self::Transformation => "Transformation",
            Self::Predicate => "Predicate",
            Self::Converter => "Converter",
            Self::HeaderConverter => "HeaderConverter",
        }
    }

    /// Whether `asked` names `class`: whole, by its simple name, or by its simple name without the
    /// suffix.
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

/// What a plug-in without a type of its own tells about itself; its version is this program's.
#[derive(Clone, Copy)]
pub struct PluginDescription {
    /// Its full class name.
    pub class: &'static str,
    /// Its keys.
    pub keys: &'static [ConfigKey],
    /// Checks across keys.
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
