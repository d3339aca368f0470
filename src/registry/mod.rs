//! The only file that names concrete connectors, converters, transforms and predicates.

mod kind;
pub(crate) mod version;

use std::sync::Arc;
use std::time::SystemTime;

use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigKey, ConfigReport, Converter, Error, Plugin, Predicate, SchemaType, Transform,
};
use connector_file::{FileStreamSink, FileStreamSource};
use connector_jdbc::files::{PathGuard, SETTING as SQLITE_FILES};
use connector_jdbc::sink::JdbcSink;
use connector_jdbc::source::JdbcSource;

pub use kind::{ConnectorPlugin, ConverterRole, PluginDescription, PluginKind};

use crate::convert::NO_KEYS;
#[cfg(feature = "avro")]
use crate::convert::avro::{self, AvroFormat};
use crate::convert::header::{self, SimpleHeaderConverter};
#[cfg(feature = "json-schema")]
use crate::convert::json::json_schema::{self, JsonSchemaFormat};
use crate::convert::json::{self, JsonConverter};
use crate::convert::number::NumberConverter;
use crate::convert::plain::{self, ByteArrayConverter, StringConverter};
#[cfg(feature = "protobuf")]
use crate::convert::protobuf::{self, ProtobufFormat};
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
use crate::convert::registered::{RegistryConverter, SchemaFormat};
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
use crate::schema_registry::SchemaRegistry;
use crate::transform::RecordPart;
use crate::transform::cast::{self, Cast};
use crate::transform::envelope::{self, ExtractNewRecordState};
use crate::transform::expression::{self, Expression};
use crate::transform::extract::{self, ExtractField, HoistField};
use crate::transform::flatten::{self, Flatten};
use crate::transform::headers::{self, DropHeaders, HeaderFrom, InsertHeader};
use crate::transform::insert::{self, InsertField};
use crate::transform::logical_table::{self, ByLogicalTableRouter};
use crate::transform::mask::{self, MaskField};
use crate::transform::predicate::{
    self, Filter, HasHeaderKey, RecordIsTombstone, TopicNameMatches,
};
use crate::transform::replace::{self, ReplaceField};
use crate::transform::route::{self, RegexRouter, TimestampRouter};
use crate::transform::schema::{self, SetSchemaMetadata};
use crate::transform::timestamp::{self, TimestampConverter};
use crate::transform::tombstone::{self, DropPart, TombstoneHandler};
use crate::transform::topic::{self, ExtractTopic, MessageTimestampRouter, TopicPlace};
use crate::transform::value_to_key::{self, ValueToKey};

/// A plug-in and its constructor, which takes the plug-in's own settings without prefix.
#[derive(Clone, Copy)]
pub struct PluginMaker<Make> {
    /// Class name, keys and checks.
    pub plugin: PluginDescription,
    /// Creates an instance.
    /// Errors: `Config` for an invalid setting.
    pub make: Make,
}

/// The registry entry of a converter.
pub type ConverterMaker = PluginMaker<MakeConverter>;

/// Creates a converter for a role from its own settings.
type MakeConverter = fn(ConverterRole, &Config) -> Result<Box<dyn Converter>, Error>;
/// The registry entry of a transform.
pub type TransformMaker = PluginMaker<fn(&Config) -> Result<Box<dyn Transform>, Error>>;
/// The registry entry of a predicate.
pub type PredicateMaker = PluginMaker<fn(&Config) -> Result<Box<dyn Predicate>, Error>>;

const JSON: ConverterMaker = converter(
    "org.apache.kafka.connect.json.JsonConverter",
    json::KEYS,
    |_, config| Ok(Box::new(JsonConverter::new(config)?)),
);
const STRING: ConverterMaker = converter(
    "org.apache.kafka.connect.storage.StringConverter",
    plain::STRING_KEYS,
    |role, config| Ok(Box::new(StringConverter::new(role.name(), config)?)),
);
const BYTE_ARRAY: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    NO_KEYS,
    |_, _| Ok(Box::new(ByteArrayConverter::new())),
);
const BOOLEAN: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.BooleanConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Boolean),
);
const SHORT: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.ShortConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Int16),
);
const INTEGER: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.IntegerConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Int32),
);
const LONG: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.LongConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Int64),
);
const FLOAT: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.FloatConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Float32),
);
const DOUBLE: ConverterMaker = converter(
    "org.apache.kafka.connect.converters.DoubleConverter",
    NO_KEYS,
    |_, _| number(SchemaType::Float64),
);
const SIMPLE_HEADER: ConverterMaker = converter(
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    header::KEYS,
    |_, config| Ok(Box::new(SimpleHeaderConverter::new(config)?)),
);

