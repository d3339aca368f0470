//! Guesses at passwords and tokens: slowed down, logged, and no way to find out user names.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use testkit::{Rowferry, Settings, unique};

use super::{address, header, raw, status};
use crate::{SOON, lab};

fn line(args: &[&str], input: &str) -> String {
    crate::access::rowferry(args, input).0
}

/// A worker with the users ann and bob, whose passwords are `right`.
fn worker(name: &str) -> Rowferry {
    let name = unique(name);
    let file = lab().scratch().path().join(format!("{name}-users"));
    let users = ["ann", "bob"].map(|user| line(&["passwd", user, "--role", "admin"], "right\n"));
    std::fs::write(&file, users.concat()).unwrap();
    Rowferry::start(
        lab().scratch(),
        Settings::dev(&name).with("rowferry.auth.file", &file.display().to_string()),
    )
}

async fn login(address: &str, user: &str, password: &str) -> (u16, String) {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    with(address, &format!("Basic {pair}")).await
}

async fn with(address: &str, authorization: &str) -> (u16, String) {
    let request = format!(
        "GET /connectors HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(address, request.as_bytes(), SOON).await;
    (status(&answer), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_logins_is_slowed_down_and_right_ones_come_in() {
    let worker = worker("logins");
    let address = address(&worker);
    assert_eq!(login(&address, "ann", "right").await.0, 200);
    let began = Instant::now();
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..400 {
        let address = address.clone();
        guesses.spawn(async move { login(&address, "ann", &format!("guess{n}\u{7}\n")).await });
    }
    let (mut wrong, mut slowed, mut right) = (0, 0, 0);
    while !guesses.is_empty() {
        tokio::select! {
            Some(guess) = guesses.join_next() => match guess.unwrap() {
                (401, _) => wrong += 1,
                (429, answer) => {
                    let after: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
                    assert!((1..=7).contains(&after), "{answer}");
                    slowed += 1;
                }
                (other, answer) => panic!("{other}: {answer}"),
            },
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                assert_eq!(login(&address, "ann", "right").await.0, 200, "who was right before comes in");
                right += 1;
            }
        }
    }
    assert!(
        (8..=30).contains(&wrong) && slowed > 300,
        "{wrong} wrong, {slowed} slowed, {right} right meanwhile"
    );
    assert_eq!(
        login(&address, "ann", "right").await.0,
        200,
        "who was right before comes in"
    );
    assert_eq!(
        login(&address, "bob", "right").await.0,
        200,
        "another user's first login"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    let log = worker.log();
    assert!(
        log.contains("wrong user name or password") && log.contains("ann"),
        "{log}"
    );
    assert!(!log.contains("guess"), "{log}");
    let lines = log.lines().filter(|line| line.contains("wrong")).count();
    assert!(lines < 50, "{lines} lines about 400 guesses");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_tokens_cannot_be_found_out() {
    let worker = worker("names");
    let address = address(&worker);
    // Neither the answers nor their times tell names that there are from others.
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..8 {
        for (user, times) in ["ann", "nobody\n[31m"].into_iter().zip(&mut times) {
            let began = Instant::now();
            let (status, answer) = login(&address, user, &format!("guess{n}")).await;
            times.push(began.elapsed());
            assert!(
                status == 401 && answer.contains("User cannot access the resource."),
                "{answer}"
            );
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    assert!(
        known / unknown < 3.0 && unknown / known < 3.0,
        "{known} s for a user, {unknown} s for nobody"
    );
    for _ in 0..8 {
        login(&address, "ann", "x").await;
        login(&address, "nobody\n[31m", "x").await;
    }
    let refused = [
        login(&address, "ann", "x").await,
        login(&address, "nobody\n[31m", "x").await,
    ];
    assert_eq!(refused.map(|(status, _)| status), [429, 429]);
    // Tokens, and what is no credentials.
    let mut last = 0;
    for n in 0..60 {
        last = with(&address, &format!("Bearer guess{n}")).await.0;
    }
    assert_eq!(last, 429);
    assert_eq!(with(&address, "Negotiate x").await.0, 429);
    // Without any, one is asked for them as before.
    let plain = b"GET /connectors HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let plain = raw(&address, plain, SOON).await;
    assert!(
        status(&plain) == 401 && header(&plain, "www-authenticate").is_some(),
        "{plain}"
    );
    let log = worker.log();
    assert!(
        log.contains("nobody\\\\n") && !log.contains("guess"),
        "{log}"
    );
}
