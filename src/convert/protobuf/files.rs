//! Parses `.proto` text, and the files that every schema may import, into descriptors.

use connector_api::{Error, Result};
use prost_reflect::FileDescriptor;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// Name of a schema's own file.
const OWN: &str = "schema.proto";

/// Files that Confluent's converter knows without a reference: facts of its wire format and of
/// Google's common types.
const KNOWN: [(&str, &str); 4] = [
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\";
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
         extend google.protobuf.FileOptions { Meta file_meta = 1088; }
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type;
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    (
        "google/type/date.proto",
        "syntax = \"proto3\"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    (
        "google/type/timeofday.proto",
        "syntax = \"proto3\"; package google.type;
         message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }",
    ),
];

struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let given = self
            .0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, text)| text.as_str());
        let known = || {
            KNOWN
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, text)| *text)
        };
        match given.or_else(known) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Parses a schema; its imports, except for the known files, must be in `references`.
/// Errors: `Record`.
pub(super) fn read(text: &str, references: &[(String, String)]) -> Result<FileDescriptor> {
    let bad = |why: &dyn std::fmt::Display| {
        Error::record(format!("the Protobuf schema cannot be read: {why}"))
    };
    let mut texts = vec![(OWN.to_owned(), text.to_owned())];
    texts.extend_from_slice(references);
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(texts));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(OWN).map_err(|error| bad(&error))?;
    compiler
        .descriptor_pool()
        .get_file_by_name(OWN)
        .ok_or_else(|| bad(&"it is not a file"))
}