#[cfg(feature = "avro")]
const AVRO: ConverterMaker = with_registry(converter(AVRO_CLASS, avro::KEYS, |role, config| {
    registered(role, config, AvroFormat::new(config)?)
}));

#[cfg(feature = "json-schema")]
const JSON_SCHEMA: ConverterMaker = with_registry(converter(
    JSON_SCHEMA_CLASS,
    json_schema::KEYS,
    |role, config| registered(role, config, JsonSchemaFormat::new(config)?),
));

#[cfg(feature = "protobuf")]
const PROTOBUF: ConverterMaker =
    with_registry(converter(PROTOBUF_CLASS, protobuf::KEYS, |role, config| {
        registered(role, config, ProtobufFormat::new(config)?)
    }));

const AVRO_CLASS: &str = "io.confluent.connect.avro.AvroConverter";
const PROTOBUF_CLASS: &str = "io.confluent.connect.protobuf.ProtobufConverter";
const JSON_SCHEMA_CLASS: &str = "io.confluent.connect.json.JsonSchemaConverter";

/// Known classes, each with the cargo feature that includes it.
const FEATURES: [(&str, &str); 3] = [
    (AVRO_CLASS, "avro"),
    (PROTOBUF_CLASS, "protobuf"),
    (JSON_SCHEMA_CLASS, "json-schema"),
];

const CONVERTERS: &[ConverterMaker] = &[
    #[cfg(feature = "avro")]
    AVRO,
    BOOLEAN,
    BYTE_ARRAY,
    DOUBLE,
    FLOAT,
    INTEGER,
    LONG,
    SHORT,
    JSON,
    #[cfg(feature = "json-schema")]
    JSON_SCHEMA,
    #[cfg(feature = "protobuf")]
    PROTOBUF,
    STRING,
];
const HEADER_CONVERTERS: &[ConverterMaker] = &[
    BOOLEAN,
    BYTE_ARRAY,
    DOUBLE,
    FLOAT,
    INTEGER,
    LONG,
    SHORT,
    JSON,
    SIMPLE_HEADER,
    STRING,
];

/// The table of transforms. `both` registers one transform for keys and one for values, as
/// `CLASS$Key` and `CLASS$Value`; any other entry is used as written.
macro_rules! transforms {
    (@ [$($done:tt)*]) => { &[$($done)*] };
    (@ [$($done:tt)*] both $class:literal, $keys:expr, $check:expr, $new:expr; $($rest:tt)*) => {
        transforms!(@ [
            $($done)*
            transform(concat!($class, "$Key"), $keys, $check, |config| {
                Ok(Box::new(($new)(RecordPart::Key, config)?))
            }),
            transform(concat!($class, "$Value"), $keys, $check, |config| {
                Ok(Box::new(($new)(RecordPart::Value, config)?))
            }),
        ] $($rest)*)
    };
    (@ [$($done:tt)*] $one:expr; $($rest:tt)*) => { transforms!(@ [$($done)* $one,] $($rest)*) };
    ($($rows:tt)*) => { transforms!(@ [] $($rows)*) };
}

