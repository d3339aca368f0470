//! Who may do what: a file of users and tokens, three roles. Without the file, everybody may do everything.
//!
//! A line is `user NAME ROLE HASH` or `token NAME ROLE HASH`; `rowferry passwd` and `rowferry token` print such lines.
//! Passwords are kept as argon2id, tokens (which nobody can guess) as SHA-256. The file is read again when it changes.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use connector_api::{Error, Result};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::settings::file;

/// How often the file is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Passwords checked at once: each check takes some 20 MB for some 20 ms, on purpose.
const CHECKS_AT_ONCE: usize = 2;
/// Passwords found right that are remembered, as digests.
const REMEMBERED: usize = 1000;

/// What somebody may do; each role may do what the ones before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything but secrets.
    Viewer,
    /// Pause, resume, stop and restart too.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The role that a request takes; `None` where nobody is asked.
    pub(super) fn needed(method: &Method, path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if path == "/health" {
            return None;
        }
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return Some(Self::Viewer);
        }
        let verbs = ["/pause", "/resume", "/stop", "/restart", "/topics/reset"];
        // A connector may be named like a verb.
        let below = path.strip_prefix("/connectors/").and_then(|rest| rest.find('/').map(|slash| &rest[slash..]));
        let operates = below.is_some_and(|below| verbs.iter().any(|verb| below.ends_with(verb)));
        Some(if operates { Self::Operator } else { Self::Admin })
    }
}

type Sha = [u8; 32];

#[derive(Debug, Default)]
struct Accounts {
    users: BTreeMap<String, (Role, String)>,
    tokens: Vec<(String, Role, Sha)>,
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name of the user or token.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The accounts of the file.
pub struct Auth {
    path: PathBuf,
    loaded: Mutex<Loaded>,
    verified: Mutex<HashSet<Sha>>,
    checks: Semaphore,
}

struct Loaded {
    accounts: Arc<Accounts>,
    modified: Option<SystemTime>,
    checked: Instant,
}

impl Auth {
    /// Reads the file. Errors: `Config`, with the line.
    pub fn open(path: &Path) -> Result<Self> {
        let modified = modified(path);
        let loaded = Loaded { accounts: Arc::new(read(path)?), modified, checked: Instant::now() };
        Ok(Self {
            path: path.to_owned(),
            loaded: Mutex::new(loaded),
            verified: Mutex::default(),
            checks: Semaphore::new(CHECKS_AT_ONCE),
        })
    }

    /// Whose credentials a request carries.
    pub async fn account(&self, headers: &HeaderMap) -> Option<Account> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = given.split_once(' ')?;
        let accounts = self.accounts();
        if scheme.eq_ignore_ascii_case("Bearer") {
            let digest = sha(credentials.trim());
            let token = accounts.tokens.iter().find(|(_, _, known)| *known == digest);
            return token.map(|(name, role, _)| Account { name: name.clone(), role: *role });
        }
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        let (role, hash) = accounts.users.get(name)?;
        let account = Account { name: name.to_owned(), role: *role };
        self.is_password(name, password, hash).await.then_some(account)
    }

    /// Checks a password, once for each that is right: argon2 is slow on purpose.
    async fn is_password(&self, name: &str, password: &str, hash: &str) -> bool {
        let digest = sha(&format!("{name}\0{password}\0{hash}"));
        let known = |set: &Mutex<HashSet<Sha>>| set.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        if known(&self.verified) {
            return true;
        }
        let Ok(_slot) = self.checks.acquire().await else { return false };
        let (password, hash) = (password.to_owned(), hash.to_owned());
        let check = move || {
            PasswordHash::new(&hash).is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok())
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        if right {
            let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
            verified.insert(digest);
        }
        right
    }

