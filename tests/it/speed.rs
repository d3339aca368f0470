//! What converters and transforms cost, in nanoseconds a record. Run with `scripts/bench transforms`, which fails when a
//! chain of three costs more than encoding the record.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use connector_api::{Config, Datum, Decimal, Field, Header, Record, Schema, SchemaType, Value};
use rowferry::registry::{ConverterRole, PluginKind, Registry};
use rowferry::worker::TransformChain;
use testkit::SchemaRegistry;

/// A row of 11 columns and about 200 bytes, as a JDBC source makes it.
fn row(schema: &Arc<Schema>, id: i32) -> Datum {
    let text = |text: &str| Value::Text(text.into());
    Datum::new(
        Arc::clone(schema),
        Value::Struct(
            [
                Value::I32(id),
                text("Some Customer Name"),
                text("some.customer@example.com"),
                text("12 Long Street, Small Town, Country"),
                Value::Decimal(Box::new(Decimal::new(i128::from(id) * 37 + 1999, 2))),
                Value::I32(19_675),
                Value::I64(1_700_000_000_123),
                Value::F64(f64::from(id) / 7.0),
                Value::I8(1),
                Value::Null,
                text("a longer remark about this customer, with äöü, that makes the row about two hundred bytes"),
            ]
            .into(),
        ),
    )
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, schema: Schema| Field::new(name, schema);
    let of = |ty| Schema::of(ty).optional(true);
    Arc::new(Schema::structure(
        Some("customers"),
        vec![
            field("id", Schema::of(SchemaType::Int32)),
            field("name", of(SchemaType::String)),
            field("email", of(SchemaType::String)),
            field("address", of(SchemaType::String)),
            field("balance", Schema::decimal(2).optional(true)),
            field("birthday", Schema::date().optional(true)),
            field("updated_at", Schema::timestamp().optional(true)),
            field("score", of(SchemaType::Float64)),
            field("active", of(SchemaType::Int8)),
            field("deleted_at", Schema::timestamp().optional(true)),
            field("remark", of(SchemaType::String)),
        ],
    ))
}

/// The best of several rounds, in nanoseconds a record.
fn best(mut each: impl FnMut(usize)) -> u128 {
    const RECORDS: usize = 20_000;
    let round = |each: &mut dyn FnMut(usize)| {
        let start = Instant::now();
        (0..RECORDS).for_each(each);
        start.elapsed().as_nanos() / RECORDS as u128
    };
    (0..10).map(|_| round(&mut each)).min().unwrap()
}

/// Nanoseconds to encode and to decode a row, and its bytes.
fn converter_costs(class: &str, config: &Config, rows: &[Datum]) -> (u128, u128, usize) {
    let mut converter = Registry::built_in()
        .converter(class, ConverterRole::Value, config)
        .unwrap();
    let mut out = Vec::new();
    let encode = best(|at| {
        out.clear();
        converter
            .encode("t", black_box(&rows[at % rows.len()]), &mut out)
            .unwrap();
    });
    let encoded = |row: &Datum| {
        let mut out = Vec::new();
        converter.encode("t", row, &mut out).unwrap();
        out
    };
    let texts: Vec<Vec<u8>> = rows.iter().map(encoded).collect();
    let bytes = texts.iter().map(Vec::len).sum::<usize>() / texts.len();
    let decode = best(|at| {
        black_box(
            converter
                .decode("t", Some(black_box(&texts[at % texts.len()])))
                .unwrap(),
        );
    });
    (encode, decode, bytes)
}

/// One of each, `$Value` for those that have both; what they need of the record is there.
const TRANSFORMS: [(&str, &[(&str, &str)]); 26] = [
    ("Cast$Value", &[("spec", "score:string,active:boolean")]),
    ("DropHeaders", &[("headers", "source")]),
    ("ExtractField$Value", &[("field", "remark")]),
    ("Flatten$Value", &[]),
    (
        "HeaderFrom$Value",
        &[("fields", "id"), ("headers", "id"), ("operation", "copy")],
    ),
    ("HoistField$Value", &[("field", "row")]),
    (
        "InsertField$Value",
        &[("topic.field", "from"), ("timestamp.field", "at")],
    ),
    ("InsertHeader", &[("header", "h"), ("value.literal", "5")]),
    ("MaskField$Value", &[("fields", "email,address")]),
    (
        "RegexRouter",
        &[("regex", "(.*)"), ("replacement", "copy_$1")],
    ),
    (
        "ReplaceField$Value",
        &[("exclude", "remark"), ("renames", "name:full_name")],
    ),
    ("SetSchemaMetadata$Value", &[("schema.name", "other")]),
    (
        "TimestampConverter$Value",
        &[
            ("field", "updated_at"),
            ("target.type", "string"),
            ("format", "yyyy-MM-dd HH:mm:ss"),
        ],
    ),
    ("TimestampRouter", &[]),
    ("ValueToKey", &[("fields", "id")]),
    ("Filter", &[("predicate", "p")]),
    ("Drop$Value", &[]),
    ("ExtractTopic$Value", &[("field", "name")]),
    ("ExtractTopic$Header", &[("field", "source")]),
    (
        "MessageTimestampRouter",
        &[("message.timestamp.keys", "updated_at")],
    ),
    ("TombstoneHandler", &[]),
    (
        "ByLogicalTableRouter",
        &[
            ("topic.regex", "(.*)"),
            ("topic.replacement", "all"),
            ("key.enforce.uniqueness", "false"),
        ],
    ),
    ("ExtractNewRecordState", &[]),
    ("Expression", &[("filter", "value.id >= 0")]),
    (
        "Expression",
        &[("fields", "double:int64"), ("set.double", "value.id * 2")],
    ),
    (
        "Expression",
        &[
            ("fields", "label:string"),
            ("set.label", "`${topic}-${value.name}`"),
        ],
    ),
];

