//! Logins that cannot come to be: refused by validation, and the end of a task at once, with what is to be changed. What a
//! URL allows a server to ask for is all that it gets.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use testkit::postgres::texts;
use testkit::{Postgres, for_condition, mariadb, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::greeting;
use crate::{SOON, lab};

const PASSWORD: &str = "CANARY-of-a-login";

/// What a server sends: each part once the client has said something, but for the first of MySQL's.
struct Script {
    parts: Vec<Vec<u8>>,
    begins: bool,
}

/// A MySQL server that says this after its greeting.
fn mysql(greeting: Vec<u8>, then: &[&[u8]]) -> Script {
    let packet = |(at, body): (usize, &&[u8])| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&length[..3], &[u8::try_from(at).unwrap() * 2 + 2], body].concat()
    };
    let parts = std::iter::once(greeting)
        .chain(then.iter().enumerate().map(packet))
        .collect();
    Script {
        parts,
        begins: true,
    }
}

/// A PostgreSQL server that asks for a login by that number, with what belongs to it.
fn postgres(number: u32, more: &[u8]) -> Script {
    Script {
        parts: vec![request(number, more)],
        begins: false,
    }
}

fn request(number: u32, more: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + more.len()).unwrap().to_be_bytes();
    [b"R", &length[..], &number.to_be_bytes(), more].concat()
}

/// Plays the script to one client after another. Returns its port; what a client said goes to the channel.
async fn serve(script: Script) -> (u16, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hearing) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = heard.send(play(stream, &script).await);
        }
    });
    (port, hearing)
}

/// Sends the parts of the script, and reads from the client until it disconnects.
async fn play(mut stream: TcpStream, script: &Script) -> Vec<u8> {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 4096]);
    let mut parts = script.parts.iter();
    if script.begins {
        let _ = stream.write_all(parts.next().unwrap()).await;
    }
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        heard.extend_from_slice(&buffer[..length]);
        if let Some(part) = parts.next() {
            let _ = stream.write_all(part).await;
        }
    }
    heard
}

fn source(url: &str) -> Value {
    json!({"connector.class": "JdbcSource", "name": "login", "mode": "bulk", "topic.prefix": "login_",
        "table.whitelist": "t", "connection.url": url, "connection.user": "u", "connection.password": PASSWORD,
        "connection.attempts": "3", "connection.backoff.ms": "1"})
}