    fn accounts(&self) -> Arc<Accounts> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.checked.elapsed() >= CHECK_EVERY {
            loaded.checked = Instant::now();
            let modified = modified(&self.path);
            if modified != loaded.modified {
                loaded.modified = modified;
                match read(&self.path) {
                    Ok(accounts) => loaded.accounts = Arc::new(accounts),
                    Err(error) => tracing::error!(%error, "the file of users stays as it was read before"),
                }
            }
        }
        Arc::clone(&loaded.accounts)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn read(path: &Path) -> Result<Accounts> {
    let shown = path.display();
    let text = file::text(path, file::MAX_BYTES)
        .map_err(|error| Error::config(format!("rowferry.auth.file {shown} cannot be read: {error}")))?;
    parse(&text).map_err(|(line, why)| Error::config(format!("rowferry.auth.file {shown}, line {line}: {why}")))
}

fn parse(text: &str) -> Result<Accounts, (usize, &'static str)> {
    let mut accounts = Accounts::default();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kind, name, role, hash] = words[..] else {
            if words.first().is_none_or(|first| first.starts_with('#')) {
                continue;
            }
            return Err((number, "write: user|token NAME viewer|operator|admin HASH"));
        };
        let role = Role::parse(role).ok_or((number, "the role is viewer, operator or admin"))?;
        match kind {
            "user" if PasswordHash::new(hash).is_ok() => {
                drop(accounts.users.insert(name.to_owned(), (role, hash.to_owned())));
            }
            "user" => return Err((number, "the hash is none of argon2: make the line with rowferry passwd")),
            "token" => {
                let digest = URL_SAFE_NO_PAD.decode(hash).ok().and_then(|bytes| Sha::try_from(bytes).ok());
                let digest =
                    digest.ok_or((number, "the hash is none of a token: make the line with rowferry token"))?;
                accounts.tokens.push((name.to_owned(), role, digest));
            }
            _ => return Err((number, "a line begins with user or token")),
        }
    }
    Ok(accounts)
}

fn sha(text: &str) -> Sha {
    Sha256::digest(text.as_bytes()).into()
}

/// The line of a user with that password. Errors: `Config` for a name with blanks; `Fatal` without a source of chance.
pub fn user_line(name: &str, role: Role, password: &str) -> Result<String> {
    let failed = |error: argon2::password_hash::Error| Error::fatal(format!("the password cannot be hashed: {error}"));
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(failed)?;
    Ok(format!("user {} {} {hash}", one_word(name)?, role.name()))
}

/// The line of a token. Errors: `Config` for a name with blanks.
pub fn token_line(name: &str, role: Role, token: &str) -> Result<String> {
    Ok(format!("token {} {} {}", one_word(name)?, role.name(), URL_SAFE_NO_PAD.encode(sha(token))))
}

fn one_word(name: &str) -> Result<&str> {
    let bad =
        name.is_empty() || name.starts_with('#') || name.contains([':', ' ']) || name.contains(char::is_whitespace);
    if bad { Err(Error::config("the name has to be one word without a colon")) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method, header};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{Auth, Role, parse, token_line, user_line};

    #[test]
    fn roles_follow_what_a_request_changes() {
        for (method, path, role) in [
            (Method::GET, "/health", None),
            (Method::GET, "/connectors/x/config", Some(Role::Viewer)),
            (Method::PUT, "/connectors/x/pause/", Some(Role::Operator)),
            (Method::POST, "/connectors/x/tasks/0/restart", Some(Role::Operator)),
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
        for (text, line) in
            [("user a admin", 1), ("# c\n\nuser a king $argon2id$x", 3), ("user a admin x", 1), ("x y admin z", 1)]
        {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[tokio::test]
    async fn users_and_tokens_are_known_by_their_credentials_alone() {
        let path = std::env::temp_dir().join(format!("rowferry-auth-{}", std::process::id()));
        let user = user_line("ann", Role::Admin, "pa:ss").unwrap();
        let token = token_line("ci", Role::Operator, "t0ken").unwrap();
        std::fs::write(&path, format!("# people\n{user}\n{token}\n")).unwrap();
        let auth = Auth::open(&path).unwrap();
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
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&given).unwrap());
            let account = auth.account(&headers).await;
            assert_eq!(account.as_ref().map(|a| (a.name.as_str(), a.role)), want, "{given}");
        }
        assert!(auth.account(&HeaderMap::new()).await.is_none());
        std::fs::remove_file(path).unwrap();
    }
}
