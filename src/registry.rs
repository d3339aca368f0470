//! The one file that names concrete connectors, converters, transforms and predicates.

use std::sync::Arc;
use std::time::SystemTime;

use connector_api::{Config, Converter, Error, Key, Plugin, Predicate, Report, Sink, Source, Transform, Type};
use connector_jdbc::sink::JdbcSink;
use connector_jdbc::source::JdbcSource;

use crate::convert::NO_KEYS;
use crate::convert::header::{self, SimpleHeaderConverter};
use crate::convert::json::{self, JsonConverter};
use crate::convert::number::NumberConverter;
use crate::convert::plain::{self, ByteArrayConverter, StringConverter};
use crate::transform::Part;
use crate::transform::cast::{self, Cast};
use crate::transform::envelope::{self, ExtractNewRecordState};
use crate::transform::expression::{self, Expression};
use crate::transform::extract::{self, ExtractField, HoistField};
use crate::transform::flatten::{self, Flatten};
use crate::transform::headers::{self, DropHeaders, HeaderFrom, InsertHeader};
use crate::transform::insert::{self, InsertField};
use crate::transform::logical_table::{self, ByLogicalTableRouter};
use crate::transform::mask::{self, MaskField};
use crate::transform::predicate::{self, Filter, HasHeaderKey, RecordIsTombstone, TopicNameMatches};
use crate::transform::replace::{self, ReplaceField};
use crate::transform::route::{self, RegexRouter, TimestampRouter};
use crate::transform::schema::{self, SetSchemaMetadata};
use crate::transform::timestamp::{self, TimestampConverter};
use crate::transform::value_to_key::{self, ValueToKey};

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
        self.kind().name()
    }

    fn kind(&self) -> PluginKind {
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

    /// The end of a simple class name that may be left out (`PluginUtils.prunedName` of Kafka Connect).
    fn suffix(self) -> &'static str {
        match self {
            Self::Sink | Self::Source => "Connector",
            Self::Transformation => "Transformation",
            Self::Predicate => "Predicate",
            Self::Converter => "Converter",
            Self::HeaderConverter => "HeaderConverter",
        }
    }

    /// Whether `asked` names `class`: whole, by its simple name, or by its simple name without the suffix.
    fn names(self, class: &str, asked: &str) -> bool {
        let simple = class.rsplit('.').next().unwrap_or(class);
        let pruned = simple.strip_suffix(self.suffix()).filter(|pruned| !pruned.is_empty());
        asked == class || asked == simple || pruned == Some(asked)
    }

    fn finds(self, plugin: &dyn Plugin, asked: &str) -> bool {
        std::iter::once(&plugin.class()).chain(plugin.other_classes()).any(|class| self.names(class, asked))
    }
}

/// What a plug-in without a type of its own tells about itself; its version is this program's.
#[derive(Clone, Copy)]
pub struct Described {
    /// Its full class name.
    pub class: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Checks across keys.
    pub check: fn(&Config, &mut Report),
}

impl Plugin for Described {
    fn class(&self) -> &'static str {
        self.class
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [Key] {
        self.keys
    }

    fn check(&self, config: &Config, report: &mut Report) {
        (self.check)(config, report);
    }
}

/// A plug-in and how it is made from its own settings (prefix already cut off).
#[derive(Clone, Copy)]
pub struct Maker<Make> {
    /// What it tells about itself.
    pub plugin: Described,
    /// Makes it. Errors: `Config` for a bad setting.
    pub make: Make,
}

/// A converter; the role is what it is to be used for.
pub type ConverterMaker = Maker<MakeConverter>;

/// Makes a converter out of its own settings.
type MakeConverter = fn(ConverterRole, &Config) -> Result<Box<dyn Converter>, Error>;
/// A transform.
pub type TransformMaker = Maker<fn(&Config) -> Result<Box<dyn Transform>, Error>>;
/// A predicate.
pub type PredicateMaker = Maker<fn(&Config) -> Result<Box<dyn Predicate>, Error>>;

