//! Parses Avro schemas from their JSON. Attributes that Avro itself does not define (`connect.*`)
//! are kept with each type.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connector_api::{Error, Result};
use serde_json::{Map, Value as Json};

/// Maximum nesting of types. The use of a named type adds a level, whichever text contains it.
const MAX_LEVELS: usize = 200;
/// Maximum size of a fixed in bytes: shorter values are padded to its size.
const MAX_FIXED: usize = 1 << 20;

/// A type with its attributes.
#[derive(Debug)]
pub(super) struct AvroType {
    pub(super) kind: AvroTypeKind,
    /// Number of nested levels, including this type.
    levels: usize,
    /// All attributes, including Avro's own.
    pub(super) attributes: Map<String, Json>,
}

#[derive(Debug)]
pub(super) enum AvroTypeKind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Arc<AvroType>),
    Map(Arc<AvroType>),
    Union(Vec<Arc<AvroType>>),
    /// Full name and fields.
    Record(String, Vec<AvroField>),
    /// Full name and symbols.
    Enum(String, Vec<Box<str>>),
    /// Full name and size.
    Fixed(String, usize),
}

#[derive(Debug)]
pub(super) struct AvroField {
    pub(super) name: String,
    pub(super) ty: Arc<AvroType>,
    pub(super) doc: Option<String>,
    /// The default as JSON, which may be JSON null.
    pub(super) default: Option<Json>,
}

impl AvroType {
    /// Creates a type.
    /// Errors: `Record` if it has more than [`MAX_LEVELS`] levels.
    fn new(kind: AvroTypeKind, attributes: Map<String, Json>) -> Result<Arc<Self>> {
        let deepest = match &kind {
            AvroTypeKind::Array(inner) | AvroTypeKind::Map(inner) => inner.levels,
            AvroTypeKind::Union(branches) => branches
                .iter()
                .map(|branch| branch.levels)
                .max()
                .unwrap_or_default(),
            AvroTypeKind::Record(_, fields) => fields
                .iter()
                .map(|field| field.ty.levels)
                .max()
                .unwrap_or_default(),
            _ => 0,
        };
        if deepest >= MAX_LEVELS {
            return Err(bad(format_args!(
                "it has more than {MAX_LEVELS} nested types (MAX_LEVELS)"
            )));
        }
        Ok(Arc::new(Self {
            kind,
            levels: deepest + 1,
            attributes,
        }))
    }

    pub(super) fn null() -> Self {
        Self {
            kind: AvroTypeKind::Null,
            levels: 1,
            attributes: Map::new(),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Json::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).and_then(Json::as_i64)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, AvroTypeKind::Null)
    }

    /// Returns the full name of the record, or of the record in a union with null.
    pub(super) fn record_name(&self) -> Option<&str> {
        match &self.kind {
            AvroTypeKind::Record(name, _)
            | AvroTypeKind::Enum(name, _)
            | AvroTypeKind::Fixed(name, _) => Some(name),
            AvroTypeKind::Union(branches) => {
                branches.iter().find_map(|branch| branch.record_name())
            }
            _ => None,
        }
    }

    /// Returns the name that identifies it in a union: the last part of its name, or its type.
    pub(super) fn branch_name(&self) -> &str {
        match &self.kind {
            AvroTypeKind::Null => "null",
            AvroTypeKind::Boolean => "boolean",
            AvroTypeKind::Int => "int",
            AvroTypeKind::Long => "long",
            AvroTypeKind::Float => "float",
            AvroTypeKind::Double => "double",
            AvroTypeKind::Bytes => "bytes",
            AvroTypeKind::String => "string",
            AvroTypeKind::Array(_) => "array",
            AvroTypeKind::Map(_) => "map",
            AvroTypeKind::Union(_) => "union",
            AvroTypeKind::Record(name, _)
            | AvroTypeKind::Enum(name, _)
            | AvroTypeKind::Fixed(name, _) => name.rsplit_once('.').map_or(name, |(_, name)| name),
        }
    }
}

/// Returns a name that occurs more than once.
pub(super) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::record(format!("the Avro schema cannot be read: {why}"))
}

/// Parses a schema; `references` contains the schemas that it uses, each after those it uses
/// itself.
/// Errors: `Record`, with what is wrong.
pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Arc<AvroType>> {
    let mut parser = AvroSchemaParser::default();
    for (_, text) in references {
        parser.text(text)?;
    }
    parser.text(text)
}

#[derive(Default)]
struct AvroSchemaParser {
    /// Named types; `None` while one is being read.
    named: HashMap<String, Option<Arc<AvroType>>>,
}

/// The size of a fixed, in bytes.
fn size_of(name: &str, members: &Map<String, Json>) -> Result<usize> {
    let size = members
        .get("size")
        .and_then(Json::as_u64)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| bad(format_args!("{name} without size")))?;
    if size > MAX_FIXED {
        return Err(bad(format_args!(
            "{name} is larger than {MAX_FIXED} bytes (MAX_FIXED)"
        )));
    }
    Ok(size)
}