const TRANSFORMS: &[TransformMaker] = transforms! {
    both "org.apache.kafka.connect.transforms.Cast", cast::KEYS, cast::check, Cast::new;
    transform(
        "org.apache.kafka.connect.transforms.DropHeaders",
        headers::DROP_KEYS,
        no_check,
        |config| Ok(Box::new(DropHeaders::new(config)?)),
    );
    both "org.apache.kafka.connect.transforms.ExtractField", extract::EXTRACT_KEYS, no_check, ExtractField::new;
    transform(
        "org.apache.kafka.connect.transforms.Filter",
        &[],
        no_check,
        |_| Ok(Box::new(Filter)),
    );
    both "org.apache.kafka.connect.transforms.Flatten", flatten::KEYS, no_check, Flatten::new;
    both "org.apache.kafka.connect.transforms.HeaderFrom", headers::FROM_KEYS, headers::check_from, HeaderFrom::new;
    both "org.apache.kafka.connect.transforms.HoistField", extract::HOIST_KEYS, no_check, HoistField::new;
    both "org.apache.kafka.connect.transforms.InsertField", insert::KEYS, insert::check, InsertField::new;
    transform(
        "org.apache.kafka.connect.transforms.InsertHeader",
        headers::INSERT_KEYS,
        no_check,
        |config| Ok(Box::new(InsertHeader::new(config)?)),
    );
    both "org.apache.kafka.connect.transforms.MaskField", mask::KEYS, mask::check, MaskField::new;
    transform(
        "org.apache.kafka.connect.transforms.RegexRouter",
        route::REGEX_KEYS,
        route::check_replacement,
        |config| Ok(Box::new(RegexRouter::new(config)?)),
    );
    both "org.apache.kafka.connect.transforms.ReplaceField", replace::KEYS, no_check, ReplaceField::new;
    both "org.apache.kafka.connect.transforms.SetSchemaMetadata", schema::KEYS, schema::check, SetSchemaMetadata::new;
    both "org.apache.kafka.connect.transforms.TimestampConverter", timestamp::KEYS, timestamp::check, |part, config| TimestampConverter::new(part, config, now_ms());
    transform(
        "org.apache.kafka.connect.transforms.TimestampRouter",
        route::TIMESTAMP_KEYS,
        route::check_timestamp,
        |config| Ok(Box::new(TimestampRouter::new(config)?)),
    );
    transform(
        "org.apache.kafka.connect.transforms.ValueToKey",
        value_to_key::KEYS,
        no_check,
        |config| Ok(Box::new(ValueToKey::new(config)?)),
    );
    both "io.confluent.connect.transforms.Drop", tombstone::DROP_KEYS, no_check, DropPart::new;
    transform(
        "io.confluent.connect.transforms.ExtractTopic$Header",
        topic::EXTRACT_KEYS,
        topic::check_header,
        |config| Ok(Box::new(ExtractTopic::new(TopicPlace::Header, config)?)),
    );
    both "io.confluent.connect.transforms.ExtractTopic", topic::EXTRACT_KEYS, topic::check_part, |part, config| ExtractTopic::new(TopicPlace::In(part), config);
    transform(
        "io.confluent.connect.transforms.MessageTimestampRouter",
        topic::TIMESTAMP_KEYS,
        no_check,
        |config| Ok(Box::new(MessageTimestampRouter::new(config, now_ms())?)),
    );
    transform(
        "io.confluent.connect.transforms.TombstoneHandler",
        tombstone::TOMBSTONE_KEYS,
        no_check,
        |config| Ok(Box::new(TombstoneHandler::new(config)?)),
    );
    transform(
        "io.debezium.transforms.ByLogicalTableRouter",
        logical_table::KEYS,
        logical_table::check,
        |config| Ok(Box::new(ByLogicalTableRouter::new(config)?)),
    );
    transform(
        "io.debezium.transforms.ExtractNewRecordState",
        envelope::KEYS,
        no_check,
        |config| Ok(Box::new(ExtractNewRecordState::new(config)?)),
    );
    transform(
        "rowferry.transforms.Expression",
        expression::KEYS,
        expression::check,
        |config| Ok(Box::new(Expression::new(config)?)),
    );
};

const PREDICATES: &[PredicateMaker] = &[
    predicate(
        "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
        predicate::HAS_HEADER_KEYS,
        |config| Ok(Box::new(HasHeaderKey::new(config)?)),
    ),
    predicate(
        "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
        &[],
        |_| Ok(Box::new(RecordIsTombstone)),
    ),
    predicate(
        "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        predicate::TOPIC_KEYS,
        |config| Ok(Box::new(TopicNameMatches::new(config)?)),
    ),
];

