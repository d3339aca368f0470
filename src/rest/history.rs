//! `/v1/connectors/{c}/history`: earlier configs of a connector, and restoring one. Kafka Connect
//! has nothing similar.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use connector_api::Config;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::{RestState, config, connectors, view};
use crate::herder::plan::changes;
use crate::model::{ConfigVersion, ConnectorInfo, RawConfig};
use crate::secrets::SecretKeys;
use crate::store::StoredVersion;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(restore))
}

/// Returns the configs of a connector, oldest first, also of a deleted one.
#[utoipa::path(get, path = "/v1/connectors/{connector}/history", tag = "connectors",
    responses((status = 200, body = Vec<ConfigVersion>)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<Vec<ConfigVersion>>> {
    Ok(Json(to_versions(
        &app.herder.history(&name).await?,
        app.validator.secrets(),
    )))
}

/// Restores an earlier config, as a PUT of it would do; a deleted connector is created again.
#[utoipa::path(post, path = "/v1/connectors/{connector}/history/{version}/restore", tag = "connectors",
    params(("connector" = String, Path), ("version" = i64, Path)),
    responses((status = 200, description = "restored", body = ConnectorInfo),
        (status = 201, description = "the connector was deleted and created again", body = ConnectorInfo)))]
async fn restore(
    State(app): State<RestState>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let history = app.herder.history(&name).await?;
    let found = history
        .into_iter()
        .find(|v| version.parse() == Ok(v.version))
        .and_then(|v| v.config);
    let found = found.ok_or_else(|| ApiError::no_version(&name, &version))?;
    let raw = RawConfig(
        found
            .iter()
            .map(|(k, v)| (k.to_owned(), Some(v.to_owned())))
            .collect(),
    );
    let config = config::checked(&app, &name, raw).await?;
    let (view, created) = app.herder.put_config(&name, config).await?;
    let info = view::info(&view);
    Ok(if created {
        connectors::created_answer(&headers, &info)
    } else {
        Json(info).into_response()
    })
}

/// Returns the versions with the differences from each to the next.
fn to_versions(history: &[StoredVersion], secrets: &SecretKeys) -> Vec<ConfigVersion> {
    let none = Config::new();
    let before =
        std::iter::once(&none).chain(history.iter().map(|v| v.config.as_ref().unwrap_or(&none)));
    let version = |(before, version): (&Config, &StoredVersion)| {
        let config = version.config.as_ref().unwrap_or(&none);
        ConfigVersion {
            version: version.version,
            created: version.at_ms,
            deleted: version.config.is_none(),
            config: config
                .iter()
                .map(|(k, v)| (k.to_owned(), secrets.masked(k, v).into_owned()))
                .collect(),
            changes: changes(Some(before), config, secrets),
        }
    };
    before.zip(history).map(version).collect()
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::to_versions;
    use crate::secrets::SecretKeys;
    use crate::store::StoredVersion;

    #[test]
    fn each_version_shows_its_changes_without_secrets() {
        let version = |version, config| StoredVersion {
            version,
            config,
            at_ms: 0,
        };
        let first = Config::from([("a", "1"), ("connection.password", "CANARY1")]);
        let second = Config::from([("a", "2"), ("b", "x"), ("connection.password", "CANARY2")]);
        let to_versions = to_versions(
            &[
                version(1, Some(first)),
                version(2, Some(second)),
                version(3, None),
            ],
            &SecretKeys::default(),
        );
        let changes: Vec<Vec<String>> = to_versions
            .iter()
            .map(|v| {
                v.changes
                    .iter()
                    .map(|c| format!("{} {:?} {:?}", c.key, c.from, c.to))
                    .collect()
            })
            .collect();
        assert_eq!(
            changes[1],
            [
                r#"a Some("1") Some("2")"#,
                r#"b None Some("x")"#,
                r#"connection.password Some("[hidden]") Some("[hidden]")"#
            ]
        );
        assert_eq!(
            (changes[0].len(), changes[2].len(), to_versions[2].deleted),
            (2, 3, true)
        );
        assert!(
            !serde_json::to_string(&to_versions)
                .unwrap()
                .contains("CANARY")
        );
    }
}
