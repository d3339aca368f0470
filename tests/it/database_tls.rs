//! TLS with databases: what a URL asks for in any driver's spelling is TLS or a refusal, never a plain connection.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{
    MariaDb, Postgres, Rest, Rowferry, Scratch, Settings, certificate, mariadb, postgres, unique,
};

use crate::lab;

/// Servers that show a certificate, and a file with it.
pub(crate) struct Encrypted {
    pub mariadb: MariaDb,
    pub postgres: Postgres,
    authority: String,
}

impl Encrypted {
    pub fn start(scratch: &Scratch) -> Self {
        let folder = scratch.path().join(unique("certificate"));
        std::fs::create_dir_all(&folder).unwrap();
        certificate(&folder);
        let file = |name: &str| readable(&folder, name).display().to_string();
        let (authority, key) = (file("cert.pem"), file("key.pem"));
        let options = [
            format!("--ssl-cert={authority}"),
            format!("--ssl-key={key}"),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Self {
            mariadb: MariaDb::start_with_options(scratch, &unique("mariadb-tls"), &options),
            postgres: Postgres::start_with_tls(scratch, &unique("postgres-tls"), &folder),
            authority,
        }
    }
}

/// Lets the servers' accounts read a file of this test.
fn readable(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&path, all).unwrap();
    path
}

fn source(url: &str, user: &str, password: &str) -> Value {
    json!({"name": "tls", "connector.class": "JdbcSource", "connection.url": url, "connection.user": user,
        "connection.password": password, "mode": "bulk", "table.whitelist": "t", "topic.prefix": "tls_",
        "connection.attempts": "1"})
}

