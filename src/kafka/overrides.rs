//! Decides which client settings a connector may override. It is an allow-list, because librdkafka
//! has settings that load libraries and run commands. The worker's
//! `connector.client.config.override.policy` narrows it further. Pure.

use connector_api::{Config, Error, ErrorKind};

use super::settings::{ClientRole, RULES};

/// Worker key that narrows what connectors may override.
pub(crate) const POLICY: &str = "connector.client.config.override.policy";
/// Worker key with the permitted names if the policy is `Allowlist` (KIP-1188).
pub(crate) const ALLOWLIST: &str = "connector.client.config.override.allowlist";

/// Names that Kafka's `Principal` policy permits.
const PRINCIPAL: &[&str] = &["sasl.jaas.config", "sasl.mechanism", "security.protocol"];

/// Returns why the connector may not set `name` for that client, or `None` if it may.
pub(crate) fn refusal(worker: &Config, client: ClientRole, name: &str) -> Option<String> {
    let full = format!("{}{name}", client.override_prefix());
    let listed = |list: &str| list.split(',').any(|item| item.trim() == name);
    let policy = worker.get(POLICY).unwrap_or("All").trim();
    let permitted = match policy {
        "All" => true,
        "None" => false,
        "Principal" => PRINCIPAL.contains(&name),
        "Allowlist" => listed(worker.get(ALLOWLIST).unwrap_or_default()),
        other => {
            return Some(format!(
                "The '{full}' override is refused: the worker's {POLICY} '{other}' is not All, None, Principal or Allowlist"
            ));
        }
    };
    if !permitted {
        // Kafka Connect's text.
        return Some(format!(
            "The '{policy}' policy does not allow '{name}' to be overridden in the connector configuration."
        ));
    }
    let known = RULES
        .iter()
        .any(|rule| rule.java == name && rule.connector && rule.clients.has(client));
    (!known).then(|| {
        let names: Vec<_> = RULES
            .iter()
            .filter(|r| r.connector && r.clients.has(client))
            .map(|r| r.java)
            .collect();
        format!(
            "The '{full}' override is not supported; supported are: {}",
            names.join(", ")
        )
    })
}

/// Reads and checks the overrides of one client in a connector's config. Errors: `Config`, with all
/// refusals in one text.
pub(crate) fn read(
    worker: &Config,
    connector: &Config,
    client: ClientRole,
) -> Result<Config, Error> {
    let given = connector.with_prefix(client.override_prefix());
    let refused: Vec<_> = given
        .iter()
        .filter_map(|(name, _)| refusal(worker, client, name))
        .collect();
    if refused.is_empty() {
        Ok(given)
    } else {
        Err(Error::of_lines(ErrorKind::Config, refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_settings_can_never_be_overridden() {
        for client in [
            ClientRole::Producer,
            ClientRole::Consumer,
            ClientRole::Admin,
        ] {
            for name in [
                "plugin.library.paths",
                "sasl.kerberos.kinit.cmd",
                "ssl.engine.location",
                "ssl.providers",
                "ssl.ca.location",
                "ssl.truststore.location",
                "ssl.keystore.location",
                "sasl.oauthbearer.token.endpoint.url",
                "enable.ssl.certificate.verification",
                "debug",
                "test.mock.num.brokers",
                "transactional.id",
                "enable.auto.commit",
                "enable.idempotence",
            ] {
                assert!(
                    refusal(&Config::new(), client, name).is_some(),
                    "{name} for {client:?}"
                );
            }
        }
    }

    #[test]
    fn the_workers_policy_decides() {
        let check = |policy: &str, name: &str| {
            let worker = Config::from([(POLICY, policy), (ALLOWLIST, "linger.ms, acks")]);
            refusal(&worker, ClientRole::Producer, name).is_none()
        };
        assert!(check("All", "compression.type") && check("All", "sasl.jaas.config"));
        assert!(
            !check("None", "linger.ms")
                && !check("Principal", "linger.ms")
                && check("Principal", "sasl.mechanism")
        );
        assert!(check("Allowlist", "acks") && !check("Allowlist", "batch.size"));
    }

    #[test]
    fn a_refusal_names_what_is_supported() {
        let connector = Config::from([
            ("consumer.override.group.id", "g"),
            ("consumer.override.linger.ms", "5"),
        ]);
        let message = read(&Config::new(), &connector, ClientRole::Consumer)
            .unwrap_err()
            .message()
            .to_owned();
        assert!(message.starts_with(
            "The 'consumer.override.linger.ms' override is not supported; supported are: "
        ));
        assert!(message.contains("max.poll.records"), "{message}");
    }
}
