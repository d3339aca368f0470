//! Infers the type of a text, as Kafka Connect's `Values.parseString` does.

use std::sync::Arc;

use connector_api::{Datum, Decimal, Schema, SchemaType, Value, logical};

use super::tokens::HeaderTokens;
use crate::convert::{calendar, java};

/// Maximum nesting of arrays and maps; deeper text is kept as text.
const MAX_DEPTH: usize = 100;

/// A value and its schema; `None` is null.
type InferredValue = Option<(Schema, Value)>;
/// The result of an attempt; `Err` means that the text is plain text.
type ParseAttempt<T> = Result<T, NotParsed>;
struct NotParsed;

/// Infers the value of `text` and its schema. `null` has neither.
pub(crate) fn infer(text: &str, strict: bool) -> Datum {
    let mut parser = HeaderParser {
        tokens: HeaderTokens::new(text),
        strict,
        depth: 0,
    };
    let found = parser
        .top()
        .ok()
        .filter(|_| !strict || parser.tokens.rest().trim().is_empty());
    match found {
        Some(Some((schema, value))) => Datum::new(Arc::new(schema), value),
        Some(None) => Datum::NONE,
        None => Datum::new(
            Arc::new(Schema::of(SchemaType::String)),
            Value::Text(text.into()),
        ),
    }
}

struct HeaderParser<'a> {
    tokens: HeaderTokens<'a>,
    strict: bool,
    depth: usize,
}

impl HeaderParser<'_> {
    fn top(&mut self) -> ParseAttempt<InferredValue> {
        self.value(false)
    }

    fn literal(&mut self, literal: &str, embedded: bool) -> bool {
        let start = self.tokens.mark();
        if self.tokens.consume(literal) && (embedded || !self.tokens.has_next()) {
            return true;
        }
        self.tokens.rewind(start);
        false
    }

    fn value(&mut self, embedded: bool) -> ParseAttempt<InferredValue> {
        if !self.tokens.has_next() {
            return Ok(None);
        }
        if embedded && self.tokens.consume("\"") {
            return Ok(Some(self.quoted()));
        }
        if self.literal("null", embedded) {
            return Ok(None);
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.literal(word, embedded) {
                return Ok(Some((Schema::of(SchemaType::Boolean), Value::Bool(value))));
            }
        }
        let start = self.tokens.mark();
        let nested = if self.tokens.consume("[") {
            self.nested(Self::array)
        } else if self.tokens.consume("{") {
            self.nested(Self::map)
        } else {
            Err(NotParsed)
        };
        if let Ok(found) = nested {
            return Ok(Some(found));
        }
        self.tokens.rewind(start);
        let token = self.tokens.next().trim();
        self.plain(token).map(Some)
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> ParseAttempt<(Schema, Value)>,
    ) -> ParseAttempt<(Schema, Value)> {
        self.depth += 1;
        let found = if self.depth > MAX_DEPTH {
            Err(NotParsed)
        } else {
            read(self)
        };
        self.depth -= 1;
        found
    }

    fn plain(&mut self, token: &str) -> ParseAttempt<(Schema, Value)> {
        let first = token.chars().next().ok_or(NotParsed)?;
        if java::digit(first).is_some() {
            // An unescaped colon is a delimiter, so that a time of day consists of five tokens.
            let position = self.tokens.mark();
            let mut whole = token.to_owned();
            for _ in 0..4 {
                if self.tokens.has_next() {
                    whole.push_str(self.tokens.next());
                }
            }
            if let Some(found) = temporal(&whole) {
                return Ok(found);
            }
            self.tokens.rewind(position);
            if let Some(found) = temporal(token) {
                return Ok(found);
            }
        }
        if java::digit(first).is_some() || first == '+' || first == '-' {
            return number(token, self.strict).ok_or(NotParsed);
        }
        Err(NotParsed)
    }

    fn quoted(&mut self) -> (Schema, Value) {
        let mut content = String::new();
        while self.tokens.has_next() && !self.tokens.consume("\"") {
            content.push_str(self.tokens.next());
        }
        temporal(&content)
            .unwrap_or_else(|| (Schema::of(SchemaType::String), Value::Text(content.into())))
    }

    fn array(&mut self) -> ParseAttempt<(Schema, Value)> {
        let mut items = Vec::new();
        let mut common = CommonSchema::default();
        while self.tokens.has_next() {
            if self.tokens.consume("]") {
                let (schema, values) = common.align(items)?;
                let array = Schema {
                    values: schema.map(Arc::new),
                    ..Schema::of(SchemaType::Array)
                };
                return Ok((array, Value::Array(values.into())));
            }
            if self.tokens.consume(",") {
                return Err(NotParsed);
            }
            let item = self.value(true)?;
            items.push(common.add(item));
            let position = self.tokens.mark();
            if self.tokens.consume("]") {
                self.tokens.rewind(position);
            } else if !self.tokens.consume(",") {
                return Err(NotParsed);
            }
        }
        Err(NotParsed)
    }

    fn map(&mut self) -> ParseAttempt<(Schema, Value)> {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let (mut key_schema, mut value_schema) = (CommonSchema::default(), CommonSchema::default());
        while self.tokens.has_next() {
            if self.tokens.consume("}") {
                let (key_schema, keys) = key_schema.align(keys)?;
                let (value_schema, values) = value_schema.align(values)?;
                let schema = Schema {
                    keys: key_schema.map(Arc::new),
                    values: value_schema.map(Arc::new),
                    ..Schema::of(SchemaType::Map)
                };
                return Ok((schema, Value::Map(keys.into_iter().zip(values).collect())));
            }
            if self.tokens.consume(",") {
                return Err(NotParsed);
            }
            let key = self.value(true)?.ok_or(NotParsed)?;
            if !self.tokens.consume(":") {
                return Err(NotParsed);
            }
            let value = self.value(true)?;
            self.tokens.consume(",");
            keys.push(key_schema.add(Some(key)));
            values.push(value_schema.add(value));
        }
        Err(NotParsed)
    }
}

