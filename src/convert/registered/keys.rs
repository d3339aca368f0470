//! Keys of every converter with a schema registry, named as Confluent's.

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{Error, Result};

use super::subject::{self, SubjectStrategy};
use crate::convert::CONVERTER_TYPE;

const TOPIC_NAME: &str = "io.confluent.kafka.serializers.subject.TopicNameStrategy";

/// The keys without those of a format.
pub(crate) const KEYS: [ConfigKey; 17] = [
    CONVERTER_TYPE,
    key(
        "schema.registry.url",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Addresses of the schema registry, http:// or https://. If one cannot be reached, the next \
         one is tried.",
    )
    .check(KeyValidator::NonEmptyList),
    key(
        "auto.register.schemas",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Medium,
        "Whether new schemas are registered automatically.",
    ),
    key(
        "use.latest.version",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Low,
        "With auto.register.schemas=false: whether records are written with the latest schema of \
         the subject.",
    ),
    key(
        "use.schema.id",
        ConfigType::Int,
        DefaultValue::Text("-1"),
        Importance::Low,
        "Id of the schema to write records with; -1: the schema of the record.",
    ),
    key(
        "normalize.schemas",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether the registry treats schemas with insignificant differences as equal.",
    ),
    key(
        "key.subject.name.strategy",
        ConfigType::Class,
        DefaultValue::Text(TOPIC_NAME),
        Importance::Medium,
        "Subject of key schemas: TopicNameStrategy (<topic>-key), RecordNameStrategy (the record's \
         name) or TopicRecordNameStrategy (<topic>-<name>).",
    )
    .check(KeyValidator::By(subject::check)),
    key(
        "value.subject.name.strategy",
        ConfigType::Class,
        DefaultValue::Text(TOPIC_NAME),
        Importance::Medium,
        "Subject of value schemas: TopicNameStrategy (<topic>-value), RecordNameStrategy (the \
         record's name) or TopicRecordNameStrategy (<topic>-<name>).",
    )
    .check(KeyValidator::By(subject::check)),
    key(
        "basic.auth.credentials.source",
        ConfigType::String,
        DefaultValue::Text("URL"),
        Importance::Medium,
        "Source of user and password for the registry: URL (user:password@ in schema.registry.url) \
         or USER_INFO.",
    )
    .check(KeyValidator::OneOf(&["URL", "USER_INFO"])),
    key(
        "basic.auth.user.info",
        ConfigType::Password,
        DefaultValue::Text(""),
        Importance::Medium,
        "user:password for the registry, with basic.auth.credentials.source=USER_INFO.",
    )
    .aliases(&["schema.registry.basic.auth.user.info"]),
    key(
        "bearer.auth.credentials.source",
        ConfigType::String,
        DefaultValue::Text("STATIC_TOKEN"),
        Importance::Medium,
        "bearer.auth.token is always the source of the token.",
    )
    .without_effect()
    .check(KeyValidator::OneOf(&["STATIC_TOKEN"])),
    key(
        "bearer.auth.token",
        ConfigType::Password,
        DefaultValue::Text(""),
        Importance::Medium,
        "Bearer token for the registry.",
    ),
    key(
        "schema.registry.ssl.truststore.location",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::Medium,
        "PEM file with the authorities for the registry's certificate. Not set: the system's \
         authorities.",
    ),
    key(
        "schema.registry.request.timeout.ms",
        ConfigType::Int,
        DefaultValue::Text("10000"),
        Importance::Low,
        "Maximum time to wait for one answer of the registry, in milliseconds.",
    )
    .check(KeyValidator::AtLeast(1)),
    key(
        "schemas.cache.config",
        ConfigType::Int,
        DefaultValue::Text("1000"),
        Importance::Low,
        "Number of compiled schemas that are cached per direction.",
    )
    .check(KeyValidator::AtLeast(1))
    .aliases(&["schemas.cache.size", "max.schemas.per.subject"]),
    key(
        "latest.compatibility.strict",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "a record that does not fit the latest schema is always refused.",
    )
    .without_effect(),
    key(
        "id.compatibility.strict",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "a record that does not fit the schema of use.schema.id is always refused.",
    )
    .without_effect(),
];

pub(crate) const fn key(
    name: &'static str,
    ty: ConfigType,
    default: DefaultValue,
    importance: Importance,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, default, "", doc).importance(importance)
}

/// Returns the common keys, followed by those of a format.
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
#[expect(
    clippy::indexing_slicing,
    reason = "a wrong length fails to compile: the result is a constant"
)]
pub(crate) const fn with<const N: usize>(own: &[ConfigKey]) -> [ConfigKey; N] {
    let mut all = [CONVERTER_TYPE; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < KEYS.len() {
            KEYS[at]
        } else {
            own[at - KEYS.len()]
        };
        at += 1;
    }
    all
}

/// The settings that the converter itself needs.
pub(super) struct RegistryOptions {
    pub(super) register: bool,
    pub(super) use_latest: bool,
    pub(super) use_id: Option<i32>,
    pub(super) normalize: bool,
    pub(super) cache: usize,
    role: String,
    strategy: SubjectStrategy,
}

impl RegistryOptions {
    pub(super) fn read(role: &str, config: &Config) -> Result<Self, ConfigReport> {
        let is_key = role == "key";
        config.read(&KEYS, |keys| {
            let (key, value) = (
                keys.text("key.subject.name.strategy"),
                keys.text("value.subject.name.strategy"),
            );
            Self {
                register: keys.bool("auto.register.schemas"),
                use_latest: keys.bool("use.latest.version"),
                use_id: i32::try_from(keys.long("use.schema.id"))
                    .ok()
                    .filter(|id| *id >= 0),
                normalize: keys.bool("normalize.schemas"),
                cache: usize::try_from(keys.unsigned("schemas.cache.config")).unwrap_or(usize::MAX),
                role: role.to_owned(),
                strategy: SubjectStrategy::named(if is_key { &key } else { &value })
                    .unwrap_or(SubjectStrategy::Topic),
            }
        })
    }

    pub(super) fn subject(&self, topic: &str, record: Option<&str>) -> Result<String, Error> {
        self.strategy.subject(topic, &self.role, record)
    }
}
