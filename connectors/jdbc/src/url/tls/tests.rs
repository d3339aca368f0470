//! Every spelling of the TLS options, and its effect.

use super::TlsMode::{Encrypted, IfOffered, Off, VerifyCa, VerifyFull};
use super::{ServerKey, TlsMode, TlsOptions};
use crate::url::ConnectionTarget;

fn read(url: &str) -> connector_api::Result<TlsOptions> {
    ConnectionTarget::parse(url).and_then(|target| target.tls())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_drivers_spelling_means_what_the_driver_means_or_more() {
    for (params, mysql, mariadb, postgres) in [
        ("", IfOffered, IfOffered, IfOffered),
        ("useSSL=true", Encrypted, VerifyFull, VerifyFull),
        ("useSSL", Encrypted, VerifyFull, VerifyFull),
        ("useSsl=1", Encrypted, VerifyFull, VerifyFull),
        ("ssl=true", Encrypted, VerifyFull, VerifyFull),
        ("ssl", Encrypted, VerifyFull, VerifyFull),
        ("useSSL=false", Off, Off, Off),
        (
            "useSSL=false&requireSSL=false&verifyServerCertificate=false",
            Off,
            Off,
            Off,
        ),
        (
            "useSSL=true&requireSSL=true",
            Encrypted,
            VerifyFull,
            VerifyFull,
        ),
        (
            "useSSL=true&verifyServerCertificate=true",
            VerifyCa,
            VerifyFull,
            VerifyFull,
        ),
        ("verifyServerCertificate=true", VerifyCa, VerifyCa, VerifyCa),
        ("requireSSL=true", Encrypted, Encrypted, Encrypted),
        (
            "useSSL=true&trustServerCertificate=true",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        (
            "useSSL=true&disableSslHostnameVerification=true",
            Encrypted,
            VerifyCa,
            VerifyFull,
        ),
        (
            "ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        ("ssl=true&sslmode=require", Encrypted, VerifyFull, Encrypted),
        ("ssl=true&sslmode=prefer", Encrypted, VerifyFull, Encrypted),
        ("sslMode=DISABLED", Off, Off, Off),
        ("sslMode=disable", Off, Off, Off),
        ("sslmode=allow", IfOffered, IfOffered, IfOffered),
        ("sslMode=PREFERRED", IfOffered, IfOffered, IfOffered),
        ("SSLMODE=Required", Encrypted, Encrypted, Encrypted),
        ("sslMode=trust", Encrypted, Encrypted, Encrypted),
        ("useTLS=true", Encrypted, VerifyFull, VerifyFull),
        ("tls=true", Encrypted, VerifyFull, VerifyFull),
        ("requireTls=true", Encrypted, Encrypted, Encrypted),
        ("tlsMode=required", Encrypted, Encrypted, Encrypted),
        ("xdevapi.ssl-mode=VERIFY_CA", VerifyCa, VerifyCa, VerifyCa),
        (
            "xdevapi.tls-versions=TLSv1.2&sslMode=required",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        ("PGSSLMODE=verify-full", VerifyFull, VerifyFull, VerifyFull),
        ("PGSSLROOTCERT=/ca.pem", VerifyCa, VerifyCa, VerifyCa),
        ("ssl.mode=verify-ca", VerifyCa, VerifyCa, VerifyCa),
        ("sslFoo=false", IfOffered, IfOffered, IfOffered),
        ("ssl-mode=VERIFY_CA", VerifyCa, VerifyCa, VerifyCa),
        ("ssl_mode=verify-ca", VerifyCa, VerifyCa, VerifyCa),
        (
            "sslMode=VERIFY_IDENTITY",
            VerifyFull,
            VerifyFull,
            VerifyFull,
        ),
        (
            "sslmode=verify-full&useSSL=false",
            VerifyFull,
            VerifyFull,
            VerifyFull,
        ),
        (
            "sslMode=PREFERRED&requireSSL=true",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        ("serverSslCert=/ca.pem", VerifyCa, VerifyCa, VerifyCa),
        (
            "sslrootcert=/ca.pem&sslmode=require",
            VerifyCa,
            VerifyCa,
            VerifyCa,
        ),
        (
            "sslrootcert=/ca.pem&sslmode=trust",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        (
            "sslcert=/c.pem&sslkey=/k.pem",
            Encrypted,
            Encrypted,
            Encrypted,
        ),
        (
            "allowPublicKeyRetrieval=false",
            IfOffered,
            IfOffered,
            IfOffered,
        ),
        (
            "allowPublicKeyRetrieval=true",
            IfOffered,
            IfOffered,
            IfOffered,
        ),
    ] {
        for (scheme, want) in [
            ("jdbc:mysql", mysql),
            ("jdbc:mariadb", mariadb),
            ("jdbc:postgresql", postgres),
        ] {
            let url = format!("{scheme}://h/d?{params}");
            assert_eq!(
                read(&url)
                    .map(|tls| tls.mode)
                    .map_err(|e| e.message().to_owned()),
                Ok::<TlsMode, _>(want),
                "{url}"
            );
        }
    }
}

#[test]
fn files_go_by_every_name_and_only_as_pem() {
    let tls = read(
        "jdbc:mysql://h/d?sslMode=VERIFY_CA&ssl-ca=file:/ca.pem&ssl-cert=/c.pem&ssl_key=/k.pem",
    )
    .unwrap();
    let files = [tls.authority, tls.certificate, tls.key].map(Option::unwrap_or_default);
    assert_eq!(files, ["/ca.pem", "/c.pem", "/k.pem"]);
    assert_eq!(
        read("jdbc:postgresql://h/d?sslmode=verify-full&sslrootcert=system")
            .unwrap()
            .authority,
        None
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_what_can() {
    for (params, want) in [
        ("useSSL=perhaps", "true or false"),
        ("sslMode=VERIFY", "is unknown"),
        ("sslMode=", "is unknown"),
        ("sslMode=DISABLED&useSSL=true", "contradict"),
        ("useSSL=false&requireSSL=true", "contradict"),
        (
            "sslMode=DISABLED&verifyServerCertificate=true",
            "contradict",
        ),
        ("sslMode=DISABLED&sslMode=REQUIRED", "twice"),
        ("ssl-mode=DISABLED&sslMode=REQUIRED", "twice"),
        (
            "useSSL=true&trustCertificateKeyStoreUrl=file:/t.jks",
            "keytool",
        ),
        (
            "useSSL=true&clientCertificateKeyStoreUrl=file:/t.jks",
            "sslCert=cert.pem",
        ),
        (
            "sslMode=verify-full&trustStore=/t.jks",
            "serverSslCert=ca.pem",
        ),
        ("sslMode=verify-full&keyStore=/k.p12", "openssl pkcs12"),
        ("sslMode=verify-full&serverSslCert=/t.jks", "keytool"),
        (
            "sslMode=verify-full&serverSslCert=classpath:ca.pem",
            "class path",
        ),
        ("sslmode=require&sslcert=/c.pem", "sslKey"),
        (
            "sslmode=require&sslcert=/c.pem&sslkey=/k.pk8",
            "openssl pkcs8",
        ),
        (
            "sslmode=require&sslcert=/c.pem&sslkey=/k.pem&sslpassword=geheim",
            "encrypted keys",
        ),
        ("sslmode=verify-full&sslcrl=/crl.pem", "revoked"),
        ("ssl=true&sslfactory=com.example.Mine", "Java classes"),
        (
            "ssl=true&sslfactory=org.postgresql.ssl.SingleCertValidatingFactory&sslfactoryarg=file:/x",
            "sslrootcert",
        ),
        (
            "sslmode=require&sslhostnameverifier=com.example.Mine",
            "Java classes",
        ),
        ("channel_binding=require", "verify-full"),
        ("sslmode=disable&channelBinding=require", "verify-full"),
        ("sslmode=disable&channelBinding=required", "is invalid"),
        ("gssEncMode=always", "is invalid"),
        ("sslMode=REQUIRED&tlsVersions=TLSv1.3", "TLS 1.2 and 1.3"),
        ("allowPublicKeyRetrieval=perhaps", "true or false"),
    ] {
        for scheme in ["jdbc:mysql", "jdbc:mariadb", "jdbc:postgresql"] {
            let url = format!("{scheme}://h/d?{params}");
            let error = read(&url).expect_err(&url);
            assert!(error.message().contains(want), "{url}: {error}");
            assert!(!error.message().contains("geheim"), "{url}: {error}");
        }
    }
}

#[test]
fn stores_and_keys_do_not_matter_where_tls_is_turned_off() {
    assert_eq!(
        read("jdbc:mysql://h/d?useSSL=false&trustCertificateKeyStoreUrl=file:/t.jks")
            .unwrap()
            .mode,
        Off
    );
    assert_eq!(read("jdbc:sqlite:/x.db").unwrap().mode, IfOffered);
}

#[test]
fn words_about_tls_that_nobody_knows_are_refused() {
    for scheme in ["jdbc:mysql", "jdbc:mariadb", "jdbc:postgresql"] {
        for params in [
            "sslFoo=true",
            "useTlsPlease=yes",
            "x-ssl=required",
            "tlsCipherSuites=A",
            "enabledSslCipherSuites=A&useSSL=true",
        ] {
            let error = read(&format!("{scheme}://h/d?{params}")).unwrap_err();
            let name = params.split('=').next().unwrap().to_ascii_lowercase();
            let message = error.message().to_ascii_lowercase();
            assert!(
                message.contains(&name) || message.contains("cipher suites"),
                "{params}: {error}"
            );
        }
    }
}

#[test]
fn keys_about_tls_say_what_parameters_say() {
    let tls = |key: &str, value: &str| {
        let config =
            connector_api::Config::from([("connection.url", "jdbc:mysql://h/d"), (key, value)]);
        ConnectionTarget::from_config(&config)
            .and_then(|target| target.tls())
            .map(|tls| tls.mode)
    };
    for key in [
        "connection.sslmode",
        "connection.ssl.mode",
        "connection.sslMode",
        "connection.tls.mode",
        "database.sslmode",
        "database.ssl.mode",
        "database.SSLMode",
        "Connection.SslMode",
        "sslmode",
        "ssl.mode",
    ] {
        assert_eq!(tls(key, "verify-full").unwrap(), VerifyFull, "{key}");
    }
    for key in ["connection.ssl.foo", "database.tls.thing", "ssl.whatever"] {
        let error = tls(key, "on").unwrap_err();
        assert!(error.message().contains("is about TLS"), "{key}: {error}");
    }
}

#[test]
fn a_key_that_the_server_sends_is_taken_only_where_the_url_says_so() {
    for (params, want) in [
        ("", ServerKey::Refused),
        ("sslMode=DISABLED", ServerKey::Refused),
        (
            "sslMode=DISABLED&allowPublicKeyRetrieval=false",
            ServerKey::Refused,
        ),
        ("useSSL=false&allowPublicKeyRetrieval=true", ServerKey::Sent),
        (
            "serverRsaPublicKeyFile=/k.pem",
            ServerKey::File("/k.pem".to_owned()),
        ),
        (
            "server-public-key-path=file:/k.pem&allowPublicKeyRetrieval=true",
            ServerKey::File("/k.pem".to_owned()),
        ),
    ] {
        for scheme in ["jdbc:mysql", "jdbc:mariadb", "mysql"] {
            let url = format!("{scheme}://h/d?{params}");
            assert_eq!(read(&url).unwrap().server_key, want, "{url}");
        }
    }
}
