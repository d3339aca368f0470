//! The sets of names under which figures are shown. Pure.

/// A set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Our own names.
    Rowferry,
    /// Those that Confluent's configuration of the JMX exporter gives to Kafka Connect's metrics.
    Confluent,
    /// Those of Strimzi: by its configuration of the JMX exporter, and by its metrics reporter.
    Strimzi,
    /// Those that Debezium's configuration of the JMX exporter gives to its connectors' metrics.
    Debezium,
}

impl Spelling {
    /// All sets.
    pub(crate) const ALL: [Self; 4] = [
        Self::Rowferry,
        Self::Confluent,
        Self::Strimzi,
        Self::Debezium,
    ];

    /// Returns its name in `metrics.spellings`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rowferry => "rowferry",
            Self::Confluent => "confluent",
            Self::Strimzi => "strimzi",
            Self::Debezium => "debezium",
        }
    }

    /// Returns the set with that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name.trim())
    }
}