const fn transform(
    class: &'static str,
    keys: &'static [ConfigKey],
    check: fn(&Config, &mut ConfigReport),
    make: fn(&Config) -> Result<Box<dyn Transform>, Error>,
) -> TransformMaker {
    PluginMaker {
        plugin: PluginDescription { class, keys, check },
        make,
    }
}

const fn predicate(
    class: &'static str,
    keys: &'static [ConfigKey],
    make: fn(&Config) -> Result<Box<dyn Predicate>, Error>,
) -> PredicateMaker {
    PluginMaker {
        plugin: PluginDescription {
            class,
            keys,
            check: no_check,
        },
        make,
    }
}

fn no_check(_config: &Config, _report: &mut ConfigReport) {}

/// Returns the current time in milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

const fn converter(
    class: &'static str,
    keys: &'static [ConfigKey],
    make: MakeConverter,
) -> ConverterMaker {
    PluginMaker {
        plugin: PluginDescription {
            class,
            keys,
            check: no_check,
        },
        make,
    }
}

/// Lets validation check how a converter reaches its schema registry.
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
const fn with_registry(maker: ConverterMaker) -> ConverterMaker {
    let PluginMaker { plugin, make } = maker;
    let plugin = PluginDescription {
        check: SchemaRegistry::check,
        ..plugin
    };
    PluginMaker { plugin, make }
}

/// Creates a converter for a format whose schemas are in a schema registry.
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
fn registered<F: SchemaFormat + 'static>(
    role: ConverterRole,
    config: &Config,
    format: F,
) -> Result<Box<dyn Converter>, Error> {
    let schemas = SchemaRegistry::open(config)?;
    Ok(Box::new(RegistryConverter::new(
        role.name(),
        config,
        format,
        Box::new(schemas),
    )?))
}

/// Creates the connectors, with the files that each may use.
fn connectors(sqlite: &AllowedFiles, file: &AllowedFiles) -> Vec<ConnectorPlugin> {
    vec![
        ConnectorPlugin::Source(Arc::new(PathGuard::new(JdbcSource, sqlite.clone()))),
        ConnectorPlugin::Sink(Arc::new(PathGuard::new(JdbcSink, sqlite.clone()))),
        ConnectorPlugin::Source(Arc::new(FileStreamSource::new(file.clone()))),
        ConnectorPlugin::Sink(Arc::new(FileStreamSink::new(file.clone()))),
    ]
}

fn number(ty: SchemaType) -> Result<Box<dyn Converter>, Error> {
    match NumberConverter::new(ty) {
        Some(converter) => Ok(Box::new(converter)),
        None => Err(Error::fatal("no number converter for this type")),
    }
}

/// All plug-ins that a connector's configuration can name.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: Vec<ConnectorPlugin>,
    converters: &'static [ConverterMaker],
    header_converters: &'static [ConverterMaker],
    transforms: &'static [TransformMaker],
    predicates: &'static [PredicateMaker],
}

impl Registry {
    /// Returns the built-in plug-ins. Their connectors may not use any file, see
    /// [`Registry::with_files`].
    pub fn built_in() -> Self {
        let none = |setting| AllowedFiles::new(setting, Vec::new(), Vec::new());
        Self {
            connectors: connectors(&none(SQLITE_FILES), &none(connector_file::SETTING)),
            converters: CONVERTERS,
            header_converters: HEADER_CONVERTERS,
            transforms: TRANSFORMS,
            predicates: PREDICATES,
        }
    }

    /// Allows the JDBC connectors to use the SQLite files in `sqlite`, and the file connectors
    /// those in `file`.
    #[must_use]
    pub fn with_files(mut self, sqlite: &AllowedFiles, file: &AllowedFiles) -> Self {
        let confined = connectors(sqlite, file);
        for connector in &mut self.connectors {
            let of_class =
                |own: &&ConnectorPlugin| own.plugin().class() == connector.plugin().class();
            if let Some(own) = confined.iter().find(of_class) {
                *connector = own.clone();
            }
        }
        self
    }

