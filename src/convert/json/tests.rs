//! Random schemas and values through the converter and back, and random bytes into it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use connector_api::{Config, Converter, Datum, Decimal, Field, Presence, Schema, Type, Value};

use super::JsonConverter;

/// A small random number generator (splitmix64); its seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = u64::try_from(now.as_nanos() & 0xffff_ffff_ffff).unwrap();
        println!("seed {seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Small numbers, and those at the limits, as often as any.
    fn number(&mut self) -> i64 {
        let any = i64::from_ne_bytes(self.next().to_ne_bytes());
        any >> self.below(64)
    }

    fn text(&mut self) -> String {
        const ODD: [&str; 12] = ["\"", "\\", "\n", "\0", "\u{1f}", "/", "ä", "€", "😀", "\u{2028}", "null", "{}"];
        let piece = |random: &mut Self| match random.below(3) {
            0 => ODD[random.below(ODD.len())].to_owned(),
            1 => char::from_u32(u32::try_from(random.below(0x11_0000)).unwrap()).unwrap_or('x').to_string(),
            _ => "plain text ".to_owned(),
        };
        (0..self.below(6)).map(|_| piece(self)).collect()
    }

    fn schema(&mut self, depth: usize) -> Schema {
        let plain = [
            Type::Int8,
            Type::Int16,
            Type::Int32,
            Type::Int64,
            Type::Float32,
            Type::Float64,
            Type::Boolean,
            Type::String,
            Type::Bytes,
        ];
        let scale = i32::try_from(self.below(60)).unwrap() - 10;
        let mut schema = match self.below(if depth == 0 { 13 } else { 18 }) {
            at @ 0..9 => Schema::of(plain[at]),
            9 => Schema::decimal(scale),
            10 => Schema::date(),
            11 => Schema::time(),
            12 => Schema::timestamp(),
            13 => Schema::array(self.schema(depth - 1)),
            14 => Schema::map(Schema::of(Type::String), self.schema(depth - 1)),
            15 => Schema::map(self.schema(0), self.schema(depth - 1)),
            _ => {
                let fields =
                    (0..self.below(6)).map(|at| Field::new(format!("{at}{}", self.text()), self.schema(depth - 1)));
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
        if self.chance(6) && schema.ty != Type::Struct {
            schema.default = Some(self.value(&schema)).filter(|default| !default.is_null() && !holds_struct(&schema));
        }
        schema
    }

    fn value(&mut self, schema: &Schema) -> Value {
        if schema.optional && schema.default.is_none() && self.chance(5) {
            return Value::Null;
        }
        let n = self.number();
        let (n32, bits) = ((n >> 32) as i32, self.next());
        if schema.is_named(connector_api::logical::DECIMAL) {
            let scale = schema.get_param("scale").unwrap().parse().unwrap();
            let big = num_bigint::BigInt::from(n) * num_bigint::BigInt::from(bits).pow(u32::from(n32 as u8) % 9);
            return Value::Decimal(Box::new(Decimal::from_bigint(big, scale)));
        }
        if schema.is_named(connector_api::logical::TIME) {
            return Value::I32(n32.rem_euclid(86_400_001));
        }
        let finite32 = Some(f32::from_bits(bits as u32)).filter(|f| !f.is_nan());
        let finite64 = Some(f64::from_bits(bits)).filter(|f| !f.is_nan());
        let len = self.below(4);
        match schema.ty {
            Type::Int8 => Value::I8((n >> 56) as i8),
            Type::Int16 => Value::I16((n >> 48) as i16),
            Type::Int32 => Value::I32(n32),
            Type::Int64 => Value::I64(n),
            Type::Float32 => Value::F32(finite32.unwrap_or(f32::INFINITY)),
            Type::Float64 => Value::F64(finite64.unwrap_or(f64::NEG_INFINITY)),
            Type::Boolean => Value::Bool(n & 1 == 0),
            Type::String => Value::Text(self.text().into()),
            Type::Bytes => Value::Bytes(bits.to_be_bytes()[..self.below(9)].into()),
            Type::Array => Value::Array((0..len).map(|_| self.value(schema.values.as_ref().unwrap())).collect()),
            Type::Map => {
                let (keys, values) = (schema.keys.clone().unwrap(), schema.values.clone().unwrap());
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for _ in 0..len {
                    let key = self.value(&keys);
                    // A null key is written as text, and a NULL is its default: neither would come back.
                    if !key.is_null() && entries.iter().all(|(other, _)| *other != key) {
                        entries.push((key, self.value(&values)));
                    }
                }
                Value::Map(entries.into())
            }
            Type::Struct => Value::Struct(schema.fields.iter().map(|field| self.value(&field.schema)).collect()),
        }
    }
}

fn holds_struct(schema: &Schema) -> bool {
    let inner = [&schema.keys, &schema.values];
    schema.ty == Type::Struct || inner.into_iter().flatten().any(|inner| holds_struct(inner))
}

fn encoded(converter: &mut JsonConverter, datum: &Datum) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(converter.encode("t", datum, &mut out).unwrap(), Presence::Present);
    out
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random::seeded();
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let schema = Arc::new(random.schema(3));
        for _ in 0..4 {
            let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
            let bytes = encoded(&mut converter, &datum);
            let text = String::from_utf8_lossy(&bytes);
            let tree: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(tree.as_object().unwrap().len(), 2, "{text}");
            assert_eq!(converter.decode("t", Some(&bytes)).unwrap(), datum, "{text}");
        }
    }
}