/// What validation says of the URL; empty where it connects.
async fn problem(rest: &Rest, config: &Value) -> String {
    let answer = rest
        .put("/connector-plugins/JdbcSource/config/validate", config)
        .await
        .expect(200);
    let configs = answer.body["configs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let errors = configs
        .iter()
        .filter(|c| c["value"]["name"] == "connection.url")
        .map(|c| &c["value"]["errors"]);
    errors
        .flat_map(|e| e.as_array().cloned().unwrap_or_default())
        .map(|e| e.as_str().unwrap_or("?").to_owned())
        .collect()
}

const ASKED: [&str; 14] = [
    "useSSL=true",
    "useSsl=1",
    "useSSL",
    "ssl=true",
    "requireSSL=true",
    "useSSL=true&requireSSL=true",
    "useSSL=true&trustServerCertificate=true",
    "useSSL=true&disableSslHostnameVerification=true",
    "verifyServerCertificate=true",
    "sslMode=REQUIRED",
    "sslMode=trust",
    "ssl-mode=verify_ca",
    "SSLMODE=verify-full",
    "ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory",
];

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_is_asked_for_in_any_spelling_is_refused_where_the_server_has_none() {
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("no-tls")));
    let (database, rest) = (unique("no_tls"), worker.rest());
    mariadb::run(
        &mut lab().mariadb().create_database(&database).await,
        "CREATE TABLE t (a INT)",
    )
    .await;
    postgres::texts(
        &mut lab().postgres().create_database(&database).await,
        "CREATE TABLE t (a INT)",
    )
    .await;
    let places = [
        (
            "jdbc:mysql",
            lab().mariadb().port(),
            MariaDb::USER,
            MariaDb::PASSWORD,
        ),
        (
            "jdbc:mariadb",
            lab().mariadb().port(),
            MariaDb::USER,
            MariaDb::PASSWORD,
        ),
        (
            "jdbc:postgresql",
            lab().postgres().port(),
            Postgres::USER,
            Postgres::PASSWORD,
        ),
    ];
    for (scheme, port, user, password) in places {
        for params in ASKED {
            let url = format!("{scheme}://127.0.0.1:{port}/{database}?{params}");
            let config = source(&url, user, password);
            let reported = problem(rest, &config).await;
            assert!(reported.contains("TLS"), "{url}: {reported}");
            let made = rest
                .post("/connectors", &json!({"name": "tls", "config": config}))
                .await;
            assert_eq!(made.status, 400, "{url}: {}", made.text);
            // the same as a key of its own
            if let Some((name, value)) = params
                .split_once('=')
                .filter(|(_, value)| !value.contains('&'))
            {
                let mut config = source(
                    &format!("{scheme}://127.0.0.1:{port}/{database}"),
                    user,
                    password,
                );
                config[format!("connection.{name}")] = json!(value);
                let reported = problem(rest, &config).await;
                assert!(
                    reported.contains("TLS"),
                    "connection.{name}={value}: {reported}"
                );
            }
        }
        for params in ["", "useSSL=false", "sslMode=DISABLED", "sslmode=prefer"] {
            let url = format!("{scheme}://127.0.0.1:{port}/{database}?{params}");
            assert_eq!(
                problem(rest, &source(&url, user, password)).await,
                "",
                "{url}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_where_it_is_asked_for_and_certificates_are_verified() {
    let servers = Encrypted::start(lab().scratch());
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("tls")));
    let (database, rest) = (unique("tls"), worker.rest());
    let mut sql = servers.mariadb.create_database(&database).await;
    mariadb::run(
        &mut sql,
        "CREATE TABLE t (a INT); CREATE USER sealed IDENTIFIED BY 'pw' REQUIRE SSL",
    )
    .await;
    mariadb::run(&mut sql, "GRANT ALL ON *.* TO sealed").await;
    postgres::texts(
        &mut servers.postgres.create_database(&database).await,
        "CREATE TABLE t (a INT)",
    )
    .await;
    let places = [
        ("jdbc:mysql", servers.mariadb.port(), "sealed", "pw"),
        ("jdbc:mariadb", servers.mariadb.port(), "sealed", "pw"),
        (
            "jdbc:postgresql",
            servers.postgres.port(),
            Postgres::USER,
            Postgres::PASSWORD,
        ),
    ];
    let authority = &servers.authority;
    for (scheme, port, user, password) in places {
        let base = format!("{scheme}://127.0.0.1:{port}/{database}?");
        for params in [
            "sslMode=REQUIRED".to_owned(),
            "useSSL=true&trustServerCertificate=true".to_owned(),
            format!("useSSL=true&serverSslCert={authority}"),
            format!("sslMode=VERIFY_CA&ssl-ca=file:{authority}"),
            format!("sslmode=verify-full&sslrootcert={authority}"),
            String::new(),
        ] {
            assert_eq!(
                problem(rest, &source(&format!("{base}{params}"), user, password)).await,
                "",
                "{scheme} {params}"
            );
        }
        for params in [
            "sslMode=VERIFY_CA",
            "sslmode=verify-full",
            "useSSL=true&verifyServerCertificate=true",
        ] {
            let reported = problem(rest, &source(&format!("{base}{params}"), user, password)).await;
            assert!(
                reported.contains("TLS") && reported.contains("certificate"),
                "{scheme} {params}: {reported}"
            );
        }
        let off = problem(
            rest,
            &source(&format!("{base}sslMode=DISABLED"), user, password),
        )
        .await;
        // the server takes this account with TLS alone
        assert_eq!(
            off.is_empty(),
            scheme == "jdbc:postgresql",
            "{scheme}: {off}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_named_is_trusted_instead_of_the_systems() {
    let servers = Encrypted::start(lab().scratch());
    let settings =
        Settings::dev(&unique("authorities")).with_env("SSL_CERT_FILE", &servers.authority);
    let worker = Rowferry::start(lab().scratch(), settings);
    let (database, rest) = (unique("authorities"), worker.rest());
    mariadb::run(
        &mut servers.mariadb.create_database(&database).await,
        "CREATE TABLE t (a INT)",
    )
    .await;
    postgres::texts(
        &mut servers.postgres.create_database(&database).await,
        "CREATE TABLE t (a INT)",
    )
    .await;
    let folder = lab().scratch().path().join(unique("other-authority"));
    std::fs::create_dir_all(&folder).unwrap();
    certificate(&folder);
    let other = folder.join("cert.pem").display().to_string();
    let text = std::fs::read_to_string(&other).unwrap();
    for (scheme, port, user, password) in [
        (
            "jdbc:mysql",
            servers.mariadb.port(),
            MariaDb::USER,
            MariaDb::PASSWORD,
        ),
        (
            "jdbc:mariadb",
            servers.mariadb.port(),
            MariaDb::USER,
            MariaDb::PASSWORD,
        ),
        (
            "jdbc:postgresql",
            servers.postgres.port(),
            Postgres::USER,
            Postgres::PASSWORD,
        ),
    ] {
        let url = |params: &str| format!("{scheme}://127.0.0.1:{port}/{database}?{params}");
        for params in ["sslMode=VERIFY_CA", "sslmode=verify-full"] {
            assert_eq!(
                problem(rest, &source(&url(params), user, password)).await,
                "",
                "{scheme} {params}"
            );
        }
        for params in [
            format!("sslMode=VERIFY_CA&sslrootcert={other}"),
            format!("sslmode=verify-full&sslrootcert={other}"),
            format!("useSSL=true&serverSslCert={other}"),
            format!("sslMode=VERIFY_CA&ssl-ca=file:{other}"),
        ] {
            let reported = problem(rest, &source(&url(&params), user, password)).await;
            assert!(
                reported.contains("TLS") && reported.contains("certificate"),
                "{scheme} {params}: {reported}"
            );
        }
        // as a key of its own, and as the text itself
        for value in [&other, &text] {
            let mut config = source(&url("sslMode=VERIFY_CA"), user, password);
            config["connection.serverSslCert"] = json!(value);
            let reported = problem(rest, &config).await;
            assert!(
                reported.contains("TLS") && reported.contains("certificate"),
                "{scheme} {value}: {reported}"
            );
        }
    }
}