/// The schema that all items so far have in common.
#[derive(Default)]
struct CommonSchema {
    schema: Option<Schema>,
    incompatible: bool,
}

impl CommonSchema {
    /// Widens the common schema to an item; returns the item.
    fn add(&mut self, item: InferredValue) -> InferredValue {
        let (schema, value) = item?;
        let own = schema.clone();
        self.schema = match self.schema.take() {
            None if self.incompatible => None,
            None => Some(schema),
            Some(before) => merged(before, schema),
        };
        self.incompatible |= self.schema.is_none();
        Some((own, value))
    }

    /// Returns the common schema, if there is one, and the values converted to it.
    fn align(self, items: Vec<InferredValue>) -> ParseAttempt<(Option<Schema>, Vec<Value>)> {
        let Some(schema) = self.schema else {
            return Ok((
                None,
                items
                    .into_iter()
                    .map(|item| item.map_or(Value::Null, |(_, value)| value))
                    .collect(),
            ));
        };
        // No inferred schema allows null.
        let values = items
            .into_iter()
            .map(|item| Some(widened(item?, &schema)))
            .collect::<Option<_>>();
        Ok((Some(schema), values.ok_or(NotParsed)?))
    }
}

/// Returns the rank of a number type by width; `None` for other types.
fn width(ty: SchemaType) -> Option<u8> {
    [
        SchemaType::Int8,
        SchemaType::Int16,
        SchemaType::Int32,
        SchemaType::Int64,
        SchemaType::Float32,
        SchemaType::Float64,
    ]
    .iter()
    .position(|other| *other == ty)
    .and_then(|at| u8::try_from(at).ok())
}

fn merged(before: Schema, after: Schema) -> Option<Schema> {
    if before.ty == after.ty {
        return Some(after);
    }
    let wider = width(after.ty)? > width(before.ty)?;
    Some(if wider { after } else { before })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Kafka widens an integer among fractions just so"
)]
fn widened((own, value): (Schema, Value), schema: &Schema) -> Value {
    let days = |schema: &Schema| schema.is_named(logical::DATE);
    let wide = match &value {
        // Convert units, so that the time stays the same: days become milliseconds among times and
        // timestamps.
        Value::I32(n) if days(&own) && !days(schema) => Some(i64::from(*n) * calendar::DAY_MS),
        Value::I32(n) if days(schema) && own.is_named(logical::TIME) => {
            Some(i64::from(*n) / calendar::DAY_MS)
        }
        other => other.as_i64(),
    };
    match (schema.ty, wide, value) {
        (SchemaType::Int16, Some(n), value) => i16::try_from(n).map_or(value, Value::I16),
        (SchemaType::Int32, Some(n), value) => i32::try_from(n).map_or(value, Value::I32),
        (SchemaType::Int64, Some(n), _) => Value::I64(n),
        (SchemaType::Float32, Some(n), _) => Value::F32(n as f32),
        (SchemaType::Float64, Some(n), _) => Value::F64(n as f64),
        (SchemaType::Float64, None, Value::F32(n)) => Value::F64(f64::from(n)),
        (_, _, value) => value,
    }
}