#[test]
fn members_may_come_in_any_order_and_layout() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let expected = converter.decode(
        "t",
        Some(br#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"a"},{"type":"string","optional":true,"field":"b"}],"optional":false},"payload":{"a":1,"b":"x"}}"#),
    );
    let expected = expected.unwrap();
    for text in [
        r#"{"payload":{"b":"x","a":1},"schema":{"fields":[{"field":"a","type":"int32"},{"field":"b","optional":true,"type":"string"}],"type":"struct"}}"#,
        "{ \"schema\" : { \"type\" : \"struct\" , \"fields\" : [ { \"type\" : \"int32\" , \"field\" : \"a\" } , \
         {\"type\":\"string\",\"optional\":true,\"field\":\"b\"} ] } ,\n\t\"payload\" : { \"a\" : 1 , \"b\" : \"x\" } }\r\n",
        r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"string","optional":true,"field":"b"}]},"payload":{"a":7,"\u0061":1,"extra":[{"a":[]}],"b":"\u0078"}}"#,
    ] {
        for _ in 0..2 {
            assert_eq!(converter.decode("t", Some(text.as_bytes())).unwrap(), expected, "{text}");
        }
    }
}

#[test]
fn strict_refuses_what_kafka_alters() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let mut read = |ty: &str, payload: &str| {
        let text = format!("{{\"schema\":{{\"type\":\"{ty}\"}},\"payload\":{payload}}}");
        converter.decode("t", Some(text.as_bytes())).map(|datum| datum.value)
    };
    for (ty, payload) in [
        ("int8", "300"),
        ("int32", "1.9"),
        ("int64", "9223372036854775808"),
        ("int64", "\"5\""),
        ("float", "3.5e38"),
        ("double", "1e400"),
        ("double", "\"5\""),
        ("boolean", "1"),
        ("string", "5"),
        ("bytes", "[1]"),
        ("string", "\"\\ud800\""),
    ] {
        assert!(read(ty, payload).is_err(), "{ty} {payload}");
    }
    assert_eq!(read("int8", "1e2").unwrap(), Value::I8(100));
    // a second document is not looked at, the first time and when the schema is known
    assert_eq!(read("int32", "5} {").unwrap(), Value::I32(5));
    assert_eq!(read("int32", "6} {\"x\":1").unwrap(), Value::I32(6));
    assert_eq!(read("float", "\"-Infinity\"").unwrap(), Value::F32(f32::NEG_INFINITY));
    let Value::F64(zero) = read("double", "-0.0").unwrap() else { panic!("no double") };
    assert!(zero.is_sign_negative());
    let mut plain = JsonConverter::new(&Config::from([("schemas.enable", "false")])).unwrap();
    assert!(plain.decode("t", Some(b"123456789012345678901234567890")).is_err());
}