const JSON: ConverterMaker = converter("org.apache.kafka.connect.json.JsonConverter", json::KEYS, |_, config| {
    Ok(Box::new(JsonConverter::new(config)?))
});
const STRING: ConverterMaker =
    converter("org.apache.kafka.connect.storage.StringConverter", plain::STRING_KEYS, |role, config| {
        Ok(Box::new(StringConverter::new(role.name(), config)?))
    });
const BYTE_ARRAY: ConverterMaker =
    converter("org.apache.kafka.connect.converters.ByteArrayConverter", NO_KEYS, |_, _| {
        Ok(Box::new(ByteArrayConverter::new()))
    });
const BOOLEAN: ConverterMaker =
    converter("org.apache.kafka.connect.converters.BooleanConverter", NO_KEYS, |_, _| number(Type::Boolean));
const SHORT: ConverterMaker =
    converter("org.apache.kafka.connect.converters.ShortConverter", NO_KEYS, |_, _| number(Type::Int16));
const INTEGER: ConverterMaker =
    converter("org.apache.kafka.connect.converters.IntegerConverter", NO_KEYS, |_, _| number(Type::Int32));
const LONG: ConverterMaker =
    converter("org.apache.kafka.connect.converters.LongConverter", NO_KEYS, |_, _| number(Type::Int64));
const FLOAT: ConverterMaker =
    converter("org.apache.kafka.connect.converters.FloatConverter", NO_KEYS, |_, _| number(Type::Float32));
const DOUBLE: ConverterMaker =
    converter("org.apache.kafka.connect.converters.DoubleConverter", NO_KEYS, |_, _| number(Type::Float64));
const SIMPLE_HEADER: ConverterMaker =
    converter("org.apache.kafka.connect.storage.SimpleHeaderConverter", header::KEYS, |_, config| {
        Ok(Box::new(SimpleHeaderConverter::new(config)?))
    });

const CONVERTERS: &[ConverterMaker] = &[BOOLEAN, BYTE_ARRAY, DOUBLE, FLOAT, INTEGER, LONG, SHORT, JSON, STRING];
const HEADER_CONVERTERS: &[ConverterMaker] =
    &[BOOLEAN, BYTE_ARRAY, DOUBLE, FLOAT, INTEGER, LONG, SHORT, JSON, SIMPLE_HEADER, STRING];