impl AvroSchemaParser {
    fn text(&mut self, text: &str) -> Result<Arc<AvroType>> {
        // A schema may be the bare name of a type, without quotes.
        let json = serde_json::from_str(text).or_else(|error| match primitive(text.trim()) {
            Some(_) => Ok(Json::String(text.trim().to_owned())),
            None => Err(bad(error)),
        })?;
        self.ty(&json, "")
    }

    fn ty(&mut self, json: &Json, space: &str) -> Result<Arc<AvroType>> {
        match json {
            Json::String(name) => match primitive(name) {
                Some(kind) => AvroType::new(kind, Map::new()),
                None => self.find(name, space),
            },
            Json::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| self.ty(branch, space))
                    .collect::<Result<Vec<_>>>()?;
                if branches.is_empty() {
                    return Err(bad("a union has no branches"));
                }
                AvroType::new(AvroTypeKind::Union(branches), Map::new())
            }
            Json::Object(members) => self.object(members, space),
            _ => Err(bad("a type is neither text, object nor list")),
        }
    }

    fn find(&self, name: &str, space: &str) -> Result<Arc<AvroType>> {
        let within = format!("{space}.{name}");
        let found = if name.contains('.') || space.is_empty() {
            None
        } else {
            self.named.get(&within)
        };
        match found.or_else(|| self.named.get(name)) {
            Some(Some(found)) => Ok(Arc::clone(found)),
            Some(None) => Err(bad(format_args!(
                "{name} contains itself; recursive types are not supported"
            ))),
            None => Err(bad(format_args!("type {name} is not known"))),
        }
    }

    fn object(&mut self, members: &Map<String, Json>, space: &str) -> Result<Arc<AvroType>> {
        let ty = members
            .get("type")
            .ok_or_else(|| bad("a type has no \"type\""))?;
        let Json::String(ty) = ty else {
            return self.ty(ty, space);
        };
        let inner = |name: &str| {
            members
                .get(name)
                .ok_or_else(|| bad(format_args!("{ty} without {name}")))
        };
        let kind = match ty.as_str() {
            "array" => AvroTypeKind::Array(self.ty(inner("items")?, space)?),
            "map" => AvroTypeKind::Map(self.ty(inner("values")?, space)?),
            "record" | "error" | "enum" | "fixed" => return self.named(ty, members, space),
            other => match primitive(other) {
                Some(kind) => kind,
                None => return self.find(other, space),
            },
        };
        AvroType::new(kind, members.clone())
    }

    fn named(
        &mut self,
        ty: &str,
        members: &Map<String, Json>,
        space: &str,
    ) -> Result<Arc<AvroType>> {
        let name = members
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| bad(format_args!("{ty} without name")))?;
        let given = members.get("namespace").and_then(Json::as_str);
        let (space, simple) = name
            .rsplit_once('.')
            .unwrap_or((given.unwrap_or(space), name));
        let full = match space {
            "" => simple.to_owned(),
            _ => format!("{space}.{simple}"),
        };
        if self.named.insert(full.clone(), None).is_some() {
            return Err(bad(format_args!("type {full} is defined twice")));
        }
        let list = |name: &str| {
            members
                .get(name)
                .and_then(Json::as_array)
                .ok_or_else(|| bad(format_args!("{full} without {name}")))
        };
        let kind = match ty {
            "enum" => {
                let symbols = list("symbols")?
                    .iter()
                    .map(|symbol| symbol.as_str().map(Box::from));
                let symbols = symbols
                    .collect::<Option<_>>()
                    .ok_or_else(|| bad("a symbol is no text"))?;
                AvroTypeKind::Enum(full.clone(), symbols)
            }
            "fixed" => AvroTypeKind::Fixed(full.clone(), size_of(&full, members)?),
            _ => {
                let fields = list("fields")?
                    .iter()
                    .map(|field| self.field(field, space))
                    .collect::<Result<Vec<_>>>()?;
                if let Some(name) = repeated(fields.iter().map(|field| field.name.as_str())) {
                    return Err(bad(format_args!(
                        "{full} has two fields with the name {name}"
                    )));
                }
                AvroTypeKind::Record(full.clone(), fields)
            }
        };
        let attributes = members.iter().filter(|(name, _)| *name != "fields");
        let attributes = attributes
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let found = AvroType::new(kind, attributes)?;
        self.named.insert(full, Some(Arc::clone(&found)));
        Ok(found)
    }

    fn field(&mut self, json: &Json, space: &str) -> Result<AvroField> {
        let name = json
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| bad("a field has no name"))?;
        let ty = json
            .get("type")
            .ok_or_else(|| bad(format_args!("field {name} has no type")))?;
        let doc = json.get("doc").and_then(Json::as_str).map(str::to_owned);
        Ok(AvroField {
            name: name.to_owned(),
            ty: self.ty(ty, space)?,
            doc,
            default: json.get("default").cloned(),
        })
    }
}

fn primitive(name: &str) -> Option<AvroTypeKind> {
    Some(match name {
        "null" => AvroTypeKind::Null,
        "boolean" => AvroTypeKind::Boolean,
        "int" => AvroTypeKind::Int,
        "long" => AvroTypeKind::Long,
        "float" => AvroTypeKind::Float,
        "double" => AvroTypeKind::Double,
        "bytes" => AvroTypeKind::Bytes,
        "string" => AvroTypeKind::String,
        _ => return None,
    })
}
