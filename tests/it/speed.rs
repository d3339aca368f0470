//! What converters cost, in nanoseconds a record. Run with `scripts/bench transforms`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use connector_api::{Config, Datum, Decimal, Field, Record, Schema, Type, Value};
use rowferry::registry::{ConverterRole, Registry};
use rowferry::transform::Chain;

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
            field("id", Schema::of(Type::Int32)),
            field("name", of(Type::String)),
            field("email", of(Type::String)),
            field("address", of(Type::String)),
            field("balance", Schema::decimal(2).optional(true)),
            field("birthday", Schema::date().optional(true)),
            field("updated_at", Schema::timestamp().optional(true)),
            field("score", of(Type::Float64)),
            field("active", of(Type::Int8)),
            field("deleted_at", Schema::timestamp().optional(true)),
            field("remark", of(Type::String)),
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

#[test]
#[ignore = "prints times; run it alone"]
fn nanoseconds_a_record() {
    let registry = Registry::built_in();
    let schema = schema();
    let rows: Vec<Datum> = (0..1000).map(|id| row(&schema, id)).collect();
    for (name, config) in
        [("schema and payload", Config::new()), ("payload only", Config::from([("schemas.enable", "false")]))]
    {
        let mut converter = registry.converter("JsonConverter", ConverterRole::Value, &config).unwrap();
        let mut out = Vec::new();
        let encode = best(|at| {
            out.clear();
            converter.encode("t", black_box(&rows[at % rows.len()]), &mut out).unwrap();
        });
        let texts: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let mut out = Vec::new();
                converter.encode("t", row, &mut out).unwrap();
                out
            })
            .collect();
        let bytes = texts.iter().map(Vec::len).sum::<usize>() / texts.len();
        let decode = best(|at| {
            black_box(converter.decode("t", Some(black_box(&texts[at % texts.len()]))).unwrap());
        });
        println!("JsonConverter, {name}, {bytes} bytes: encode {encode} ns, decode {decode} ns");
    }
}

const TRANSFORMS: [(&str, &[(&str, &str)]); 9] = [
    ("Cast$Value", &[("spec", "score:string,active:boolean")]),
    ("ExtractField$Value", &[("field", "remark")]),
    ("InsertField$Value", &[("topic.field", "from"), ("timestamp.field", "at")]),
    ("MaskField$Value", &[("fields", "email,address")]),
    ("RegexRouter", &[("regex", "(.*)"), ("replacement", "copy_$1")]),
    ("ReplaceField$Value", &[("exclude", "remark"), ("renames", "name:full_name")]),
    (
        "TimestampConverter$Value",
        &[("field", "updated_at"), ("target.type", "string"), ("format", "yyyy-MM-dd HH:mm:ss")],
    ),
    ("ValueToKey", &[("fields", "id")]),
    ("Expression", &[("filter", "value.id >= 0"), ("fields", "double:int64"), ("set.double", "value.id * 2")]),
];

#[test]
#[ignore = "prints times; run it alone"]
fn nanoseconds_a_record_of_transforms() {
    let registry = Registry::built_in();
    let schema = schema();
    let record = |id: i32| Record {
        topic: "customers".into(),
        partition: None,
        key: Datum::NONE,
        value: row(&schema, id),
        timestamp_ms: Some(1_700_000_000_123),
        headers: Vec::new(),
    };
    let records: Vec<Record> = (0..1000).map(record).collect();
    let measured = |chain: &mut Chain| {
        best(|at| {
            black_box(chain.apply(records[at % records.len()].clone(), None).unwrap());
        })
    };
    let open = |names: &[usize]| {
        let mut config = Config::new();
        config.set("transforms", names.iter().map(|at| format!("t{at}")).collect::<Vec<_>>().join(","));
        for at in names {
            config.set(format!("transforms.t{at}.type"), TRANSFORMS[*at].0);
            for (key, text) in TRANSFORMS[*at].1 {
                config.set(format!("transforms.t{at}.{key}"), *text);
            }
        }
        Chain::open(&registry, &config).unwrap()
    };
    let copying = measured(&mut open(&[]));
    for (at, transform) in TRANSFORMS.iter().enumerate() {
        println!("{}: {} ns", transform.0, measured(&mut open(&[at])).saturating_sub(copying));
    }
    let three = measured(&mut open(&[2, 3, 5])).saturating_sub(copying);
    println!(
        "InsertField, MaskField, ReplaceField in a chain: {three} ns (copying the record, left out here: {copying} ns)"
    );
}