/// What validation says of `connection.url`.
async fn refusal(config: &Value) -> String {
    let rest = lab().worker().rest();
    let answer = rest
        .put("/connector-plugins/JdbcSource/config/validate", config)
        .await
        .expect(200);
    let of_url = |value: &&Value| value["name"] == "connection.url";
    let values = answer.body["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|config| &config["value"]);
    let texts = values
        .filter(of_url)
        .flat_map(|value| value["errors"].as_array().unwrap());
    texts
        .map(|text| text.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asserts that validation names the URL's key and says `want` after one attempt, in which the password was not sent.
async fn assert_refused_at_once(script: Script, url: impl Fn(u16) -> String, want: &str) {
    let (port, mut hearing) = serve(script).await;
    let text = refusal(&source(&url(port))).await;
    assert!(text.contains(want), "{want}: {text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let heard = hearing.recv().await.unwrap();
    assert!(hearing.try_recv().is_err(), "{want}: it was tried again");
    assert!(!is_in(PASSWORD, &heard), "{want}: the password was sent");
}

fn is_in(text: &str, bytes: &[u8]) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_login_by_a_plugin_of_mysql_that_is_not_supported_is_refused_without_another_attempt() {
    let url = |port| format!("jdbc:mysql://127.0.0.1:{port}/d?sslMode=DISABLED");
    for plugin in [
        "dialog",
        "auth_gssapi_client",
        "client_ed25519",
        "parsec",
        "authentication_ldap_sasl_client",
    ] {
        let switch = format!("\u{0}{plugin}\0some data of any length");
        let mut switch = switch.into_bytes();
        switch[0] = 0xfe;
        assert_refused_at_once(
            mysql(greeting("mysql_native_password"), &[&switch]),
            url,
            &format!("'{plugin}'"),
        )
        .await;
        // what a server logs in by unless an account says otherwise decides nothing
        assert_refused_at_once(
            mysql(greeting(plugin), &[&switch]),
            url,
            &format!("'{plugin}'"),
        )
        .await;
    }
    let old = mysql(greeting("mysql_native_password"), &[b"\xfe"]);
    assert_refused_at_once(old, url, "'mysql_old_password'").await;
    let mut early = greeting("mysql_native_password");
    early[4] = 9;
    assert_refused_at_once(mysql(early, &[]), url, "version 9 of MySQL's protocol").await;
}

#[tokio::test]
async fn a_login_by_a_method_of_postgresql_that_is_not_supported_is_refused_without_another_attempt()
 {
    let url = |port| format!("jdbc:postgresql://127.0.0.1:{port}/d?sslmode=disable");
    for (number, more, want) in [
        (2, &b""[..], "Kerberos V5"),
        (6, b"", "SCM credentials"),
        (7, b"", "GSSAPI"),
        (9, b"", "SSPI"),
        (77, b"", "number 77"),
        (10, b"SCRAM-SHA-256-PLUS\0\0", "SASL (SCRAM-SHA-256-PLUS)"),
        (10, b"OAUTHBEARER\0\0", "SASL (OAUTHBEARER)"),
    ] {
        assert_refused_at_once(postgres(number, more), url, want).await;
    }
}

#[tokio::test]
async fn a_server_of_postgresql_gets_the_password_only_in_a_way_that_require_auth_allows() {
    for (allowed, number, more, want) in [
        ("scram-sha-256", 3, &b""[..], "asks for a login by password"),
        ("scram-sha-256", 5, b"salt", "asks for a login by md5"),
        (
            "scram-sha-256,md5",
            0,
            b"",
            "lets clients in without a login",
        ),
        ("!none", 0, b"", "lets clients in without a login"),
        (
            "!scram-sha-256",
            10,
            b"SCRAM-SHA-256\0\0",
            "asks for a login by scram-sha-256",
        ),
    ] {
        let url = |port| {
            format!("jdbc:postgresql://127.0.0.1:{port}/d?sslmode=disable&require_auth={allowed}")
        };
        assert_refused_at_once(postgres(number, more), url, want).await;
    }
    // where nothing is said it is sent as the server asks, which libpq and pgJDBC do too
    let no = b"SFATAL\0VFATAL\0C28P01\0Mno\0\0";
    let refused = [
        b"E",
        &u32::try_from(4 + no.len()).unwrap().to_be_bytes()[..],
        no,
    ]
    .concat();
    let (port, mut hearing) = serve(Script {
        parts: vec![request(3, b""), refused],
        begins: false,
    })
    .await;
    let text = refusal(&source(&format!(
        "jdbc:postgresql://127.0.0.1:{port}/d?sslmode=disable"
    )))
    .await;
    assert!(text.contains("28P01"), "{text}");
    assert!(is_in(PASSWORD, &hearing.recv().await.unwrap()));
}

#[tokio::test]
async fn a_server_that_does_not_prove_that_it_knows_the_account_is_refused() {
    let url = |port| format!("jdbc:postgresql://127.0.0.1:{port}/d?sslmode=disable");
    let parts = vec![
        request(10, b"SCRAM-SHA-256\0\0"),
        request(11, b"r=of-another-login,s=c2FsdA==,i=4096"),
    ];
    assert_refused_at_once(
        Script {
            parts,
            begins: false,
        },
        url,
        "does not prove",
    )
    .await;
}

#[tokio::test]
async fn require_auth_lets_a_server_through_that_does_as_it_says() {
    let name = unique("require_auth");
    let mut root = lab().postgres().create_database(&name).await;
    let mut lines = Vec::new();
    for method in ["password", "md5", "scram-sha-256"] {
        let (role, hash) = (
            format!("{name}-{method}"),
            if method == "md5" {
                "md5"
            } else {
                "scram-sha-256"
            },
        );
        let sql = format!(
            "SET password_encryption = '{hash}'; CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'"
        );
        root.execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .unwrap();
        lines.push(format!("('host all \"{role}\" all {method}')"));
    }
    let file: String = sqlx::query_scalar("SHOW hba_file")
        .fetch_one(&mut root)
        .await
        .unwrap();
    // the file is emptied before it is written
    let sql = format!(
        "CREATE TEMP TABLE lines AS SELECT * FROM (VALUES {}) AS own (line) UNION ALL SELECT \
         string_to_table(pg_read_file('{file}'), E'\\n'); COPY lines TO '{file}'; SELECT pg_reload_conf()",
        lines.join(",")
    );
    root.execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap();
    let loaded =
        format!("SELECT COUNT(*)::text FROM pg_hba_file_rules WHERE user_name[1] LIKE '{name}%'");
    assert_eq!(texts(&mut root, &loaded).await[0][0].as_deref(), Some("3"));
    let config = |method: &str, allowed: &str| {
        let mut config = source(&format!(
            "{}?require_auth={allowed}",
            lab().postgres().jdbc_url(&name)
        ));
        config["connection.user"] = json!(format!("{name}-{method}"));
        config
    };
    // the server reads the file some time after it was asked to
    for_condition("the new rules", SOON, async || {
        refusal(&config("md5", "md5")).await.is_empty()
    })
    .await;
    for method in ["password", "md5", "scram-sha-256"] {
        for (allowed, goes) in [
            (method.to_owned(), true),
            ("!none".to_owned(), true),
            (format!("!{method}"), false),
        ] {
            let text = refusal(&config(method, &allowed)).await;
            let want = if goes { "" } else { "asks for a login by" };
            assert!(
                text.contains(want) && text.is_empty() == goes,
                "{method} {allowed}: {text}"
            );
        }
    }
    // the lab's own account is let in without a login
    let mut own = source(&format!(
        "{}?require_auth=none",
        lab().postgres().jdbc_url(&name)
    ));
    own["connection.user"] = json!(Postgres::USER);
    assert_eq!(refusal(&own).await, "");
}

#[tokio::test]
async fn a_task_whose_account_gets_a_plugin_that_is_not_supported_fails_at_once() {
    let name = unique("other_plugin");
    let mut root = lab().mariadb().create_database(&name).await;
    for sql in [
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'",
        &format!("CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'"),
        &format!("GRANT ALL ON `{name}`.* TO '{name}'@'%'"),
    ] {
        mariadb::run(&mut root, sql).await;
    }
    let mut config = source(&lab().mariadb().jdbc_url(&name));
    for (key, value) in [
        ("connection.user", name.as_str()),
        ("mode", "incrementing"),
        ("poll.interval.ms", "100"),
        ("incrementing.column.name", "id"),
        ("topic.prefix", &format!("{name}_")),
        ("errors.retry.timeout", "-1"),
    ] {
        config[key] = json!(value);
    }
    config.as_object_mut().unwrap().remove("name");
    let rest = lab().worker().rest();
    rest.create(&name, &config).await;
    rest.wait_state(&name, "RUNNING", SOON).await;
    mariadb::run(
        &mut root,
        &format!("ALTER USER '{name}'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')"),
    )
    .await;
    mariadb::run(&mut root, &format!("KILL USER '{name}'@'%'")).await;
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
    assert!(
        trace.contains("'client_ed25519'") && trace.contains("ConfigException"),
        "{trace}"
    );
    rest.remove(&name).await;
    mariadb::run(&mut root, &format!("DROP USER '{name}'@'%'")).await;
}
