//! Authentication and roles: a file of users and tokens with three roles. Without the file,
//! everybody may do everything.
//!
//! A line is `user NAME ROLE HASH` or `token NAME ROLE HASH`; `rowferry passwd` and `rowferry
//! token` print such lines. Passwords are stored as argon2id, tokens (which cannot be guessed) as
//! SHA-256. The file is reloaded when it changes.
//!
//! Neither an answer nor its duration shows whether a user exists. Credentials that were right
//! before from the same address stay valid while others guess; other checks are limited in number
//! and in time.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use connector_api::locks::TakeLock;
use connector_api::{Error, Result};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::gate::network;
use super::throttle::{LoginAttempt, LoginThrottle, TooMany};
use crate::settings::file;

/// How often the file is checked for changes.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Number of passwords that are checked at the same time: each check takes about 20 MB of memory
/// and 20 ms of CPU time, by design of argon2.
const CHECKS_AT_ONCE: usize = 1;
/// Number of passwords that may wait to be checked; further ones are refused.
const CHECKS_WAITING: usize = 32;
/// Maximum number of characters of an unknown user name in the log.
const NAME_SHOWN: usize = 64;
/// Number of correct passwords that are remembered, as digests.
const REMEMBERED: usize = 1000;

/// The permissions of an account; each role includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// May read everything except secrets.
    Viewer,
    /// May also pause, resume, stop and restart.
    Operator,
    /// May do everything.
    Admin,
}

impl Role {
    /// Returns the role's name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// All roles, in ascending order.
    pub(crate) const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Returns the role with that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Returns the role that a request requires; `None` if it needs no credentials.
    pub(super) fn needed(method: &Method, path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if ["/health", "/livez", "/readyz"].contains(&path) {
            return None;
        }
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return Some(match holds_rows(path) {
                true => Self::Operator,
                false => Self::Viewer,
            });
        }
        let verbs = ["/pause", "/resume", "/stop", "/restart", "/topics/reset"];
        // A connector may have the name of a verb.
        let below = path
            .strip_prefix("/connectors/")
            .and_then(|rest| rest.find('/').map(|slash| &rest[slash..]));
        let operates = below.is_some_and(|below| verbs.iter().any(|verb| below.ends_with(verb)))
            || below_own(path).is_some_and(|below| below == "/dlq/replay");
        Some(if operates {
            Self::Operator
        } else {
            Self::Admin
        })
    }
}

/// Returns the path below a connector of `/v1`, with its slash.
fn below_own(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1/connectors/")?;
    rest.find('/').map(|slash| &rest[slash..])
}

/// True if the answer holds rows: records of a topic, a single dead letter.
fn holds_rows(path: &str) -> bool {
    below_own(path).is_some_and(|below| below == "/records" || below.starts_with("/dlq/"))
}

type Sha = [u8; 32];

#[derive(Debug, Default)]
struct AccountTable {
    users: BTreeMap<String, (Role, String)>,
    tokens: Vec<(String, Role, Sha)>,
    /// A hash without a known password, which is checked for unknown users so that the answer takes
    /// as long as for a known one.
    nobody: String,
}

/// An authenticated user or token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserAccount {
    /// Name of the user or token.
    pub name: String,
    pub role: Role,
}

/// The result of checking a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// They belong to an account.
    Known(UserAccount),
    /// The request has none.
    Nothing,
    /// They are wrong.
    Wrong,
    /// They were not checked, because there were too many wrong ones before. The time to wait.
    TooMany(Duration),
}

/// The accounts in the file.
pub(crate) struct Authenticator {
    path: PathBuf,
    loaded: Mutex<LoadedAccounts>,
    verified: Mutex<HashSet<Sha>>,
    checks: Semaphore,
    waiting: Semaphore,
    throttle: Mutex<LoginThrottle>,
}

struct LoadedAccounts {
    accounts: Arc<AccountTable>,
    modified: Option<SystemTime>,
    checked: Instant,
}

