//! Handles each parameter of a URL that is not about TLS: applied, refused, or reported to have no
//! effect. Pure. docs/databases.md has the table.

mod tables;

use connector_api::config::near;
use connector_api::{Error, Result};

use self::tables::{
    CHOICES_OF_POSTGRES, FLAGS_OF_MYSQL, FLAGS_OF_POSTGRES, ParameterAdvice, REFUSED,
    RESERVED_BY_MYSQL, RESERVED_BY_POSTGRES, SUPPORTED_BY_ALL, SUPPORTED_BY_MYSQL,
    SUPPORTED_BY_POSTGRES, WITHOUT_EFFECT,
};
use super::{DatabaseKind, UrlScheme, tls};

/// The role of a server that a URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server that accepts writes.
    Primary,
    /// A read-only replica.
    Standby,
}

/// Returns warnings about the parameters: each that has no effect, and why.
/// Errors: `Config` for a protective setting that cannot be honoured.
pub(super) fn warnings(scheme: UrlScheme, params: &[(String, String)]) -> Result<Vec<String>> {
    let database = scheme.database();
    check_values(database, params)?;
    let mut texts = Vec::new();
    let asked = |known: &str| {
        params
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, v)| v.clone())
    };
    role(scheme, asked)?;
    for name in role_parameters(database) {
        if asked(name).is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("prefer"))
        {
            texts.push(format!(
                "{name} has no effect: no kind of server is preferred; the first host in the URL \
                 that answers is used"
            ));
        }
    }
    for (name, value) in params
        .iter()
        .filter(|(name, _)| !is_supported(database, name) && !tls::is_about_tls(name))
    {
        let of = |table: &'static [ParameterAdvice]| {
            let listed = |(names, _): &&ParameterAdvice| {
                names.iter().any(|known| known.eq_ignore_ascii_case(name))
            };
            table.iter().find(listed).map(|(_, why)| *why)
        };
        if let Some(why) = of(REFUSED).filter(|_| !is_off(value)) {
            return Err(bad(format!("{name}: {why}")));
        }
        texts.push(match of(WITHOUT_EFFECT).or(of(REFUSED)) {
            Some(why) => format!("{name} has no effect: {why}"),
            None => match near(name, known(database)) {
                Some(known) => {
                    format!("{name} is unknown and has no effect; did you mean {known}?")
                }
                None => format!("{name} is unknown and has no effect"),
            },
        });
    }
    Ok(texts)
}

/// Errors: `Config` for a value that its parameter cannot have. The drivers refuse it, too.
fn check_values(database: DatabaseKind, params: &[(String, String)]) -> Result<()> {
    let (flags, choices) = match database {
        DatabaseKind::MySql => (FLAGS_OF_MYSQL, &[][..]),
        DatabaseKind::Postgres => (FLAGS_OF_POSTGRES, CHOICES_OF_POSTGRES),
        // checked when they are applied
        DatabaseKind::Sqlite => (&[][..], &[][..]),
    };
    for (name, value) in params {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if flags.iter().any(is) && truth(value).is_none() {
            return Err(not_true_or_false(name, value));
        }
        let words = choices.iter().find(|(known, _)| is(known));
        if let Some((_, words)) = words
            && !words
                .iter()
                .any(|word| word.eq_ignore_ascii_case(value.trim()))
        {
            return Err(bad(format!(
                "{name}={value} is invalid; write {}",
                words.join(" or ")
            )));
        }
    }
    Ok(())
}

/// Parses a truth value; a parameter without a value is true.
pub(crate) fn truth(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The error of a parameter that must be true or false.
pub(super) fn not_true_or_false(name: &str, value: &str) -> Error {
    bad(format!("{name}={value} is invalid; write true or false"))
}

/// Returns the server role that PostgreSQL's URLs ask for, with the parameter that does.
/// Errors: `Config` for an unknown role.
pub(super) fn role(
    scheme: UrlScheme,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Role, &'static str)>> {
    for name in role_parameters(scheme.database()) {
        let Some(value) = get(name) else { continue };
        return match value.trim().to_ascii_lowercase().as_str() {
            "primary" | "master" | "read-write" => Ok(Some((Role::Primary, name))),
            "secondary" | "slave" | "standby" | "read-only" => Ok(Some((Role::Standby, name))),
            lower if lower.is_empty() || lower == "any" || lower.starts_with("prefer") => continue,
            _ => Err(bad(format!(
                "{name}: {value} is not a kind of server; use any, primary or secondary"
            ))),
        };
    }
    Ok(None)
}

/// Returns the parameters that ask for a role of the server.
fn role_parameters(database: DatabaseKind) -> impl Iterator<Item = &'static str> {
    let names: &[_] = match database {
        DatabaseKind::MySql | DatabaseKind::Sqlite => &[],
        DatabaseKind::Postgres => &["targetServerType", "target_session_attrs"],
    };
    names.iter().copied()
}

