//! Against a server of this test's own that gives prepared answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::{HttpClient, HttpError, HttpRequest, HttpSettings, Method, StatusCode, wait_for};

const LONG: Duration = Duration::from_secs(60);

/// A server that gives one connection after the other one of these answers, and says what it was sent.
fn server(answers: Vec<String>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tells, hears) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            tells.send(request(&mut stream)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, hears)
}

fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        text.push_str(&line.to_lowercase());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text.push_str(&String::from_utf8(body).unwrap());
    text
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
}

fn ask(address: &str, method: Method, limit: Duration) -> Result<(StatusCode, String), HttpError> {
    let client = HttpClient::open(&HttpSettings {
        address,
        authorization: Some("Bearer secret"),
        authorities: None,
        connect_limit: limit,
        limit,
        max_answer: 10,
    })
    .unwrap();
    let body = (method != Method::GET).then(|| ("text/plain", b"text".to_vec()));
    let asked = wait_for(LONG, async move {
        let request = HttpRequest {
            method: &method,
            path: "/path?a=b",
            accept: "text/plain",
            body,
        };
        client.send(request).await
    });
    let (status, body) = asked.unwrap()?;
    Ok((status, String::from_utf8(body).unwrap()))
}

#[test]
fn what_is_asked_for_is_answered_whatever_the_status_is() {
    let (address, hears) = server(vec![answer("200 OK", "0123456789"), answer("404 No", "x")]);
    let asked = ask(&address, Method::GET, LONG).unwrap();
    assert_eq!(asked, (StatusCode::OK, "0123456789".to_owned()));
    let seen = hears.recv().unwrap();
    assert!(
        seen.starts_with("get /path?a=b http/1.1") && seen.contains("authorization: bearer secret"),
        "{seen}"
    );
    let asked = ask(&address, Method::POST, LONG).unwrap();
    assert_eq!(asked, (StatusCode::NOT_FOUND, "x".to_owned()));
    let seen = hears.recv().unwrap();
    assert!(
        seen.starts_with("post ") && seen.ends_with("text"),
        "{seen}"
    );
}

#[test]
fn a_redirect_is_followed_without_secrets_and_by_get_alone() {
    let (other, other_hears) = server(vec![answer("200 OK", "there")]);
    let (address, hears) = server(vec![
        redirect("/elsewhere"),
        redirect(&format!("{other}/there")),
        redirect(&other),
    ]);
    let asked = ask(&address, Method::GET, LONG).unwrap();
    assert_eq!(asked, (StatusCode::OK, "there".to_owned()));
    for path in ["/path?a=b", "/elsewhere"] {
        let seen = hears.recv().unwrap();
        assert!(
            seen.starts_with(&format!("get {path} ")) && seen.contains("secret"),
            "the same server is asked with the secret: {seen}"
        );
    }
    let seen = other_hears.recv().unwrap();
    assert!(
        seen.starts_with("get /there ") && !seen.contains("secret"),
        "another server sees no secret: {seen}"
    );
    let (status, _) = ask(&address, Method::POST, LONG).unwrap();
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
}

#[test]
fn redirects_that_go_on_are_not_followed_for_ever() {
    let (address, _hears) = server(vec![redirect("/path"); 6]);
    let error = ask(&address, Method::GET, LONG).unwrap_err().to_string();
    assert_eq!(error, "it redirects more than 5 times");
}

#[test]
fn answers_that_are_long_or_late_or_none_are_errors() {
    let (address, _hears) = server(vec![answer("200 OK", "0123456789x")]);
    let error = ask(&address, Method::GET, LONG).unwrap_err().to_string();
    assert_eq!(error, "the answer is longer than 10 bytes");
    let error = ask(&address, Method::GET, LONG).unwrap_err().to_string();
    assert!(
        error.contains("refused") || error.contains("reset"),
        "nobody listens any more: {error}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let error = ask(&address, Method::GET, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, HttpError::Late(_)), "{error}");
}