/// Cuts, doubles and changes parts of valid records: nothing may panic, in either mode, nor take long.
#[test]
fn no_input_panics() {
    let mut random = Random::seeded();
    let mut converters: Vec<JsonConverter> = [("true", "true"), ("true", "false"), ("false", "false")]
        .iter()
        .map(|(strict, schemas)| {
            JsonConverter::new(&Config::from([("strict", *strict), ("schemas.enable", *schemas)])).unwrap()
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(2);
    let mut tried = 0u64;
    while Instant::now() < until {
        let schema = Arc::new(random.schema(3));
        let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
        let valid = encoded(&mut converters[0], &datum);
        for _ in 0..20 {
            let bytes = mutated(&mut random, &valid);
            for converter in &mut converters {
                if let Ok(datum) = converter.decode("t", Some(&bytes)) {
                    let _ = converter.encode("t", &datum, &mut Vec::new());
                }
            }
            tried += 1;
        }
    }
    println!("{tried} inputs");
}

fn mutated(random: &mut Random, valid: &[u8]) -> Vec<u8> {
    const PIECES: [&[u8]; 10] =
        [b"{", b"}", b"[", b"]", b"null", b"\"", b"1e999999999", b"\\ud83d", b"\xff", b",\"default\":{}"];
    let mut bytes = valid.to_vec();
    for _ in 0..=random.below(3) {
        let (from, to) = (random.below(bytes.len() + 1), random.below(bytes.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match random.below(4) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.splice(from..from, PIECES[random.below(PIECES.len())].iter().copied()).for_each(drop),
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

/// Deep nesting of every sort ends in an error, not in a stack overflow (threads have 2 MB).
#[test]
fn deep_nesting_is_an_error() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let deep = |open: &str, close: &str, inner: &str| format!("{}{inner}{}", open.repeat(50_000), close.repeat(50_000));
    for text in [
        deep("[", "]", ""),
        format!("{{\"schema\":null,\"payload\":{}}}", deep("{\"a\":", "}", "1")),
        format!("{{\"schema\":{},\"payload\":1}}", deep("{\"type\":\"array\",\"items\":", "}", "{\"type\":\"int8\"}")),
    ] {
        assert!(converter.decode("t", Some(text.as_bytes())).is_err());
    }
    let levels = |n: usize| {
        let schema = format!("{}{{\"type\":\"int8\"}}{}", "{\"type\":\"array\",\"items\":".repeat(n), "}".repeat(n));
        format!("{{\"schema\":{schema},\"payload\":{}1{}}}", "[".repeat(n), "]".repeat(n))
    };
    assert!(converter.decode("t", Some(levels(150).as_bytes())).is_ok());
    assert!(converter.decode("t", Some(levels(300).as_bytes())).is_err());
    let nested = format!("{{\"schema\":null,\"payload\":{}1{}}}", "[".repeat(990), "]".repeat(990));
    assert!(converter.decode("t", Some(nested.as_bytes())).is_ok());
}

#[test]
fn a_small_text_cannot_name_a_wide_schema_without_end() {
    let fields: Vec<String> =
        (0..2000).map(|at| format!("{{\"type\":\"int8\",\"optional\":true,\"field\":\"f{at}\"}}")).collect();
    let schema = format!("{{\"type\":\"array\",\"items\":{{\"type\":\"struct\",\"fields\":[{}]}}}}", fields.join(","));
    let text = format!("{{\"schema\":{schema},\"payload\":[{}{{}}]}}", "{},".repeat(100_000));
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let error = converter.decode("t", Some(text.as_bytes())).unwrap_err();
    assert!(error.message().contains("struct fields"), "{error}");
}
