//! `/v1/plans`: what creating or changing connectors would do. Kafka Connect has nothing similar.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::config::restore;
use super::error::{ApiError, ApiResult};
use crate::herder::plan::{CONNECTORS_MAX, PlanRefusal, PlannedConnector};
use crate::model::{CreateConnector, MakePlans, Plans};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// Returns what creating or changing these connectors would do: which tasks restart, which rows are
/// read again, statements, topics, DDL of the target, how columns are mapped, and the first records
/// after the transforms. Nothing is stored, sent or changed. A body that is a single connector, or a
/// bare config with a `name`, is a list of one.
#[utoipa::path(post, path = "/v1/plans", tag = "connectors", request_body = MakePlans,
    responses((status = 200, body = Plans), (status = 400, description = "a config that is none")))]
async fn plan(
    State(app): State<RestState>,
    JsonBody(MakePlans(given)): JsonBody<MakePlans>,
) -> ApiResult<Json<Plans>> {
    let secrets = app.validator.secrets();
    if given.len() > CONNECTORS_MAX {
        return Err(ApiError::refused_plan(
            PlanRefusal::TooMany(given.len()),
            secrets,
        ));
    }
    let mut connectors = Vec::with_capacity(given.len());
    for CreateConnector { name, config, .. } in given {
        let mut config = config.ok_or_else(ApiError::no_config)?;
        let in_config = config.0.get("name").cloned().flatten();
        let name = name.or_else(|| in_config.clone()).unwrap_or_default();
        // Java's `String.trim` removes all characters up to the space.
        let name = name.trim_matches(|c| c <= ' ').to_owned();
        if name.is_empty() {
            return Err(ApiError::refused_plan(PlanRefusal::NoName, secrets));
        }
        if in_config.as_ref().is_some_and(|other| *other != name) {
            return Err(ApiError::name_mismatch(
                &in_config.unwrap_or_default(),
                &name,
            ));
        }
        config.0.insert("name".to_owned(), Some(name.clone()));
        restore(&app, &name, &mut config).await?;
        connectors.push(PlannedConnector { name, config });
    }
    match app.planner.plan(connectors).await {
        Ok(connectors) => Ok(Json(Plans { connectors })),
        Err(refusal) => Err(ApiError::refused_plan(refusal, secrets)),
    }
}
