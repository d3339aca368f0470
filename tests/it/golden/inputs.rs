//! Bytes into converters: no input may make one panic, and what can be read must be writable, or refused, and then read
//! back. The same functions are called by the damaged recordings beside this file and by the targets in `fuzz/`.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_api::{Config, Converter, Datum, EncodedPresence, Error, Result};
use rowferry::convert::avro::AvroFormat;
use rowferry::convert::json::json_schema::JsonSchemaFormat;
use rowferry::convert::protobuf::ProtobufFormat;
use rowferry::convert::registered::{
    RegistryConverter, SchemaFormat, SchemaLanguage, SchemaLookup, SchemaText,
};
use rowferry::registry::{ConverterRole, Registry};

const CLASSES: [&str; 9] = [
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
];
/// `strict` and `schemas.enable`.
const MODES: [(&str, &str); 4] = [
    ("true", "true"),
    ("true", "false"),
    ("false", "true"),
    ("false", "false"),
];

/// How many converters [`plain`] chooses from.
pub const PLAIN: u8 = (CLASSES.len() * MODES.len()) as u8;

thread_local! {
    static CONVERTERS: RefCell<Vec<Box<dyn Converter>>> = RefCell::new(converters());
}

/// Each class in each mode.
fn converters() -> Vec<Box<dyn Converter>> {
    let made = CLASSES
        .iter()
        .flat_map(|class| MODES.map(|mode| (*class, mode)));
    made.map(|(class, (strict, schemas))| {
        let config = Config::from([("strict", strict), ("schemas.enable", schemas)]);
        let role = if class.ends_with("HeaderConverter") {
            ConverterRole::Header
        } else {
            ConverterRole::Value
        };
        Registry::built_in()
            .converter(class, role, &config)
            .expect("a converter")
    })
    .collect()
}

/// A converter without a schema registry: the first byte chooses it and its mode, the rest is the record. Returns
/// whether it could be read.
pub fn plain(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else {
        return false;
    };
    CONVERTERS.with_borrow_mut(|converters| {
        let at = usize::from(*choice) % converters.len();
        there_and_back(&mut *converters[at], bytes, true)
    })
}

/// Reads, writes what was read, and reads that; `whole`: this last has to succeed.
fn there_and_back(converter: &mut dyn Converter, bytes: &[u8], whole: bool) -> bool {
    let Ok(datum) = converter.decode("t", Some(bytes)) else {
        return false;
    };
    let mut out = Vec::new();
    if let Ok(EncodedPresence::Present) = converter.encode("t", &datum, &mut out) {
        let again = converter.decode("t", Some(&out));
        let text = String::from_utf8_lossy(&out);
        assert!(
            again.is_ok() || !whole,
            "what was written is not read: {again:?}: {text:?} of {datum:?}"
        );
    }
    true
}

/// A schema registry that holds schemas by their ids, from 1.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Vec<SchemaText>>>);

impl Known {
    fn schemas(&self) -> MutexGuard<'_, Vec<SchemaText>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaLookup for Known {
    fn by_id(&mut self, id: i32) -> Result<SchemaText> {
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        at.and_then(|at| self.schemas().get(at).cloned())
            .ok_or_else(|| Error::record("no such schema"))
    }

    fn id_of(
        &mut self,
        _subject: &str,
        schema: &SchemaText,
        _register: bool,
        _normalize: bool,
    ) -> Result<i32> {
        let mut schemas = self.schemas();
        let known = schemas.iter().position(|known| known == schema);
        let at = known.unwrap_or_else(|| {
            schemas.push(schema.clone());
            schemas.len() - 1
        });
        Ok(i32::try_from(at + 1).expect("few schemas"))
    }

    fn version(&mut self, _subject: &str, _version: Option<i32>) -> Result<(i32, SchemaText)> {
        Err(Error::record("there are no references"))
    }
}

fn config() -> Config {
    Config::from([("schema.registry.url", "http://nowhere")])
}

fn converter<F: SchemaFormat + 'static>(format: F, known: Known) -> Box<dyn Converter> {
    Box::new(
        RegistryConverter::new("value", &config(), format, Box::new(known)).expect("a converter"),
    )
}

fn of_format(choice: u8, known: Known) -> Box<dyn Converter> {
    match choice % 3 {
        0 => converter(AvroFormat::new(&config()).expect("a format"), known),
        1 => converter(ProtobufFormat::new(&config()).expect("a format"), known),
        _ => converter(JsonSchemaFormat::new(&config()).expect("a format"), known),
    }
}

/// A converter with a schema registry: the first byte chooses the format, a zero byte ends the schema's text, the rest
/// is the payload. Returns whether it could be read.
pub fn registered(input: &[u8]) -> bool {
    let Some((choice, rest)) = input.split_first() else {
        return false;
    };
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    let Ok(text) = std::str::from_utf8(&rest[..end]) else {
        return false;
    };
    let language = [
        SchemaLanguage::Avro,
        SchemaLanguage::Protobuf,
        SchemaLanguage::Json,
    ][usize::from(*choice % 3)];
    let schema = SchemaText {
        language,
        text: text.to_owned(),
        references: Vec::new(),
    };
    let bytes = [&[0, 0, 0, 0, 1], rest.get(end + 1..).unwrap_or_default()].concat();
    let known = Known::default();
    known.schemas().push(schema);
    there_and_back(&mut *of_format(*choice, known), &bytes, true)
}

/// Schemas of the registry that [`wire`] reads with, by their ids from 1 on.
const SCHEMAS: [(SchemaLanguage, &str); 3] = [
    (
        SchemaLanguage::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"]},
           {"name":"b","type":{"type":"array","items":{"type":"record","name":"E","fields":[]}}},
           {"name":"c","type":{"type":"map","values":{"type":"bytes","logicalType":"decimal","scale":2,"precision":9}}},
           {"name":"d","type":["string","int",{"type":"enum","name":"S","symbols":["X","Y"]}]}]}"#,
    ),
    (
        SchemaLanguage::Protobuf,
        r#"syntax = "proto3"; message A { message B { repeated B b = 1; sint64 n = 2; } repeated C c = 1; map<string, C> m = 2;
           oneof o { string s = 3; bytes t = 4; } repeated fixed32 f = 5; } message C { optional double d = 1; E e = 2; }
           enum E { ZERO = 0; ONE = 1; }"#,
    ),
    (
        SchemaLanguage::Json,
        r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"array","items":{"type":"string"}},
           "c":{"type":"object","additionalProperties":{"type":"number"}}}}"#,
    ),
];

/// A record as it is in a topic, read with each format: magic byte, id of a schema, payload.
pub fn wire(input: &[u8]) {
    for choice in 0..3 {
        let known = Known::default();
        let schema = |(language, text): (SchemaLanguage, &str)| SchemaText {
            language,
            text: text.to_owned(),
            references: vec![],
        };
        known.schemas().extend(SCHEMAS.map(schema));
        there_and_back(&mut *of_format(choice, known), input, false);
    }
}

/// The input of [`registered`] that a datum makes in that format; `None` where the format does not take it.
pub fn input_of(choice: u8, datum: &Datum) -> Option<Vec<u8>> {
    let (known, mut out) = (Known::default(), Vec::new());
    let Ok(EncodedPresence::Present) =
        of_format(choice, known.clone()).encode("t", datum, &mut out)
    else {
        return None;
    };
    let schema = known.schemas().first()?.text.clone();
    Some([&[choice], schema.as_bytes(), &[0], out.get(5..)?].concat())
}