impl Authenticator {
    /// Reads the file. Errors: `Config`, with the line.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let modified = modified(path);
        let loaded = LoadedAccounts {
            accounts: Arc::new(read(path)?),
            modified,
            checked: Instant::now(),
        };
        Ok(Self {
            path: path.to_owned(),
            loaded: Mutex::new(loaded),
            verified: Mutex::default(),
            checks: Semaphore::new(CHECKS_AT_ONCE),
            waiting: Semaphore::new(CHECKS_AT_ONCE + CHECKS_WAITING),
            throttle: Mutex::default(),
        })
    }

    /// Checks the credentials of a request.
    pub(crate) async fn account(&self, headers: &HeaderMap, from: IpAddr) -> Credentials {
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            return Credentials::Nothing;
        };
        let given = given.to_str().unwrap_or_default();
        let (scheme, credentials) = given.split_once(' ').unwrap_or((given, ""));
        let (accounts, credentials) = (self.accounts(), credentials.trim());
        if scheme.eq_ignore_ascii_case("Bearer") {
            let digest = sha(credentials);
            return match accounts
                .tokens
                .iter()
                .find(|(_, _, known)| *known == digest)
            {
                Some((name, role, _)) => Credentials::Known(UserAccount {
                    name: name.clone(),
                    role: *role,
                }),
                None => self.wrong(from),
            };
        }
        let decoded = STANDARD
            .decode(credentials)
            .ok()
            .filter(|_| scheme.eq_ignore_ascii_case("Basic"));
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded
            .as_deref()
            .and_then(|decoded| decoded.split_once(':'))
        {
            Some((name, password)) => self.user(&accounts, name, password, from).await,
            None => self.wrong(from),
        }
    }

    /// Records an unknown token, or credentials that cannot be read.
    fn wrong(&self, from: IpAddr) -> Credentials {
        match self.attempt(from, None) {
            Ok(_) => {
                tracing::warn!(%from, "a wrong token, or credentials that cannot be read");
                Credentials::Wrong
            }
            Err(after) => Credentials::TooMany(after),
        }
    }

    /// Checks a user's password, first against those that were right before from the same address.
    async fn user(
        &self,
        accounts: &AccountTable,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Credentials {
        let known = accounts.users.get(name);
        let hash = known.map_or(accounts.nobody.as_str(), |(_, hash)| hash);
        let digest = sha(&format!("{}\0{name}\0{password}\0{hash}", network(from)));
        let account = known.map(|(role, _)| UserAccount {
            name: name.to_owned(),
            role: *role,
        });
        if let Some(account) = &account
            && self.verified.take_lock().contains(&digest)
        {
            return Credentials::Known(account.clone());
        }
        let attempt = match self.attempt(from, Some(name)) {
            Ok(attempt) => attempt,
            Err(after) => return Credentials::TooMany(after),
        };
        let right = self.is_password(password, hash).await;
        match (right, account) {
            (None, _) => {
                self.give_back(attempt);
                Credentials::TooMany(Duration::from_secs(1))
            }
            (Some(true), Some(account)) => {
                self.give_back(attempt);
                self.remember(digest);
                Credentials::Known(account)
            }
            _ => {
                tracing::warn!(%from, user = shown(name), "a wrong user name or password");
                Credentials::Wrong
            }
        }
    }

    /// Records an attempt. Errors: how long to wait.
    fn attempt(&self, from: IpAddr, user: Option<&str>) -> Result<LoginAttempt, Duration> {
        let mut throttle = self.throttle.take_lock();
        let attempt = throttle.attempt(from, user, Instant::now());
        drop(throttle);
        attempt.map_err(|TooMany { after, first }| {
            if first {
                let user = user.map(shown).unwrap_or_default();
                tracing::warn!(%from, user,
                    "too many wrong passwords or tokens; further ones are not checked for a while");
            }
            after
        })
    }

    fn give_back(&self, attempt: LoginAttempt) {
        self.throttle.take_lock().give_back(attempt);
    }

    fn remember(&self, digest: Sha) {
        let mut verified = self.verified.take_lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest);
    }

    /// Checks a password against a hash; `None` if too many checks are in progress. argon2 is slow
    /// by design.
    async fn is_password(&self, password: &str, hash: &str) -> Option<bool> {
        let _place = self.waiting.try_acquire().ok()?;
        let _turn = self.checks.acquire().await.ok()?;
        let (password, hash) = (password.to_owned(), hash.to_owned());
        let check = move || {
            PasswordHash::new(&hash).is_ok_and(|h| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &h)
                    .is_ok()
            })
        };
        Some(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }

    fn accounts(&self) -> Arc<AccountTable> {
        let mut loaded = self.loaded.take_lock();
        if loaded.checked.elapsed() >= CHECK_EVERY {
            loaded.checked = Instant::now();
            let modified = modified(&self.path);
            if modified != loaded.modified {
                loaded.modified = modified;
                match read(&self.path) {
                    Ok(accounts) => loaded.accounts = Arc::new(accounts),
                    Err(error) => {
                        tracing::error!(%error,
                            "the file of users could not be reloaded; the previous users stay in \
                             effect");
                    }
                }
            }
        }
        Arc::clone(&loaded.accounts)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn read(path: &Path) -> Result<AccountTable> {
    let shown = path.display();
    let text = file::text(path, file::MAX_BYTES).map_err(|error| {
        Error::config(format!(
            "rowferry.auth.file {shown} cannot be read: {error}"
        ))
    })?;
    parse(&text).map_err(|(line, why)| {
        Error::config(format!("rowferry.auth.file {shown}, line {line}: {why}"))
    })
}

fn parse(text: &str) -> Result<AccountTable, (usize, &'static str)> {
    let mut accounts = AccountTable::default();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kind, name, role, hash] = words[..] else {
            if words.first().is_none_or(|first| first.starts_with('#')) {
                continue;
            }
            return Err((number, "write: user|token NAME viewer|operator|admin HASH"));
        };
        let role =
            Role::parse(role).ok_or((number, "the role must be viewer, operator or admin"))?;
        match kind {
            "user" if PasswordHash::new(hash).is_ok() => {
                drop(
                    accounts
                        .users
                        .insert(name.to_owned(), (role, hash.to_owned())),
                );
            }
            "user" => {
                return Err((
                    number,
                    "the hash is not an argon2 hash: create the line with rowferry passwd",
                ));
            }
            "token" => {
                let digest = URL_SAFE_NO_PAD
                    .decode(hash)
                    .ok()
                    .and_then(|bytes| Sha::try_from(bytes).ok());
                let digest = digest.ok_or((
                    number,
                    "the hash is not that of a token: create the line with rowferry token",
                ))?;
                accounts.tokens.push((name.to_owned(), role, digest));
            }
            _ => return Err((number, "a line begins with user or token")),
        }
    }
    // Takes as long as a real check; the result is ignored.
    let real = accounts.users.values().next().map(|(_, hash)| hash.clone());
    accounts.nobody = real.unwrap_or_else(|| {
        Argon2::default()
            .hash_password(b"nobody")
            .map(|h| h.to_string())
            .unwrap_or_default()
    });
    Ok(accounts)
}

