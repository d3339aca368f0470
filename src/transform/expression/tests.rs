//! What expressions see and return, and the limits at which they are stopped.

use connector_api::Decimal;

use super::*;

fn record() -> Record {
    let schema = Schema::structure(
        None,
        vec![
            Field::new("price", Schema::decimal(2)),
            Field::new("quantity", Schema::of(SchemaType::Int32)),
            Field::new("name", Schema::of(SchemaType::String).optional(true)),
        ],
    );
    let members = [
        Value::Decimal(Box::new(Decimal::new(250, 2))),
        Value::I32(4),
        Value::Null,
    ];
    Record {
        topic: "eu.orders".into(),
        partition: Some(3),
        key: Datum::NONE,
        value: Datum::new(Arc::new(schema), Value::Struct(members.into())),
        timestamp_ms: Some(5),
        headers: Vec::new(),
    }
}

fn apply<const N: usize>(config: [(&str, &str); N]) -> Result<Option<Record>> {
    Expression::new(&Config::from(config))
        .unwrap()
        .apply(record(), None)
}

#[test]
fn a_filter_keeps_what_it_is_true_for() {
    for (filter, kept) in [
        ("value.quantity > 3", true),
        ("value.quantity > 3 && value.price < 2.0", false),
        ("topic.starts_with(\"eu.\") && partition == 3", true),
        ("value.name == ()", true),
        ("(value.name ?? \"x\").len() == 1", true),
        ("key == ()", true),
        ("value.missing == 1", false),
    ] {
        assert_eq!(
            apply([("filter", filter)]).unwrap().is_some(),
            kept,
            "{filter}"
        );
    }
}

#[test]
fn fields_are_computed_in_their_types_and_the_rest_stays() {
    let out = apply([
        (
            "fields",
            "total:float64, quantity:int64, label:string, none:int8",
        ),
        ("set.total", "value.price * value.quantity"),
        ("set.quantity", "value.quantity + 1"),
        ("set.label", "`${topic}-${value.quantity}`"),
        ("set.none", "value.name"),
    ]);
    let Datum { schema, value } = out.unwrap().unwrap().value;
    let names: Vec<_> = schema
        .unwrap()
        .fields
        .iter()
        .map(|f| (f.name.to_string(), f.schema.ty))
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|(name, ty)| (name.as_str(), *ty))
        .collect();
    assert_eq!(
        names[1..3],
        [
            ("quantity", SchemaType::Int64),
            ("name", SchemaType::String)
        ]
    );
    assert_eq!(
        names[3..],
        [
            ("total", SchemaType::Float64),
            ("label", SchemaType::String),
            ("none", SchemaType::Int8)
        ]
    );
    let Value::Struct(members) = value else {
        panic!("no struct")
    };
    assert_eq!(members[1], Value::I64(5));
    assert_eq!(
        members[3..],
        [
            Value::F64(10.0),
            Value::Text("eu.orders-4".into()),
            Value::Null
        ]
    );
}

#[test]
fn errors_tell_what_is_wrong_but_no_values() {
    for (expression, want) in [
        ("value.quantity / 0", "cannot be computed"),
        ("missing + 1", "uses missing"),
        ("value.name + 1", "needs +"),
        ("1000", "not INT8"),
        ("\"5\"", "not INT8"),
        ("[1,2,3].map(x => x)", ""),
    ] {
        let config = Config::from([("fields", "f:int8"), ("set.f", expression)]);
        match Expression::new(&config) {
            Ok(mut made) => {
                let error = made.apply(record(), None).unwrap_err();
                assert!(error.message().contains(want), "{error}");
                assert!(!error.message().contains("4 /"), "{error}");
            }
            Err(report) => assert!(!report.is_ok()),
        }
    }
    let bad = |config: Config| Expression::new(&config).is_err();
    assert!(bad(Config::new()));
    assert!(bad(Config::from([("filter", "1 +")])));
    assert!(bad(Config::from([("filter", "while true {}")])));
    assert!(bad(Config::from([("fields", "f:decimal"), ("set.f", "1")])));
    assert!(bad(Config::from([("fields", "f:int8")])));
}

#[test]
fn an_expression_cannot_run_away() {
    let config = Config::from([
        ("filter", "\"a\".len() + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 > 0"),
        ("max.operations", "5"),
    ]);
    let error = Expression::new(&config)
        .unwrap()
        .apply(record(), None)
        .unwrap_err();
    assert!(error.message().contains("max.operations"), "{error}");
}

/// Evaluates an expression over one text field `big` of 100,000 characters.
fn hostile(expression: &str) -> Result<Value, String> {
    let schema = Schema::structure(
        None,
        vec![Field::new("big", Schema::of(SchemaType::String))],
    );
    let big = Value::Struct([Value::Text("x".repeat(100_000).into())].into());
    let record = Record {
        value: Datum::new(Arc::new(schema), big),
        ..record()
    };
    let config = Config::from([("fields", "f:string"), ("set.f", expression)]);
    let mut made = Expression::new(&config).map_err(|report| Error::from(report).to_string())?;
    let out = made
        .apply(record, None)
        .map_err(|error| error.to_string())?
        .unwrap();
    let Value::Struct(members) = out.value.value else {
        panic!("no struct")
    };
    Ok(members[1].clone())
}

