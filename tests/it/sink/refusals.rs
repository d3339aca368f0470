//! Records that a database refuses for reasons of its own: only they are rejected, and the error names the column where
//! the database knows one, and what helps.

use connector_api::{ErrorKind, Field, SchemaType, Value};
use testkit::unique;

use super::database::{Database, Server};
use super::records::{Topic, int, optional};

/// A table with a column `x`, and a value that it refuses.
struct Refusal {
    server: Server,
    setup: &'static str,
    keys: &'static [(&'static str, &'static str)],
    ty: SchemaType,
    refused: Value,
    /// Which the table takes.
    accepted: Value,
    said: &'static [&'static str],
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Text that no compression makes short enough for an index.
fn long() -> Value {
    let mut state = 1u64;
    let chars = (0..40_000).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    });
    Value::Text(chars.collect::<String>().into())
}

const INTO_VIEW: &[(&str, &str)] = &[("table.name.format", "v"), ("table.types", "VIEW")];

fn refusals() -> Vec<Refusal> {
    let case = |server, setup, ty, refused, accepted, said| Refusal {
        server,
        setup,
        keys: &[],
        ty,
        refused,
        accepted,
        said,
    };
    let into_view = |server| Refusal {
        keys: INTO_VIEW,
        ..case(
            server,
            "CREATE TABLE base (id INT, x INT); CREATE VIEW v AS SELECT id, x FROM base WHERE x < 10 WITH CHECK OPTION",
            SchemaType::Int32,
            Value::I32(11),
            Value::I32(1),
            &["WITH CHECK OPTION", "table.name.format"],
        )
    };
    vec![
        into_view(Server::Postgres),
        into_view(Server::MariaDb),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x TEXT PRIMARY KEY)",
            SchemaType::String,
            long(),
            text("short"),
            &["54000", "index", "pk.fields"],
        ),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x REGCLASS)",
            SchemaType::String,
            text("there_is_none"),
            text("pg_class"),
            &["42P01", "column x"],
        ),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x INT); CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN IF NEW.x > 10 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'XX000'; END IF; RETURN NEW; END$$; \
             CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
            SchemaType::Int32,
            Value::I32(11),
            Value::I32(1),
            &["XX000"],
        ),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x BIT(3))",
            SchemaType::String,
            text("10101"),
            text("101"),
            &["column x", "bit"],
        ),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x UUID)",
            SchemaType::String,
            text("none"),
            text("6f1f3c02-3d1b-4f0a-9d0a-0d3b7c1f2a11"),
            &["column x", "UUID"],
        ),
        case(
            Server::MariaDb,
            "CREATE TABLE t (id INT, x POINT)",
            SchemaType::Bytes,
            Value::Bytes([1, 2].into()),
            Value::Null,
            &["1416", "column x", "ST_GeomFromText"],
        ),
        case(
            Server::MariaDb,
            "CREATE TABLE t (id INT, x INET6)",
            SchemaType::Int32,
            Value::I32(5),
            Value::Null,
            &["column x", "inet6", "Cast"],
        ),
        case(
            Server::MariaDb,
            "CREATE TABLE t (id INT, x ENUM('a'))",
            SchemaType::String,
            text("b"),
            text("a"),
            &["'x'", "Cast"],
        ),
        case(
            Server::Postgres,
            "CREATE TABLE t (id INT, x REGTYPE)",
            SchemaType::String,
            text("there_is_none"),
            text("int4"),
            &["42704", "column x", "names nothing that exists"],
        ),
        case(
            Server::Sqlite,
            "CREATE TABLE t (id INT, x TEXT CHECK (length(x) < 3))",
            SchemaType::String,
            text("long"),
            text("a"),
            &["CHECK constraint"],
        ),
    ]
}