/// True if transactions are read-only.
fn reads_only(get: &impl Fn(&str) -> Option<String>) -> bool {
    let ignored =
        get("readOnlyMode").is_some_and(|mode| mode.trim().eq_ignore_ascii_case("ignore"));
    !ignored && get("readOnly").is_some_and(|value| !is_off(&value))
}

/// Errors: `Config` if a URL makes sessions read-only.
pub(super) fn check_writable(
    scheme: UrlScheme,
    get: impl Fn(&str) -> Option<String>,
) -> Result<()> {
    let sets = |pair: &(String, String), names: &[&str]| {
        names.contains(&pair.0.as_str()) && !is_off(&pair.1)
    };
    let keeps = match scheme.database() {
        DatabaseKind::Sqlite => (get("mode").as_deref() == Some("ro")).then_some("mode"),
        DatabaseKind::MySql | DatabaseKind::Postgres if reads_only(&get) => Some("readOnly"),
        DatabaseKind::MySql => {
            let variables = get("sessionVariables").unwrap_or_default();
            let pair = |part: &str| {
                let (name, value) = part.split_once('=')?;
                let name = name
                    .trim()
                    .trim_end_matches(':')
                    .trim()
                    .to_ascii_lowercase();
                Some((
                    name.rsplit(['.', ' ', '@']).next()?.to_owned(),
                    value.to_owned(),
                ))
            };
            let names = ["transaction_read_only", "tx_read_only"];
            assignments(&variables)
                .filter_map(pair)
                .any(|pair| sets(&pair, &names))
                .then_some("sessionVariables")
        }
        DatabaseKind::Postgres => match role(scheme, &get)? {
            Some((Role::Standby, name)) => Some(name),
            _ => {
                let names = ["default_transaction_read_only", "transaction_read_only"];
                let settings = options(&get("options").unwrap_or_default())?;
                settings
                    .iter()
                    .any(|pair| sets(pair, &names))
                    .then_some("options")
            }
        },
    };
    match keeps {
        Some(name) => Err(bad(format!(
            "{name} makes sessions read-only, but a sink writes: remove it"
        ))),
        None => Ok(()),
    }
}

fn is_off(value: &str) -> bool {
    ["", "false", "0", "off", "no"]
        .iter()
        .any(|off| value.trim().eq_ignore_ascii_case(off))
}

fn supported(database: DatabaseKind) -> impl Iterator<Item = &'static str> {
    let own = match database {
        DatabaseKind::MySql => SUPPORTED_BY_MYSQL,
        DatabaseKind::Postgres => SUPPORTED_BY_POSTGRES,
        DatabaseKind::Sqlite => &super::sqlite::OPTIONS,
    };
    SUPPORTED_BY_ALL.iter().chain(own).copied()
}

/// True if a parameter has an effect here.
fn is_supported(database: DatabaseKind, name: &str) -> bool {
    supported(database).any(|known| known.eq_ignore_ascii_case(name))
}

fn known(database: DatabaseKind) -> impl Iterator<Item = &'static str> {
    supported(database).chain(
        WITHOUT_EFFECT
            .iter()
            .chain(REFUSED)
            .flat_map(|(names, _)| names.iter().copied()),
    )
}