const TRANSFORMS: &[TransformMaker] = &[
    transform("org.apache.kafka.connect.transforms.Cast$Key", cast::KEYS, cast::check, |config| {
        Ok(Box::new(Cast::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.Cast$Value", cast::KEYS, cast::check, |config| {
        Ok(Box::new(Cast::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.DropHeaders", headers::DROP_KEYS, no_check, |config| {
        Ok(Box::new(DropHeaders::new(config)?))
    }),
    transform("org.apache.kafka.connect.transforms.ExtractField$Key", extract::EXTRACT_KEYS, no_check, |config| {
        Ok(Box::new(ExtractField::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.ExtractField$Value", extract::EXTRACT_KEYS, no_check, |config| {
        Ok(Box::new(ExtractField::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.Filter", &[], no_check, |_| Ok(Box::new(Filter))),
    transform("org.apache.kafka.connect.transforms.Flatten$Key", flatten::KEYS, no_check, |config| {
        Ok(Box::new(Flatten::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.Flatten$Value", flatten::KEYS, no_check, |config| {
        Ok(Box::new(Flatten::new(Part::Value, config)?))
    }),
    transform(
        "org.apache.kafka.connect.transforms.HeaderFrom$Key",
        headers::FROM_KEYS,
        headers::check_from,
        |config| Ok(Box::new(HeaderFrom::new(Part::Key, config)?)),
    ),
    transform(
        "org.apache.kafka.connect.transforms.HeaderFrom$Value",
        headers::FROM_KEYS,
        headers::check_from,
        |config| Ok(Box::new(HeaderFrom::new(Part::Value, config)?)),
    ),
    transform("org.apache.kafka.connect.transforms.HoistField$Key", extract::HOIST_KEYS, no_check, |config| {
        Ok(Box::new(HoistField::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.HoistField$Value", extract::HOIST_KEYS, no_check, |config| {
        Ok(Box::new(HoistField::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.InsertField$Key", insert::KEYS, insert::check, |config| {
        Ok(Box::new(InsertField::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.InsertField$Value", insert::KEYS, insert::check, |config| {
        Ok(Box::new(InsertField::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.InsertHeader", headers::INSERT_KEYS, no_check, |config| {
        Ok(Box::new(InsertHeader::new(config)?))
    }),
    transform("org.apache.kafka.connect.transforms.MaskField$Key", mask::KEYS, no_check, |config| {
        Ok(Box::new(MaskField::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.MaskField$Value", mask::KEYS, no_check, |config| {
        Ok(Box::new(MaskField::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.RegexRouter", route::REGEX_KEYS, no_check, |config| {
        Ok(Box::new(RegexRouter::new(config)?))
    }),
    transform("org.apache.kafka.connect.transforms.ReplaceField$Key", replace::KEYS, no_check, |config| {
        Ok(Box::new(ReplaceField::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.ReplaceField$Value", replace::KEYS, no_check, |config| {
        Ok(Box::new(ReplaceField::new(Part::Value, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.SetSchemaMetadata$Key", schema::KEYS, schema::check, |config| {
        Ok(Box::new(SetSchemaMetadata::new(Part::Key, config)?))
    }),
    transform("org.apache.kafka.connect.transforms.SetSchemaMetadata$Value", schema::KEYS, schema::check, |config| {
        Ok(Box::new(SetSchemaMetadata::new(Part::Value, config)?))
    }),
    transform(
        "org.apache.kafka.connect.transforms.TimestampConverter$Key",
        timestamp::KEYS,
        timestamp::check,
        |config| Ok(Box::new(TimestampConverter::new(Part::Key, config, now_ms())?)),
    ),
    transform(
        "org.apache.kafka.connect.transforms.TimestampConverter$Value",
        timestamp::KEYS,
        timestamp::check,
        |config| Ok(Box::new(TimestampConverter::new(Part::Value, config, now_ms())?)),
    ),
    transform("org.apache.kafka.connect.transforms.TimestampRouter", route::TIMESTAMP_KEYS, no_check, |config| {
        Ok(Box::new(TimestampRouter::new(config)?))
    }),
    transform("org.apache.kafka.connect.transforms.ValueToKey", value_to_key::KEYS, no_check, |config| {
        Ok(Box::new(ValueToKey::new(config)?))
    }),
    transform("io.debezium.transforms.ByLogicalTableRouter", logical_table::KEYS, logical_table::check, |config| {
        Ok(Box::new(ByLogicalTableRouter::new(config)?))
    }),
    transform("io.debezium.transforms.ExtractNewRecordState", envelope::KEYS, no_check, |config| {
        Ok(Box::new(ExtractNewRecordState::new(config)?))
    }),
    transform("rowferry.transforms.Expression", expression::KEYS, expression::check, |config| {
        Ok(Box::new(Expression::new(config)?))
    }),
];

const PREDICATES: &[PredicateMaker] = &[
    predicate("org.apache.kafka.connect.transforms.predicates.HasHeaderKey", predicate::HAS_HEADER_KEYS, |config| {
        Ok(Box::new(HasHeaderKey::new(config)?))
    }),
    predicate("org.apache.kafka.connect.transforms.predicates.RecordIsTombstone", &[], |_| {
        Ok(Box::new(RecordIsTombstone))
    }),
    predicate("org.apache.kafka.connect.transforms.predicates.TopicNameMatches", predicate::TOPIC_KEYS, |config| {
        Ok(Box::new(TopicNameMatches::new(config)?))
    }),
];

const fn transform(
    class: &'static str,
    keys: &'static [Key],
    check: fn(&Config, &mut Report),
    make: fn(&Config) -> Result<Box<dyn Transform>, Error>,
) -> TransformMaker {
    Maker { plugin: Described { class, keys, check }, make }
}

const fn predicate(
    class: &'static str,
    keys: &'static [Key],
    make: fn(&Config) -> Result<Box<dyn Predicate>, Error>,
) -> PredicateMaker {
    Maker { plugin: Described { class, keys, check: no_check }, make }
}

fn no_check(_config: &Config, _report: &mut Report) {}

/// Milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

const fn converter(class: &'static str, keys: &'static [Key], make: MakeConverter) -> ConverterMaker {
    Maker { plugin: Described { class, keys, check: no_check }, make }
}

fn number(ty: Type) -> Result<Box<dyn Converter>, Error> {
    match NumberConverter::new(ty) {
        Some(converter) => Ok(Box::new(converter)),
        None => Err(Error::fatal("no number converter for this type")),
    }
}

/// Everything that can be named in a connector's configuration.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: Vec<Connector>,
    converters: &'static [ConverterMaker],
    header_converters: &'static [ConverterMaker],
    transforms: &'static [TransformMaker],
    predicates: &'static [PredicateMaker],
}

impl Registry {
    /// All that is built in.
    pub fn built_in() -> Self {
        Self {
            connectors: vec![Connector::Source(Arc::new(JdbcSource)), Connector::Sink(Arc::new(JdbcSink))],
            converters: CONVERTERS,
            header_converters: HEADER_CONVERTERS,
            transforms: TRANSFORMS,
            predicates: PREDICATES,
        }
    }

    /// The same with one more connector.
    #[must_use]
    pub fn and(mut self, connector: Connector) -> Self {
        self.connectors.push(connector);
        self
    }

    /// All connectors.
    pub fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    /// The connector of that `connector.class`: full class name (ours or a peer's), simple name, or the simple name
    /// without its last `Connector`.
    pub fn connector(&self, class: &str) -> Option<&Connector> {
        self.connectors.iter().find(|c| c.kind().finds(c.plugin(), class))
    }

    /// All plug-ins of that kind.
    pub fn plugins(&self, kind: PluginKind) -> Vec<&dyn Plugin> {
        fn of<Make>(makers: &'static [Maker<Make>]) -> Vec<&'static dyn Plugin> {
            makers.iter().map(|m| &m.plugin as &dyn Plugin).collect()
        }
        match kind {
            PluginKind::Sink | PluginKind::Source => {
                self.connectors.iter().filter(|c| c.kind() == kind).map(Connector::plugin).collect()
            }
            PluginKind::Transformation => of(self.transforms),
            PluginKind::Predicate => of(self.predicates),
            PluginKind::Converter => of(self.converters),
            PluginKind::HeaderConverter => of(self.header_converters),
        }
    }

    /// The plug-in of that kind and name; names as in [`Registry::connector`].
    pub fn plugin(&self, kind: PluginKind, class: &str) -> Option<&dyn Plugin> {
        self.plugins(kind).into_iter().find(|plugin| kind.finds(*plugin, class))
    }

    /// A new converter of that class with its own settings (prefix already cut off).
    /// Errors: `Config` for an unknown class or a bad setting.
    pub fn converter(&self, class: &str, role: ConverterRole, config: &Config) -> Result<Box<dyn Converter>, Error> {
        let (kind, makers) = match role {
            ConverterRole::Key | ConverterRole::Value => (PluginKind::Converter, self.converters),
            ConverterRole::Header => (PluginKind::HeaderConverter, self.header_converters),
        };
        (find(kind, makers, class)?.make)(role, config)
    }

    /// A new transform of that class with its own settings (prefix already cut off).
    /// Errors: `Config` for an unknown class or a bad setting.
    pub fn transform(&self, class: &str, config: &Config) -> Result<Box<dyn Transform>, Error> {
        (find(PluginKind::Transformation, self.transforms, class)?.make)(config)
    }

    /// A new predicate of that class with its own settings (prefix already cut off).
    /// Errors: `Config` for an unknown class or a bad setting.
    pub fn predicate(&self, class: &str, config: &Config) -> Result<Box<dyn Predicate>, Error> {
        (find(PluginKind::Predicate, self.predicates, class)?.make)(config)
    }
}

fn find<Make>(kind: PluginKind, makers: &'static [Maker<Make>], class: &str) -> Result<&'static Maker<Make>, Error> {
    makers
        .iter()
        .find(|maker| kind.finds(&maker.plugin, class))
        .ok_or_else(|| Error::config(format!("{} class {class} could not be found", kind.name())))
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