/// Returns a name in the form in which it may be logged.
fn shown(name: &str) -> String {
    name.chars()
        .take(NAME_SHOWN)
        .flat_map(char::escape_debug)
        .collect()
}

fn sha(text: &str) -> Sha {
    Sha256::digest(text.as_bytes()).into()
}

/// Returns the line for a user with that password. Errors: `Config` for a name with spaces; `Fatal`
/// if no random numbers are available.
pub(crate) fn user_line(name: &str, role: Role, password: &str) -> Result<String> {
    let failed = |error: argon2::password_hash::Error| {
        Error::fatal(format!("the password cannot be hashed: {error}"))
    };
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(failed)?;
    Ok(format!("user {} {} {hash}", one_word(name)?, role.name()))
}

/// Returns the line for a token. Errors: `Config` for a name with spaces.
pub(crate) fn token_line(name: &str, role: Role, token: &str) -> Result<String> {
    Ok(format!(
        "token {} {} {}",
        one_word(name)?,
        role.name(),
        URL_SAFE_NO_PAD.encode(sha(token))
    ))
}

fn one_word(name: &str) -> Result<&str> {
    let bad = name.is_empty()
        || name.starts_with('#')
        || name.contains([':', ' '])
        || name.contains(char::is_whitespace);
    if bad {
        Err(Error::config("the name must be one word without a colon"))
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method, header};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::{Authenticator, Credentials, Role, UserAccount, parse, token_line, user_line};

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn roles_follow_what_a_request_changes() {
        for (method, path, role) in [
            (Method::GET, "/health", None),
            (Method::GET, "/livez", None),
            (Method::GET, "/readyz", None),
            (Method::GET, "/metrics", Some(Role::Viewer)),
            (Method::GET, "/connectors/x/config", Some(Role::Viewer)),
            (Method::PUT, "/connectors/x/pause/", Some(Role::Operator)),
            (
                Method::POST,
                "/connectors/x/tasks/0/restart",
                Some(Role::Operator),
            ),
            (Method::PUT, "/connectors/x/config", Some(Role::Admin)),
            (Method::POST, "/connectors", Some(Role::Admin)),
            (Method::DELETE, "/connectors/pause", Some(Role::Admin)),
            (Method::PUT, "/admin/loggers/pause", Some(Role::Admin)),
            (Method::PATCH, "/connectors/x/offsets", Some(Role::Admin)),
        ] {
            assert_eq!(Role::needed(&method, path), role, "{method} {path}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, line) in [
            ("user a admin", 1),
            ("# c\n\nuser a king $argon2id$x", 3),
            ("user a admin x", 1),
            ("x y admin z", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[tokio::test]
    async fn users_and_tokens_are_known_by_their_credentials_alone() {
        let path = std::env::temp_dir().join(format!("rowferry-auth-{}", std::process::id()));
        let user = user_line("ann", Role::Admin, "pa:ss").unwrap();
        let token = token_line("ci", Role::Operator, "t0ken").unwrap();
        std::fs::write(&path, format!("# people\n{user}\n{token}\n")).unwrap();
        let auth = Authenticator::open(&path).unwrap();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (given, want) in [
            (basic("ann:pa:ss"), Some(("ann", Role::Admin))),
            (basic("ann:pa:ss"), Some(("ann", Role::Admin))),
            (basic("ann:wrong"), None),
            (basic("bob:pa:ss"), None),
            ("bearer t0ken".to_owned(), Some(("ci", Role::Operator))),
            ("Bearer other".to_owned(), None),
            ("Basic !!".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(&given).unwrap(),
            );
            let account = auth.account(&headers, HOME).await;
            let want = want.map_or(Credentials::Wrong, |(name, role)| {
                Credentials::Known(UserAccount {
                    name: name.to_owned(),
                    role,
                })
            });
            assert_eq!(account, want, "{given}");
        }
        assert_eq!(
            auth.account(&HeaderMap::new(), HOME).await,
            Credentials::Nothing
        );
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn guesses_are_turned_away_alike_for_users_that_there_are_and_are_not_and_others_come_in()
    {
        let path = std::env::temp_dir().join(format!("rowferry-guesses-{}", std::process::id()));
        let lines = [
            user_line("ann", Role::Admin, "right"),
            user_line("bob", Role::Viewer, "right"),
        ];
        let token = token_line("ci", Role::Operator, "t0ken").unwrap();
        std::fs::write(
            &path,
            format!(
                "{}\n{}\n{token}\n",
                lines[0].as_ref().unwrap(),
                lines[1].as_ref().unwrap()
            ),
        )
        .unwrap();
        let auth = Authenticator::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let away: IpAddr = "10.0.0.9".parse().unwrap();
        let asked = async |user: &str, password: &str, from: IpAddr| {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            let value = HeaderValue::from_str(&format!("Basic {pair}")).unwrap();
            auth.account(
                &HeaderMap::from_iter([(header::AUTHORIZATION, value)]),
                from,
            )
            .await
        };
        assert!(matches!(
            asked("ann", "right", HOME).await,
            Credentials::Known(_)
        ));
        for user in ["ann", "nobody"] {
            let mut outcomes = Vec::new();
            for n in 0..12 {
                outcomes.push(asked(user, &format!("guess{n}"), HOME).await);
            }
            assert!(
                outcomes[..10]
                    .iter()
                    .all(|outcome| *outcome == Credentials::Wrong),
                "{user}: {outcomes:?}"
            );
            assert!(
                matches!(outcomes[11], Credentials::TooMany(after) if after <= Duration::from_secs(6)),
                "{user}"
            );
        }
        assert!(
            matches!(asked("ann", "right", HOME).await, Credentials::Known(_)),
            "right before, right now"
        );
        assert!(
            matches!(asked("bob", "right", HOME).await, Credentials::Known(_)),
            "another user"
        );
        assert!(
            matches!(asked("ann", "right", away).await, Credentials::Known(_)),
            "the same user from elsewhere"
        );
        for _ in 0..100 {
            asked("x", "y", HOME).await;
            auth.account(
                &HeaderMap::from_iter([(
                    header::AUTHORIZATION,
                    HeaderValue::from_static("Bearer no"),
                )]),
                HOME,
            )
            .await;
        }
        let token = HeaderMap::from_iter([(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer t0ken"),
        )]);
        assert!(
            matches!(auth.account(&token, HOME).await, Credentials::Known(_)),
            "a right token is never in doubt"
        );
        assert!(matches!(
            asked("bob", "wrong", HOME).await,
            Credentials::TooMany(_)
        ));
    }

    #[test]
    fn names_are_shown_on_one_short_line() {
        let shown = super::shown(&format!("a\n\u{1b}[31m\"{}", "x".repeat(1000)));
        assert!(
            shown.starts_with(r#"a\n\u{1b}[31m\""#) && shown.len() < 100,
            "{shown}"
        );
    }
}
