//! No schema and no payload makes a converter with a schema registry panic: the first byte chooses the format, a zero
//! byte ends the schema's text, the rest is the payload.

#![no_main]

use connector_api::{Config, Converter, Error, Result};
use libfuzzer_sys::fuzz_target;
use rowferry::convert::avro::AvroFormat;
use rowferry::convert::json::json_schema::JsonSchemaFormat;
use rowferry::convert::protobuf::ProtobufFormat;
use rowferry::convert::registered::{Format, Language, RegistryConverter, SchemaText, Schemas};

/// One schema, whatever is asked for.
struct One(SchemaText);

impl Schemas for One {
    fn by_id(&mut self, _id: i32) -> Result<SchemaText> {
        Ok(self.0.clone())
    }

    fn id_of(&mut self, _subject: &str, _schema: &SchemaText, _register: bool, _normalize: bool) -> Result<i32> {
        Ok(1)
    }

    fn version(&mut self, _subject: &str, _version: Option<i32>) -> Result<(i32, SchemaText)> {
        Err(Error::record("there are no references"))
    }
}

fn try_out<F: Format>(format: F, config: &Config, language: Language, text: String, payload: &[u8]) {
    let schema = One(SchemaText { language, text, references: Vec::new() });
    let mut converter = RegistryConverter::new("value", config, format, Box::new(schema)).expect("a converter");
    let bytes = [&[0, 0, 0, 0, 1], payload].concat();
    if let Ok(datum) = converter.decode("t", Some(&bytes)) {
        let _ = converter.encode("t", &datum, &mut Vec::new());
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let Ok(text) = std::str::from_utf8(&rest[..end]) else { return };
    let (text, payload) = (text.to_owned(), rest.get(end + 1..).unwrap_or_default());
    let config = Config::from([("schema.registry.url", "http://nowhere")]);
    match choice % 3 {
        0 => try_out(AvroFormat::new(&config).expect("a format"), &config, Language::Avro, text, payload),
        1 => try_out(ProtobufFormat::new(&config).expect("a format"), &config, Language::Protobuf, text, payload),
        _ => try_out(JsonSchemaFormat::new(&config).expect("a format"), &config, Language::Json, text, payload),
    }
});