/// Returns the number in the narrowest type that holds it.
fn number(token: &str, strict: bool) -> Option<(Schema, Value)> {
    let token: &str = &java::ascii_digits(token);
    let decimal = Decimal::parse(token)?;
    if let Some(n) = whole(&decimal) {
        let (ty, value) = if let Ok(n) = i8::try_from(n) {
            (SchemaType::Int8, Value::I8(n))
        } else if let Ok(n) = i16::try_from(n) {
            (SchemaType::Int16, Value::I16(n))
        } else if let Ok(n) = i32::try_from(n) {
            (SchemaType::Int32, Value::I32(n))
        } else {
            (SchemaType::Int64, Value::I64(n))
        };
        return Some((Schema::of(ty), value));
    }
    if decimal.scale() != 0 {
        let keeps = |text: Vec<u8>| !strict || same_number(&decimal, &text);
        let mut text = Vec::new();
        if let Some(n) = token.parse::<f32>().ok().filter(|n| n.is_finite()) {
            java::write_f32(n, &mut text);
            if keeps(std::mem::take(&mut text)) {
                return Some((Schema::of(SchemaType::Float32), Value::F32(n)));
            }
        }
        if let Some(n) = token.parse::<f64>().ok().filter(|n| n.is_finite()) {
            java::write_f64(n, &mut text);
            if keeps(text) {
                return Some((Schema::of(SchemaType::Float64), Value::F64(n)));
            }
        }
    }
    Some((
        Schema::decimal(decimal.scale()),
        Value::Decimal(Box::new(decimal)),
    ))
}

/// Returns the number if it is integral and fits 64 bits.
fn whole(decimal: &Decimal) -> Option<i64> {
    let unscaled = decimal.unscaled_i128()?;
    if unscaled == 0 {
        return Some(0);
    }
    let power = 10i128.checked_pow(decimal.scale().unsigned_abs())?;
    let whole = match decimal.scale() {
        0.. if unscaled % power != 0 => return None,
        0.. => unscaled / power,
        _ => unscaled.checked_mul(power)?,
    };
    i64::try_from(whole).ok()
}

/// True if a text of digits is the same number, ignoring the scale.
fn same_number(decimal: &Decimal, text: &[u8]) -> bool {
    let stripped = |decimal: &Decimal| {
        let mut digits = decimal.unscaled().to_string();
        let mut scale = i64::from(decimal.scale());
        while digits.len() > 1 && digits.ends_with('0') {
            digits.pop();
            scale -= 1;
        }
        (digits, scale)
    };
    let other = std::str::from_utf8(text).ok().and_then(Decimal::parse);
    other.is_some_and(|other| stripped(&other) == stripped(decimal))
}

/// Parses a date, time or timestamp in ISO 8601, with colons escaped or not, as leniently as Java
/// does.
fn temporal(token: &str) -> Option<(Schema, Value)> {
    let text = token.replace("\\:", ":");
    let text = text.as_str();
    match text.len() {
        10 => {
            let day = date(text)?;
            Some((Schema::date(), Value::I32(i32::try_from(day).ok()?)))
        }
        13 => Some((Schema::time(), Value::I32(i32::try_from(time(text)?).ok()?))),
        24 => {
            let (day, clock) = text.split_once('T').filter(|(day, _)| day.len() == 10)?;
            let millis = date(day)? * calendar::DAY_MS + time(clock)?;
            Some((Schema::timestamp(), Value::I64(millis)))
        }
        _ => None,
    }
}

fn digits(text: Option<&str>) -> Option<i64> {
    text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()
}

/// Parses `yyyy-MM-dd` into days since 1970-01-01.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (
        digits(parts.next())?,
        digits(parts.next())?,
        digits(parts.next())?,
    );
    calendar::epoch_day(year, month, day)
}

/// Parses `HH:mm:ss.SSSZ` into milliseconds.
fn time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) = (
        digits(parts.next())?,
        digits(parts.next())?,
        digits(parts.next())?,
    );
    Some(hour * 3_600_000 + minute * 60_000 + second * 1000 + digits(Some(fraction))?)
}

#[cfg(test)]
mod tests {
    use connector_api::{SchemaType, Value, logical};

    use super::infer;

    #[test]
    fn strict_keeps_what_kafka_drops_or_rounds() {
        let text = |text: &str| Value::Text(text.into());
        for (input, value) in [
            ("12:30", text("12:30")),
            ("[1]x", text("[1]x")),
            ("1]", text("1]")),
            ("[1] ", Value::Array([Value::I8(1)].into())),
            ("0.1", Value::F32(0.1)),
            ("0.30000000000000004", Value::F64(0.300_000_000_000_000_04)),
            ("1.10", Value::F32(1.1)),
        ] {
            assert_eq!(infer(input, true).value, value, "{input}");
        }
        let exact = infer("0.1234567890123456789", true);
        assert!(exact.schema.is_some_and(
            |schema| schema.ty == SchemaType::Bytes && schema.is_named(logical::DECIMAL)
        ));
    }

    #[test]
    fn deep_and_broken_nesting_is_text() {
        for input in [
            "[".repeat(100_000),
            "{\"a\":".repeat(10_000),
            "[[[[[\"".to_owned(),
        ] {
            assert_eq!(
                infer(&input, true).value,
                Value::Text(input.as_str().into())
            );
        }
    }
}
