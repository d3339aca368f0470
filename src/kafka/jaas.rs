//! Reads Kafka's `sasl.jaas.config`, so that configs written for the Java client work: `Module flag
//! key="value" …;`.
//!
//! Only modules that are nothing but a set of credentials are known; none is ever loaded
//! (CVE-2023-25194).

use connector_api::Error;

/// Returns the credentials of a JAAS entry as librdkafka settings.
pub(super) fn credentials(entry: &str) -> Result<Vec<(&'static str, String)>, Error> {
    let mut words = JaasWords(entry.trim());
    let module = words.next().unwrap_or_default();
    let names: &[(&str, &str)] = match module.rsplit('.').next() {
        Some("PlainLoginModule" | "ScramLoginModule") => {
            &[("username", "sasl.username"), ("password", "sasl.password")]
        }
        Some("OAuthBearerLoginModule") => &[
            ("clientId", "sasl.oauthbearer.client.id"),
            ("clientSecret", "sasl.oauthbearer.client.secret"),
            ("scope", "sasl.oauthbearer.scope"),
            ("ssl.truststore.location", "https.ca.location"),
        ],
        _ => {
            return Err(Error::config(
                "sasl.jaas.config: the login module is not supported; use PlainLoginModule, ScramLoginModule or OAuthBearerLoginModule",
            ));
        }
    };
    let _flag = words.next();
    let mut found = Vec::new();
    while let Some(name) = words.next() {
        let Some(value) = words.value() else {
            return Err(Error::config(
                "sasl.jaas.config: every option needs the form name=\"value\"",
            ));
        };
        if name.starts_with("unsecuredLogin") {
            return Err(Error::config(
                "sasl.jaas.config: unsigned tokens are not supported; set \
                 sasl.oauthbearer.token.endpoint.url to the issuer of tokens",
            ));
        }
        if let Some((_, to)) = names.iter().find(|(from, _)| *from == name) {
            found.push((*to, value));
        }
    }
    Ok(found)
}

/// The unread rest of the entry.
struct JaasWords<'a>(&'a str);

impl<'a> JaasWords<'a> {
    /// Reads the next word, up to white space, `=` or `;`.
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = text
            .find(|c: char| c.is_whitespace() || c == '=' || c == ';')
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Reads `= value` or `= "value"`; a backslash escapes the next character.
    fn value(&mut self) -> Option<String> {
        let text = self.0.trim_start().strip_prefix('=')?.trim_start();
        let Some(quoted) = text.strip_prefix(['"', '\'']) else {
            self.0 = text;
            return self.next().map(str::to_owned);
        };
        let quote = text.chars().next()?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.push(chars.next()?.1),
                c if c == quote => {
                    self.0 = &quoted[at + c.len_utf8()..];
                    return Some(value);
                }
                c => value.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn credentials_are_read_whatever_their_spelling() {
        let plain = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="al ice" password="a\"b;c\\";"#;
        let expected = vec![
            ("sasl.username", "al ice".to_owned()),
            ("sasl.password", "a\"b;c\\".to_owned()),
        ];
        assert_eq!(credentials(plain).unwrap(), expected);
        let scram = "ScramLoginModule required\n  tokenauth = true username=bob  password='x y' ;";
        let expected = vec![
            ("sasl.username", "bob".to_owned()),
            ("sasl.password", "x y".to_owned()),
        ];
        assert_eq!(credentials(scram).unwrap(), expected);
    }

    #[test]
    fn other_modules_and_broken_entries_are_refused_without_showing_them() {
        for entry in [
            "OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"secret\";",
            "com.sun.security.auth.module.JndiLoginModule required a=\"b\";",
            "",
            "PlainLoginModule required password=\"secret",
        ] {
            let message = credentials(entry).unwrap_err().message().to_owned();
            assert!(
                message.starts_with("sasl.jaas.config: ") && !message.contains("secret"),
                "{message}"
            );
        }
    }
}