#[tokio::test]
async fn a_record_that_the_database_refuses_is_rejected_alone_and_the_error_says_what_helps() {
    let mut wrong = Vec::new();
    for case in refusals() {
        let mut database = Database::new(case.server, case.keys).await;
        database.run(case.setup).await;
        let topic = Topic::new("t");
        let fields: [Field; 2] = [int("id"), optional("x", case.ty)];
        let record = |id, value: &Value| topic.value(&fields, [Value::I32(id), value.clone()]);
        let batch = [record(1, &case.accepted), record(2, &case.refused)];
        let mut strict = database.open(&topic, false, &[]).await;
        let error = strict.put(&batch, &topic.next()).await.unwrap_err();
        println!("{}: {error}\n", case.server);
        for said in case.said {
            if !error.message().contains(said) {
                wrong.push(format!("no {said:?} in {error}"));
            }
        }
        if error.kind() != ErrorKind::Record {
            wrong.push(format!("{:?}: {error}", error.kind()));
        }
        strict.close().await;
        let mut tolerant = database.open(&topic, true, &[]).await;
        match tolerant.put(&batch, &topic.next()).await {
            Ok(report) => {
                let rejected: Vec<usize> = report.rejected.iter().map(|r| r.index).collect();
                let table = if case.keys.is_empty() { "t" } else { "v" };
                let rows = database.rows(&format!("SELECT id FROM {table}")).await;
                if rejected != [1] || rows != ["1"] {
                    wrong.push(format!("{rejected:?} rejected, {rows:?} written: {error}"));
                }
            }
            Err(other) => wrong.push(format!("a tolerant task fails: {other}")),
        }
        tolerant.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_row_that_a_row_security_policy_refuses_is_rejected_alone() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    let role = unique("policed");
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO {role}; CREATE TABLE t (id INT, x INT); \
             GRANT ALL ON t TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY few ON t USING (true) WITH CHECK (x < 10)"
        ))
        .await;
    database.config.set("connection.user", &role);
    database.config.set("connection.password", "any");
    let topic = Topic::new("t");
    let row = |id, x| topic.value(&[int("id"), int("x")], [Value::I32(id), Value::I32(x)]);
    let batch = [row(1, 1), row(2, 11), row(3, 3)];
    let mut strict = database.open(&topic, false, &[]).await;
    let error = strict.put(&batch, &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Record, "{error}");
    for said in ["42501", "table public.t", "offset 1", "row security policy"] {
        assert!(error.message().contains(said), "no {said:?} in {error}");
    }
    strict.close().await;
    let mut tolerant = database.open(&topic, true, &[]).await;
    let report = tolerant.put(&batch, &topic.next()).await.unwrap();
    let rejected: Vec<usize> = report.rejected.iter().map(|r| r.index).collect();
    assert_eq!(rejected, [1]);
    assert_eq!(
        database.rows("SELECT id FROM t ORDER BY id").await,
        ["1", "3"]
    );
    tolerant.close().await;
}

#[tokio::test]
async fn a_view_that_takes_no_rows_is_named_with_what_helps() {
    let mut database = Database::new(Server::Sqlite, INTO_VIEW).await;
    database
        .run("CREATE TABLE base (id INT); CREATE VIEW v AS SELECT id FROM base")
        .await;
    let topic = Topic::new("t");
    let batch = [topic.value(&[int("id")], [Value::I32(1)])];
    let mut task = database.open(&topic, false, &[]).await;
    let error = task.put(&batch, &topic.next()).await.unwrap_err();
    for said in ["cannot modify v", "INSTEAD OF INSERT", "table.name.format"] {
        assert!(error.message().contains(said), "no {said:?} in {error}");
    }
    task.close().await;
}

/// Says the same on every database, each of which has a text of its own.
#[tokio::test]
async fn a_second_row_of_a_key_and_a_missing_value_name_the_settings_that_help() {
    for mut database in super::database::all().await {
        database
            .run("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, x INT NOT NULL)")
            .await;
        let topic = Topic::new("t");
        let row = |id| topic.value(&[int("id"), int("x")], [Value::I32(id), Value::I32(1)]);
        let null = topic.value(
            &[int("id"), optional("x", SchemaType::Int32)],
            [Value::I32(3), Value::Null],
        );
        for (batch, said) in [
            ([row(1), row(1)], "insert.mode=upsert"),
            ([row(2), null], "InsertField"),
        ] {
            let mut task = database.open(&topic, false, &[]).await;
            let error = task.put(&batch, &topic.next()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record, "{error}");
            assert!(error.message().contains(said), "no {said:?} in {error}");
            task.close().await;
        }
    }
}
