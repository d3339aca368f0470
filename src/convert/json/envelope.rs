//! Splits the envelope: finds schema and payload in the text without building anything.

use connector_api::{Error, ErrorKind, Result};

use super::JsonOptions;
use super::reader::{JsonReader, JsonToken};
use crate::convert::trail::{TWICE, holds_object};

const NO_ENVELOPE: &str = "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not \
     contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your \
     converter configuration.";

/// The two parts of an envelope.
pub(super) struct JsonEnvelope<'a> {
    /// JSON text of the schema.
    pub(super) schema: &'a str,
    /// JSON text of the payload.
    pub(super) payload: &'a str,
    /// Everything before the payload, if that contains the schema and the payload comes last.
    pub(super) prefix: Option<&'a str>,
}

impl<'a> JsonEnvelope<'a> {
    /// Splits `text`. The last of duplicate members counts.
    /// Errors: Connect's text if it is not an envelope, or not JSON.
    pub(super) fn split(text: &'a str, options: &JsonOptions) -> Result<Self> {
        let no_envelope = || Error::record(NO_ENVELOPE);
        let mut reader = JsonReader::new(text, options.strict);
        match reader.peek() {
            None => return Err(no_envelope()),
            Some(b'{') => reader.token()?,
            Some(_) => {
                reader.skip()?;
                let value = JsonReader::new(text, options.strict).token();
                if !matches!(value, Ok(JsonToken::Text(value)) if holds_object(&value)) {
                    return Err(no_envelope());
                }
                let line = format!("The record is no envelope: {TWICE}.");
                return Err(Error::of_lines(
                    ErrorKind::Record,
                    [NO_ENVELOPE.to_owned(), line],
                ));
            }
        };
        let (mut schema, mut payload, mut other) = (None, None, false);
        let mut members = 0;
        let mut payload_at = 0;
        while let Some(name) = reader.next_member(members == 0)? {
            members += 1;
            reader.peek();
            let start = reader.at();
            reader.skip()?;
            let value = Some(reader.span(start, reader.at()));
            match &*name {
                "schema" => schema = value,
                "payload" => (payload, payload_at) = (value, start),
                _ => other = true,
            }
            if members == 1 && schema.is_none() {
                // The schema follows the payload: the text before the payload does not identify it.
                payload_at = 0;
            }
        }
        let (Some(schema), Some(payload), false) = (schema, payload, other) else {
            return Err(no_envelope());
        };
        let prefix =
            Some(reader.span(0, payload_at)).filter(|prefix| members == 2 && !prefix.is_empty());
        Ok(Self {
            schema,
            payload,
            prefix,
        })
    }
}