/// Returns the SQL that a session begins with, besides what the driver itself sends.
/// Errors: `Config` for variables that users must not set.
pub(super) fn first_statements(
    scheme: UrlScheme,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let is_read_only = reads_only(&get);
    let mut statements = Vec::new();
    match scheme.database() {
        DatabaseKind::MySql => {
            if let Some(variables) = get("sessionVariables") {
                let set: Vec<String> = assignments(&variables)
                    .map(session_variable)
                    .collect::<Result<_>>()?;
                if !set.is_empty() {
                    statements.push(format!("SET {}", set.join(", ")));
                }
            }
            if is_read_only {
                statements.push("SET SESSION TRANSACTION READ ONLY".to_owned());
            }
        }
        DatabaseKind::Postgres if is_read_only => {
            statements.push("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY".to_owned());
        }
        DatabaseKind::Postgres | DatabaseKind::Sqlite => {}
    }
    Ok(statements)
}

/// Splits `a=1,b='x,y'` and `a=1;b=2`, without splitting quotes and brackets.
fn assignments(text: &str) -> impl Iterator<Item = &str> {
    let (mut quote, mut depth) = (None, 0_usize);
    text.split(move |c: char| {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',' | ';') => return depth == 0,
            _ => {}
        }
        false
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn session_variable(assignment: &str) -> Result<String> {
    let Some((name, _)) = assignment.split_once('=') else {
        return Err(bad(
            "sessionVariables: write name=value, several separated by commas",
        ));
    };
    let written = name.trim().trim_end_matches(':').trim();
    let lower = written.to_ascii_lowercase();
    let bare = ["@@session.", "@@local.", "@@", "session ", "local "]
        .iter()
        .find_map(|scope| lower.strip_prefix(scope))
        .unwrap_or(&lower)
        .trim();
    if bare.starts_with("global") || lower.starts_with("@@global") || bare.starts_with("persist") {
        return Err(bad(format!(
            "sessionVariables: {written} applies to more than the session; remove it"
        )));
    }
    if RESERVED_BY_MYSQL.contains(&bare.trim_matches('`')) {
        return Err(bad(format!(
            "sessionVariables: {written} changes the meaning of values and is set by the \
             connector; remove it (use db.timezone for time zones)"
        )));
    }
    let scoped =
        assignment.starts_with('@') || lower.starts_with("session ") || lower.starts_with("local ");
    Ok(if scoped {
        assignment.to_owned()
    } else {
        format!("SESSION {assignment}")
    })
}

/// Parses PostgreSQL's `options`: `-c name=value` and `--name=value`, with blanks in values escaped
/// by a backslash.
/// Errors: `Config` for other options, and for settings that users must not change.
pub(super) fn options(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (
            word.as_str(),
            word.strip_prefix("-c"),
            word.strip_prefix("--"),
        ) {
            ("-c", ..) => words.next(),
            (_, Some(rest), _) => Some(rest.to_owned()),
            (_, _, Some(rest)) => Some(rest.to_owned()),
            _ => None,
        };
        let pair = setting
            .as_deref()
            .and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair.filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(bad(format!(
                "options: {word} is invalid; write -c name=value"
            )));
        };
        let name = name.trim().replace('-', "_");
        if RESERVED_BY_POSTGRES
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(&name))
        {
            return Err(bad(format!(
                "options: {name} changes the meaning of values and is set by the connector; remove \
                 it (use db.timezone for time zones)"
            )));
        }
        settings.push((name, value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            c if c.is_whitespace() && !escaped => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
        escaped = false;
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::config(format!("connection.url: {why}"))
}

#[cfg(test)]
mod tests {
    use super::tables::{
        CHOICES_OF_POSTGRES, FLAGS_OF_MYSQL, FLAGS_OF_POSTGRES, REFUSED, SUPPORTED_BY_ALL,
        SUPPORTED_BY_MYSQL, SUPPORTED_BY_POSTGRES, WITHOUT_EFFECT,
    };
    use super::{check_writable, first_statements, options, warnings};
    use crate::url::{ConnectionTarget, UrlScheme};

    fn of(url: &str) -> Result<Vec<String>, String> {
        let target = ConnectionTarget::parse(url).map_err(|error| error.message().to_owned())?;
        warnings(target.scheme, &target.params).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_without_effect_are_reported_and_protective_ones_are_refused() {
        for done in [
            "jdbc:mysql://h/d?tinyInt1isBit=false&sessionVariables=a=1&sslMode=required&useSSL=true",
            "jdbc:mariadb://h/d?YEARISDATETYPE=false&createDatabaseIfNotExist=true",
            "jdbc:postgresql://h/d?currentSchema=a&options=-c%20b=1&ApplicationName=x&stringtype=unspecified",
        ] {
            assert_eq!(of(done).unwrap(), [""; 0], "{done}");
        }
        for (url, want) in [
            ("jdbc:mysql://h/d?serverTimezone=Asia/Tokyo", "db.timezone"),
            (
                "jdbc:mariadb://h/d?cachePrepStmts=true",
                "cachePrepStmts has no effect",
            ),
            (
                "jdbc:mysql://h/d?tinyInt1IsBitt=false",
                "did you mean tinyInt1isBit?",
            ),
            (
                "jdbc:postgresql://h/d?curentSchema=a",
                "did you mean currentSchema?",
            ),
            ("jdbc:postgresql://h/d?prepareThreshold=0", "no effect"),
            (
                "jdbc:postgresql://h/d?receiveBufferSize=9000",
                "sockets are set by the connector",
            ),
            (
                "jdbc:mysql://h/d?tcpRcvBuf=9000",
                "sockets are set by the connector",
            ),
            (
                "jdbc:postgresql://a,b/d?targetServerType=preferSecondary",
                "the first host in the URL that answers",
            ),
            (
                "jdbc:mysql://h/d?targetServerType=primary",
                "is unknown and has no effect",
            ),
            (
                "jdbc:mysql://h/d?utterlyUnheardOf=1",
                "is unknown and has no effect",
            ),
        ] {
            let texts = of(url).unwrap();
            assert!(
                texts.len() == 1 && texts[0].contains(want),
                "{url}: {texts:?}"
            );
        }
        for url in [
            "jdbc:postgresql://h/d?targetServerType=primry",
            "jdbc:postgresql://h/d?PGHOST=elsewhere",
            "jdbc:mysql://h/d?dnsSrv=true",
            "jdbc:mariadb://h/d?initSql=SET%20ROLE%20reader",
            "jdbc:mysql://h/d?disabledAuthenticationPlugins=mysql_native_password",
            "jdbc:mysql://h/d?socksProxyHost=p",
            "jdbc:mariadb://h/d?localSocket=/tmp/x",
            "jdbc:postgresql://h/d?jaasLogin=true",
            "jdbc:postgresql://h/d?role=reader",
        ] {
            assert!(of(url).is_err(), "{url}");
        }
        assert!(of("jdbc:postgresql://h/d?jaasLogin=false").is_ok());
    }

    #[test]
    fn a_value_that_its_parameter_cannot_have_is_refused() {
        for (database, names) in [("mysql", FLAGS_OF_MYSQL), ("postgresql", FLAGS_OF_POSTGRES)] {
            for name in names {
                let url = |value: &str| format!("jdbc:{database}://h/d?{name}={value}");
                for value in ["true", "FALSE", "yes", "no", "1", "0", "on", "off", ""] {
                    assert!(of(&url(value)).is_ok(), "{name}={value}");
                }
                let refused = of(&url("maybe")).unwrap_err();
                assert_eq!(
                    refused,
                    format!("connection.url: {name}=maybe is invalid; write true or false")
                );
            }
        }
        for (name, words) in CHOICES_OF_POSTGRES {
            let url = |value: &str| format!("jdbc:postgresql://h/d?{name}={value}");
            for word in *words {
                assert!(of(&url(word)).is_ok(), "{name}={word}");
            }
            let refused = of(&url("maybe")).unwrap_err();
            assert!(refused.contains(words[0]), "{refused}");
        }
    }

    #[test]
    fn truth_values_mean_the_same_in_every_spelling() {
        let target = |parameters: &str| {
            ConnectionTarget::parse(&format!("jdbc:mysql://h/d?{parameters}")).unwrap()
        };
        for value in ["true", "TRUE", "yes", "1", "on", ""] {
            let on = target(&format!(
                "createDatabaseIfNotExist={value}&transformedBitIsBoolean={value}"
            ));
            assert!(on.creates_database() && on.bits_are_booleans(), "{value}");
        }
        for value in ["false", "No", "0", "off"] {
            let off = target(&format!(
                "yearIsDateType={value}&transformedBitIsBoolean=true&tinyInt1isBit={value}"
            ));
            assert!(
                !off.years_are_dates() && !off.bits_are_booleans(),
                "{value}"
            );
        }
    }

    #[test]
    fn a_url_that_keeps_sessions_from_writing_is_no_sinks() {
        let writes = |url: &str| {
            let target = ConnectionTarget::parse(url).unwrap();
            check_writable(target.scheme, |name| target.param(name).map(str::to_owned)).is_ok()
        };
        for url in [
            "jdbc:mysql://h/d?readOnly=true",
            "jdbc:mariadb://h/d?readonly=1",
            "jdbc:mysql://h/d?sessionVariables=a=1,@@session.transaction_read_only=1",
            "jdbc:postgresql://h/d?readOnly=true",
            "jdbc:postgresql://h/d?options=-c%20default_transaction_read_only=on",
            "jdbc:postgresql://a,b/d?targetServerType=secondary",
            "jdbc:postgresql://a,b/d?target_session_attrs=read-only",
            "jdbc:sqlite:/d.db?mode=ro",
        ] {
            assert!(!writes(url), "{url}");
        }
        for url in [
            "jdbc:mysql://h/d?readOnly=false&sessionVariables=tx_read_only=0",
            "jdbc:postgresql://h/d?readOnly=true&readOnlyMode=ignore",
            "jdbc:postgresql://a,b/d?targetServerType=primary&target_session_attrs=any",
        ] {
            assert!(writes(url), "{url}");
        }
    }

    #[test]
    fn no_parameter_has_two_fates() {
        let mut names: Vec<_> = WITHOUT_EFFECT
            .iter()
            .chain(REFUSED)
            .flat_map(|(names, _)| names.iter())
            .collect();
        names.extend(
            SUPPORTED_BY_ALL
                .iter()
                .chain(SUPPORTED_BY_MYSQL)
                .chain(SUPPORTED_BY_POSTGRES)
                .filter(|n| **n != "readOnly"),
        );
        let mut lower: Vec<_> = names.iter().map(|name| name.to_lowercase()).collect();
        lower.sort_unstable();
        let twice: Vec<_> = lower
            .windows(2)
            .filter(|two| two[0] == two[1] && two[0] != "applicationname")
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn session_variables_are_set_but_for_those_that_say_what_values_mean() {
        let set = |text: &str| {
            first_statements(UrlScheme::MySql, |name| {
                (name == "sessionVariables").then(|| text.to_owned())
            })
            .map_err(|error| error.message().to_owned())
        };
        assert_eq!(
            set("FOREIGN_KEY_CHECKS=0").unwrap(),
            ["SET SESSION FOREIGN_KEY_CHECKS=0"]
        );
        assert_eq!(
            set("a=1;@x='b,c',@@session.d=CONCAT(1,2)").unwrap(),
            ["SET SESSION a=1, @x='b,c', @@session.d=CONCAT(1,2)"]
        );
        assert_eq!(set(" , ").unwrap(), [""; 0]);
        for bad in [
            "time_zone='+01:00'",
            "@@session.TIME_ZONE=1",
            "sql_mode=''",
            "a",
            "@@global.x=1",
            "SESSION sql_mode=1",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
        let read_only = |scheme| {
            first_statements(scheme, |name| {
                (name == "readOnly").then(|| "true".to_owned())
            })
            .unwrap()
        };
        assert_eq!(
            read_only(UrlScheme::MariaDb),
            ["SET SESSION TRANSACTION READ ONLY"]
        );
        assert_eq!(read_only(UrlScheme::Postgres).len(), 1);
    }

    #[test]
    fn options_are_taken_apart_as_libpq_does() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let got =
            options(r"-c search_path=app\ one,public --statement-timeout=90000 -cwork_mem=4MB")
                .unwrap();
        let want = [
            pair("search_path", "app one,public"),
            pair("statement_timeout", "90000"),
            pair("work_mem", "4MB"),
        ];
        assert_eq!(got, want);
        for bad in [
            "-c TimeZone=UTC",
            "--datestyle=German",
            "-x",
            "-c",
            "-c search_path",
            "search_path=a",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}