/// A chain of these transforms.
fn chain(names: &[&str]) -> TransformChain {
    let transforms = TRANSFORMS.iter().enumerate().filter(|(at, (name, _))| {
        names.iter().any(|wanted| wanted == name)
            || names.iter().any(|wanted| **wanted == format!("#{at}"))
    });
    let mut config = Config::from([
        ("predicates", "p"),
        ("predicates.p.type", "RecordIsTombstone"),
    ]);
    let mut list = Vec::new();
    for (at, (class, keys)) in transforms {
        list.push(format!("t{at}"));
        config.set(format!("transforms.t{at}.type"), *class);
        for (key, text) in *keys {
            config.set(format!("transforms.t{at}.{key}"), *text);
        }
    }
    config.set("transforms", list.join(","));
    TransformChain::open(&Registry::built_in(), &config).unwrap()
}

#[test]
fn the_bench_has_every_transform() {
    let registry = Registry::built_in();
    let missing = registry
        .plugins(PluginKind::Transformation)
        .into_iter()
        .filter(|plugin| {
            let of_key = plugin.class().ends_with("$Key");
            !of_key
                && !TRANSFORMS.iter().any(|(name, _)| {
                    registry
                        .plugin(PluginKind::Transformation, name)
                        .is_some_and(|p| p.class() == plugin.class())
                })
        });
    assert_eq!(
        missing.map(|plugin| plugin.class()).collect::<Vec<_>>(),
        Vec::<&str>::new()
    );
}

#[test]
#[ignore = "prints times; run it alone"]
fn nanoseconds_a_record() {
    let schema = schema();
    let rows: Vec<Datum> = (0..1000).map(|id| row(&schema, id)).collect();
    let schemas = SchemaRegistry::start();
    let registered = Config::from([("schema.registry.url", schemas.url().as_str())]);
    let plain = Config::from([("schemas.enable", "false")]);
    println!(
        "{:<34} {:>6} {:>8} {:>8}",
        "converter", "bytes", "encode", "decode"
    );
    let mut least = u128::MAX;
    for (class, config, what) in [
        ("JsonConverter", &Config::new(), ", schema and payload"),
        ("JsonConverter", &plain, ", payload only"),
        ("AvroConverter", &registered, ""),
        ("ProtobufConverter", &registered, ""),
        ("JsonSchemaConverter", &registered, ""),
    ] {
        let (encode, decode, bytes) = converter_costs(class, config, &rows);
        println!(
            "{:<34} {bytes:>6} {encode:>5} ns {decode:>5} ns",
            format!("{class}{what}")
        );
        if class == "JsonConverter" {
            least = least.min(encode);
        }
    }

    let source = Header {
        key: "source".into(),
        datum: Datum {
            schema: None,
            value: Value::Text("bench".into()),
        },
    };
    let record = |id: i32| Record {
        topic: "customers".into(),
        partition: None,
        key: Datum::NONE,
        value: row(&schema, id),
        timestamp_ms: Some(1_700_000_000_123),
        headers: vec![source.clone()],
    };
    let records: Vec<Record> = (0..1000).map(record).collect();
    let measured = |mut chain: TransformChain| {
        best(|at| {
            black_box(
                chain
                    .apply(records[at % records.len()].clone(), None)
                    .unwrap(),
            );
        })
    };
    let copying = measured(chain(&[]));
    println!("\ntransform (copying the record, {copying} ns, is left out)");
    for (at, (class, keys)) in TRANSFORMS.iter().enumerate() {
        let keys: Vec<_> = keys
            .iter()
            .map(|(key, text)| format!("{key}={text}"))
            .collect();
        let cost = measured(chain(&[&format!("#{at}")])).saturating_sub(copying);
        println!("{class:<34} {cost:>5} ns  {}", keys.join(" "));
    }
    let three = measured(chain(&[
        "InsertField$Value",
        "MaskField$Value",
        "ReplaceField$Value",
    ]))
    .saturating_sub(copying);
    println!(
        "InsertField, MaskField, ReplaceField in a chain: {three} ns; encoding as JSON: {least} ns"
    );
    assert!(
        three < least,
        "a chain of three transforms costs {three} ns, more than encoding the record: {least} ns"
    );
    println!("check: a chain of three costs less than encoding the record: ok");
}