    /// Adds a connector.
    #[must_use]
    pub fn and(mut self, connector: ConnectorPlugin) -> Self {
        self.connectors.push(connector);
        self
    }

    /// Returns all connectors.
    pub fn connectors(&self) -> &[ConnectorPlugin] {
        &self.connectors
    }

    /// Finds the connector for a `connector.class`: by full class name (ours or that of a
    /// comparable connector), by simple name, or by simple name without the suffix `Connector`.
    pub fn connector(&self, class: &str) -> Option<&ConnectorPlugin> {
        self.connectors
            .iter()
            .find(|c| c.kind().finds(c.plugin(), class))
    }

    /// Returns all plug-ins of a kind.
    pub fn plugins(&self, kind: PluginKind) -> Vec<&dyn Plugin> {
        fn of<Make>(makers: &'static [PluginMaker<Make>]) -> Vec<&'static dyn Plugin> {
            makers.iter().map(|m| &m.plugin as &dyn Plugin).collect()
        }
        match kind {
            PluginKind::Sink | PluginKind::Source => self
                .connectors
                .iter()
                .filter(|c| c.kind() == kind)
                .map(ConnectorPlugin::plugin)
                .collect(),
            PluginKind::Transformation => of(self.transforms),
            PluginKind::Predicate => of(self.predicates),
            PluginKind::Converter => of(self.converters),
            PluginKind::HeaderConverter => of(self.header_converters),
        }
    }

    /// Finds a plug-in by kind and name; names as in [`Registry::connector`].
    pub fn plugin(&self, kind: PluginKind, class: &str) -> Option<&dyn Plugin> {
        self.plugins(kind)
            .into_iter()
            .find(|plugin| kind.finds(*plugin, class))
    }

    /// Creates a converter from its own settings (without prefix).
    /// Errors: `Config` for an unknown class or an invalid setting.
    pub fn converter(
        &self,
        class: &str,
        role: ConverterRole,
        config: &Config,
    ) -> Result<Box<dyn Converter>, Error> {
        let makers = match role {
            ConverterRole::Key | ConverterRole::Value => self.converters,
            ConverterRole::Header => self.header_converters,
        };
        (find(role.kind(), makers, class)?.make)(role, config)
    }

    /// Creates a transform from its own settings (without prefix).
    /// Errors: `Config` for an unknown class or an invalid setting.
    pub fn transform(&self, class: &str, config: &Config) -> Result<Box<dyn Transform>, Error> {
        (find(PluginKind::Transformation, self.transforms, class)?.make)(config)
    }

    /// Creates a predicate from its own settings (without prefix).
    /// Errors: `Config` for an unknown class or an invalid setting.
    pub fn predicate(&self, class: &str, config: &Config) -> Result<Box<dyn Predicate>, Error> {
        (find(PluginKind::Predicate, self.predicates, class)?.make)(config)
    }
}

/// Explains, as the end of an error text, why a known class is not available: the cargo feature
/// that this program was built without.
pub fn absent(kind: PluginKind, asked: &str) -> Option<String> {
    let known = FEATURES
        .iter()
        .find(|(class, _)| kind == PluginKind::Converter && kind.names(class, asked));
    known.map(|(_, feature)| {
        format!(
            ": this program was built without it; build it with cargo's feature `{feature}` \
             (--features {feature})"
        )
    })
}

fn find<Make>(
    kind: PluginKind,
    makers: &'static [PluginMaker<Make>],
    class: &str,
) -> Result<&'static PluginMaker<Make>, Error> {
    makers
        .iter()
        .find(|maker| kind.finds(&maker.plugin, class))
        .ok_or_else(|| {
            let known = || {
                let simple = |maker: &PluginMaker<Make>| {
                    maker.plugin.class.rsplit('.').next().unwrap_or_default()
                };
                format!(
                    "; available are {}",
                    makers.iter().map(simple).collect::<Vec<_>>().join(", ")
                )
            };
            let missing = absent(kind, class).unwrap_or_else(known);
            Error::config(format!(
                "{} class {class} could not be found{missing}",
                kind.name()
            ))
        })
}
