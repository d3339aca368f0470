//! Logins by `caching_sha2_password` without TLS: what a MySQL server that wants all of the password gets.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::unique;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::greeting;
use crate::lab;

const PASSWORD: &str = "CANARY-encrypted";

/// A packet of a server, and what the client answers; without its head.
async fn asked(stream: &mut TcpStream, number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    stream
        .write_all(&[&length[..3], &[number], payload].concat())
        .await
        .unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    let mut heard = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut heard).await.unwrap();
    heard
}

/// Logs a client in by `caching_sha2_password`, named in the greeting or by a switch with a nonce of its own, and asks for
/// all of the password. Returns the nonce that counts, the scrambled password and what was sent in the end.
async fn logged_in(listener: TcpListener, switches: bool) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    const PLUGIN: &str = "caching_sha2_password";
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = greeting(if switches {
        "mysql_native_password"
    } else {
        PLUGIN
    });
    let login = asked(&mut stream, 0, &greeting.split_off(4)).await;
    if switches {
        let nonce = b"abcdefghijklmnopqrst";
        let scrambled = asked(
            &mut stream,
            2,
            &[b"\xfe", PLUGIN.as_bytes(), b"\0", nonce, b"\0"].concat(),
        )
        .await;
        let sent = asked(&mut stream, 4, &[1, 4]).await;
        return (nonce.to_vec(), scrambled, sent);
    }
    let sent = asked(&mut stream, 2, &[1, 4]).await;
    // flags, sizes and reserved bytes; the user; a length and the scrambled password
    (
        b"AAAAAAAABBBBBBBBBBBB".to_vec(),
        login[32 + 2 + 1..][..32].to_vec(),
        sent,
    )
}

fn openssl(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b.iter().cycle()).map(|(a, b)| a ^ b).collect()
}

#[tokio::test]
async fn a_password_is_encrypted_by_the_named_key_and_by_the_nonce_that_came_last() {
    let folder = lab().scratch().path().join(unique("rsa"));
    std::fs::create_dir_all(&folder).unwrap();
    openssl(&folder, &["genrsa", "-out", "key.pem", "2048"]);
    openssl(
        &folder,
        &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"],
    );
    let public = folder.join("public.pem").display().to_string();
    for switches in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(logged_in(listener, switches));
        let url = format!(
            "jdbc:mysql://127.0.0.1:{port}/d?sslMode=DISABLED&serverRsaPublicKeyFile={public}"
        );
        let config = json!({"connector.class": "JdbcSource", "name": "asked", "mode": "bulk", "topic.prefix": "asked_",
            "connection.url": url, "connection.user": "u", "connection.password": PASSWORD, "connection.attempts": "1"});
        let rest = lab().worker().rest();
        let answer = rest
            .put("/connector-plugins/JdbcSource/config/validate", &config)
            .await
            .expect(200);
        let (nonce, scrambled, sent) = heard
            .await
            .unwrap_or_else(|error| panic!("{switches}: {error}: {}", answer.text));
        // XOR(SHA256(password), SHA256(SHA256(SHA256(password)), nonce)), as MySQL's manual has it
        let once = Sha256::digest(PASSWORD);
        let seeded = Sha256::digest([&Sha256::digest(once)[..], &nonce].concat());
        assert_eq!(scrambled, xor(&once, &seeded), "{switches}");
        // no request for the server's own key, which is one byte, but the password: 2048 bits
        assert_eq!(sent.len(), 256, "{switches}");
        std::fs::write(folder.join("sent"), &sent).unwrap();
        let decrypt = [
            "pkeyutl",
            "-decrypt",
            "-inkey",
            "key.pem",
            "-pkeyopt",
            "rsa_padding_mode:oaep",
            "-in",
            "sent",
        ];
        let decrypted = openssl(&folder, &decrypt);
        assert_eq!(
            xor(&decrypted, &nonce),
            [PASSWORD.as_bytes(), b"\0"].concat(),
            "{switches}"
        );
    }
}