#[test]
fn hostile_expressions_end_in_a_clear_error_at_once() {
    let doubled = "(value.big + value.big)".to_owned();
    let many = [doubled.as_str(); 8].join(" + ");
    let deep = format!("{}value.big{}", "(".repeat(500), ")".repeat(500));
    let long = vec!["1"; 20_000].join(" + ");
    let start = std::time::Instant::now();
    for (expression, want) in [
        ("while true {}", "Invalid expression"),
        ("loop {}", "Invalid expression"),
        ("for i in 0..1000000000 {}", "Invalid expression"),
        ("let a = 1; a", "Invalid expression"),
        ("|x| x", "Invalid expression"),
        ("fn f() { f() } f()", "Invalid expression"),
        ("eval(\"1\")", "Invalid expression"),
        (&deep, "Invalid expression"),
        (&long, ""),
        (&many, "too large"),
        ("value.big.pad(2000000000, 'x')", "too large"),
        ("value.big.replace(\"x\", value.big)", "too large"),
        ("value.big.replace(\"\", value.big)", "too large"),
        ("[1].pad(100000, 1)", "too large"),
        ("value.big.split(\"\")", "too large"),
        ("value.big.to_chars()", "too large"),
        ("blob(2000000000)", ""),
        (
            "9223372036854775807 * 9223372036854775807",
            "cannot be computed",
        ),
        ("call(Fn(\"call\"), Fn(\"call\"))", ""),
    ] {
        let error = hostile(expression).unwrap_err();
        assert!(error.contains(want) && error.len() < 25_000 * 5, "{error}");
        assert!(!error.contains("xxxx"), "values stay out of errors");
    }
    assert!(
        start.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

/// A record of one field, `v`.
fn of(schema: Schema, value: Value) -> Record {
    let schema = Schema::structure(None, vec![Field::new("v", schema)]);
    Record {
        value: Datum::new(Arc::new(schema), Value::Struct([value].into())),
        ..record()
    }
}

#[test]
fn expressions_of_few_operations_that_take_long_end_in_time() {
    let text = || {
        of(
            Schema::of(SchemaType::String),
            Value::Text("ab,".repeat(300_000).into()),
        )
    };
    let list = || {
        let items: Vec<_> = (0..9000)
            .map(|n| Value::Text(format!("item {n}").into()))
            .collect();
        of(
            Schema::array(Schema::of(SchemaType::String)),
            Value::Array(items.into()),
        )
    };
    let many = |piece: &str, count: usize| format!("[{}].len()", vec![piece; count].join(","));
    for (record, expression) in [
        (text(), many("value.v.to_upper().len()", 2000)),
        (text(), many("value.v.index_of(\"zz\")", 2400)),
        (
            text(),
            many(
                "value.v.replace(\"ab\", \"ba\").replace(\",\", \".\").len()",
                1200,
            ),
        ),
        (text(), many("value.v.sub_string(1, 800000).len()", 1800)),
        (list(), many("value.v.len()", 3000)),
        (list(), many("(value.v + [1]).len()", 2000)),
        (list(), many("value.v.to_string().len()", 2000)),
    ] {
        let config = Config::from([("fields", "f:int64"), ("set.f", expression.as_str())]);
        let mut made = Expression::new(&config).unwrap();
        let begun = std::time::Instant::now();
        let error = made.apply(record, None).unwrap_err();
        assert!(
            error.message().contains("max.time.ms"),
            "{error} for {}",
            &expression[..40]
        );
        // Twice the limit of 100 ms, plus the time of 8 operations on this machine, or in an
        // unoptimized build.
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(5),
            "{:?} {}",
            begun.elapsed(),
            &expression[..40]
        );
    }
}

#[test]
fn a_record_that_is_too_large_for_expressions_is_refused_before_it_is_copied() {
    let text = of(
        Schema::of(SchemaType::String),
        Value::Text("x".repeat(limits::MAX_TEXT + 1).into()),
    );
    let list = Value::Array(vec![Value::Null; limits::MAX_ITEMS + 1].into());
    let list = of(
        Schema::array(Schema::of(SchemaType::String).optional(true)),
        list,
    );
    for record in [text, list] {
        let error = Expression::new(&Config::from([("filter", "value.v == ()")]))
            .unwrap()
            .apply(record, None);
        assert!(error.unwrap_err().message().contains("too large"));
    }
}

#[test]
fn text_is_changed_by_value() {
    for (expression, want) in [
        ("value.big.sub_string(0, 2).replace(\"x\", \"ab\")", "abab"),
        ("\" a \".trim()", "a"),
        ("\"a-b\".replace('-', \"+\")", "a+b"),
        ("\"ab\".to_upper() + \"CD\".to_lower()", "ABcd"),
        (
            "if value.big.len() > 1 { \"many\" } else { \"few\" }",
            "many",
        ),
        (
            "(1.5.round() + 1.5.floor() + 1.2.ceiling() + 4.0.sqrt() + (-1).abs()).to_string()",
            "8.0",
        ),
        (
            "`${parse_int(\"5\") + 5.9.to_int()}-${parse_float(\"1.5\") + 1.to_float()}`",
            "10-2.5",
        ),
        (
            "\"a,b\".split(\",\")[1] + \"abc\".index_of(\"c\").to_string()",
            "b2",
        ),
        (
            "(value.none ?? value.big).sub_string(0, 1) + (7 % 4 + 2 ** 3).to_string()",
            "x11",
        ),
        (
            "(headers.h == () && headers[\"odd name\"] == ()).to_string()",
            "true",
        ),
    ] {
        assert_eq!(
            hostile(expression),
            Ok(Value::Text(want.into())),
            "{expression}"
        );
    }
}
