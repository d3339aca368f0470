//! Random schemas and values for the tests of converters, and random damage to encoded bytes.

use std::sync::Arc;

use connector_api::{Decimal, Field, Schema, SchemaType, Value};

/// Generates random schemas and values; the seed is printed, so that a failure can be reproduced.
pub(super) struct Random(testkit::Random);

impl Random {
    pub(super) fn seeded() -> Self {
        Self(testkit::Random::new())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.bits()
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Returns small numbers and limits of integer types as often as arbitrary numbers.
    pub(super) fn number(&mut self) -> i64 {
        let any = i64::from_ne_bytes(self.next().to_ne_bytes());
        any >> self.below(64)
    }

    pub(super) fn text(&mut self) -> String {
        const ODD: [&str; 12] = [
            "\"", "\\", "\n", "\0", "\u{1f}", "/", "ä", "€", "😀", "\u{2028}", "null", "{}",
        ];
        let piece = |random: &mut Self| match random.below(3) {
            0 => ODD[random.below(ODD.len())].to_owned(),
            1 => char::from_u32(u32::try_from(random.below(0x11_0000)).unwrap())
                .unwrap_or('x')
                .to_string(),
            _ => "plain text ".to_owned(),
        };
        (0..self.below(6)).map(|_| piece(self)).collect()
    }

    /// Returns a schema with names that every format accepts.
    pub(super) fn plain_schema(&mut self, depth: usize) -> Schema {
        let mut names = 0;
        let fields = (0..=self.below(5)).map(|at| Field::new(format!("f{at}"), self.schema(depth)));
        let fields = fields.collect();
        let mut schema = Schema::structure(Some("top.Level"), fields);
        tame(&mut schema, &mut names);
        schema
    }

    pub(super) fn schema(&mut self, depth: usize) -> Schema {
        let plain = [
            SchemaType::Int8,
            SchemaType::Int16,
            SchemaType::Int32,
            SchemaType::Int64,
            SchemaType::Float32,
            SchemaType::Float64,
            SchemaType::Boolean,
            SchemaType::String,
            SchemaType::Bytes,
        ];
        let scale = i32::try_from(self.below(60)).unwrap() - 10;
        let mut schema = match self.below(if depth == 0 { 13 } else { 18 }) {
            at @ 0..9 => Schema::of(plain[at]),
            9 => Schema::decimal(scale),
            10 => Schema::date(),
            11 => Schema::time(),
            12 => Schema::timestamp(),
            13 => Schema::array(self.schema(depth - 1)),
            14 => Schema::map(Schema::of(SchemaType::String), self.schema(depth - 1)),
            15 => Schema::map(self.schema(0), self.schema(depth - 1)),
            _ => {
                let fields = (0..self.below(6))
                    .map(|at| Field::new(format!("{at}{}", self.text()), self.schema(depth - 1)));
                let fields = fields.collect();
                Schema::structure(None, fields)
            }
        };
        schema.optional = self.chance(2);
        if self.chance(6) && schema.name.is_none() {
            schema.name = Some(self.text().into());
            schema.version = Some(i32::try_from(self.number() >> 32).unwrap());
            schema.doc = Some(self.text().into());
            schema = schema.param(&self.text(), &self.text());
        }
        if self.chance(6) && schema.ty != SchemaType::Struct {
            schema.default = Some(self.value(&schema))
                .filter(|default| !default.is_null() && !holds_struct(&schema));
        }
        schema
    }

    pub(super) fn value(&mut self, schema: &Schema) -> Value {
        if schema.optional && schema.default.is_none() && self.chance(5) {
            return Value::Null;
        }
        let n = self.number();
        let (n32, bits) = ((n >> 32) as i32, self.next());
        if schema.is_named(connector_api::logical::DECIMAL) {
            let scale = schema.get_param("scale").unwrap().parse().unwrap();
            let big = num_bigint::BigInt::from(n)
                * num_bigint::BigInt::from(bits).pow(u32::from(n32 as u8) % 9);
            return Value::Decimal(Box::new(Decimal::from_bigint(big, scale)));
        }
        if schema.is_named(connector_api::logical::TIME) {
            return Value::I32(n32.rem_euclid(86_400_001));
        }
        let finite32 = Some(f32::from_bits(bits as u32)).filter(|f| !f.is_nan());
        let finite64 = Some(f64::from_bits(bits)).filter(|f| !f.is_nan());
        let len = self.below(4);
        match schema.ty {
            SchemaType::Int8 => Value::I8((n >> 56) as i8),
            SchemaType::Int16 => Value::I16((n >> 48) as i16),
            SchemaType::Int32 => Value::I32(n32),
            SchemaType::Int64 => Value::I64(n),
            SchemaType::Float32 => Value::F32(finite32.unwrap_or(f32::INFINITY)),
            SchemaType::Float64 => Value::F64(finite64.unwrap_or(f64::NEG_INFINITY)),
            SchemaType::Boolean => Value::Bool(n & 1 == 0),
            SchemaType::String => Value::Text(self.text().into()),
            SchemaType::Bytes => Value::Bytes(bits.to_be_bytes()[..self.below(9)].into()),
            SchemaType::Array => Value::Array(
                (0..len)
                    .map(|_| self.value(schema.values.as_ref().unwrap()))
                    .collect(),
            ),
            SchemaType::Map => {
                let (keys, values) = (schema.keys.clone().unwrap(), schema.values.clone().unwrap());
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for _ in 0..len {
                    let key = self.value(&keys);
                    // Skip null keys: they are written as text or as the key's default, and would
                    // not round-trip.
                    if !key.is_null() && entries.iter().all(|(other, _)| *other != key) {
                        entries.push((key, self.value(&values)));
                    }
                }
                Value::Map(entries.into())
            }
            SchemaType::Struct => Value::Struct(
                schema
                    .fields
                    .iter()
                    .map(|field| self.value(&field.schema))
                    .collect(),
            ),
        }
    }
}

/// Gives everything nested plain names, and each struct a unique one.
fn tame(schema: &mut Schema, names: &mut usize) {
    for inner in [&mut schema.keys, &mut schema.values].into_iter().flatten() {
        tame(Arc::make_mut(inner), names);
    }
    // Attributes of text keys are dropped, because formats whose maps have only text keys cannot
    // express them.
    if schema
        .keys
        .as_ref()
        .is_some_and(|keys| keys.ty == SchemaType::String)
    {
        schema.keys = Some(Arc::new(Schema::of(SchemaType::String)));
    }
    let mut fields = std::mem::take(&mut schema.fields).into_vec();
    for (at, field) in fields.iter_mut().enumerate() {
        field.name = format!("f{at}").into();
        tame(Arc::make_mut(&mut field.schema), names);
    }
    schema.fields = fields.into();
    if schema.ty == SchemaType::Map && schema.name.is_some() {
        *names += 1;
        schema.name = Some(format!("space.Map{names}").into());
    }
    if schema.ty == SchemaType::Struct && schema.name.as_deref() != Some("top.Level") {
        *names += 1;
        schema.name = Some(format!("space.Inner{names}").into());
    }
}

fn holds_struct(schema: &Schema) -> bool {
    let inner = [&schema.keys, &schema.values];
    schema.ty == SchemaType::Struct || inner.into_iter().flatten().any(|inner| holds_struct(inner))
}

/// Truncates, duplicates and changes parts of valid bytes.
pub(super) fn mutated(random: &mut Random, valid: &[u8]) -> Vec<u8> {
    const PIECES: [&[u8]; 10] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"\"",
        b"1e999999999",
        b"\\ud83d",
        b"\xff",
        b",\"default\":{}",
    ];
    let mut bytes = valid.to_vec();
    for _ in 0..=random.below(3) {
        let (from, to) = (random.below(bytes.len() + 1), random.below(bytes.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match random.below(4) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes
                .splice(
                    from..from,
                    PIECES[random.below(PIECES.len())].iter().copied(),
                )
                .for_each(drop),
            2 if from < bytes.len() => bytes[from] = (random.next() & 0xff) as u8,
            _ => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece).for_each(drop);
            }
        }
        bytes.truncate(20_000);
    }
    bytes
}
