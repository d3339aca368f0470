//! `/v1/connectors/{c}/records`: some records of a topic that a connector reads or writes. Kafka
//! Connect has nothing similar.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use connector_api::{Config, Error};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, first, given};
use crate::herder::ConnectorView;
use crate::kafka::page::PageStart;
use crate::model::RecordPage;
use crate::secrets::Redactor;
use crate::worker::{RECORDS_MAX, RecordsWanted, read_offsets};

/// Kafka that has not answered within this time is reported as unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Number of records in a page unless the request names one.
const PAGE: usize = 20;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Returns some records of a topic that the connector has used. `from` is `begin`, `end`, `last`
/// (the default: the last ones), `time:` with milliseconds since 1970-01-01 UTC, or the `next` of an earlier answer; `key` selects records by their
/// key. Needs the role operator, because records hold rows.
#[utoipa::path(get, path = "/v1/connectors/{connector}/records", tag = "topics",
    params(("topic" = Option<String>, Query), ("from" = Option<String>, Query), ("limit" = Option<u32>, Query),
        ("key" = Option<String>, Query)),
    responses((status = 200, body = RecordPage), (status = 404, description = "no such connector or topic")))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
    params: QueryParams,
) -> ApiResult<Json<RecordPage>> {
    let view = app.herder.get(&name).await?;
    let topics = app.herder.topics(&name).await?;
    let topic = match (first(&params, "topic"), topics.as_slice()) {
        (Some(asked), topics) if topics.iter().any(|topic| topic == asked) => asked.to_owned(),
        (None, [only]) => only.clone(),
        (asked, topics) => return Err(ApiError::no_topic(&name, asked, topics)),
    };
    let (start, limit) = page(&params, "last")?;
    let wanted = RecordsWanted {
        topic: topic.clone(),
        start,
        limit,
        key: first(&params, "key").map(str::to_owned),
    };
    let (config, redactor) = resolved(&app, &view).await?;
    let found = within(app.worker.records(config, wanted), &redactor).await?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::no_topic(&name, Some(&topic), &[]))
}

/// Returns the connector's config without references, and what hides its secrets.
pub(super) async fn resolved(
    app: &RestState,
    view: &ConnectorView,
) -> ApiResult<(Config, Redactor)> {
    let resolved = app.worker.resolve_config(&view.config).await;
    resolved.map_err(|error| ApiError::refused(&error))
}

/// Runs a call to Kafka within a time limit.
pub(super) async fn within<T>(
    work: impl Future<Output = Result<T, Error>>,
    redactor: &Redactor,
) -> ApiResult<T> {
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(done) => done.map_err(|error| ApiError::refused(&redactor.error(error))),
        Err(_) => Err(ApiError::timed_out(TIME_LIMIT.as_secs())),
    }
}

/// Reads where a page begins, and its maximum number of records.
pub(super) fn page(params: &QueryParams, from: &str) -> ApiResult<(PageStart, usize)> {
    let limit = match given(params, "limit") {
        None => PAGE,
        Some(text) => (text.parse().ok())
            .filter(|limit| (1..=RECORDS_MAX).contains(limit))
            .ok_or_else(|| ApiError::bad_limit(text, RECORDS_MAX))?,
    };
    let start = match first(params, "from").unwrap_or(from) {
        "begin" => PageStart::At(Default::default()),
        "end" => PageStart::End,
        "last" => PageStart::Last(limit),
        at => match at.strip_prefix("time:").map(str::parse) {
            Some(Ok(ms)) => PageStart::Time(ms),
            Some(Err(_)) => return Err(ApiError::bad_from(at)),
            None => PageStart::At(read_offsets(at).ok_or_else(|| ApiError::bad_from(at))?),
        },
    };
    Ok((start, limit))
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    #[test]
    fn pages_are_limited() {
        let page = |text: &str| {
            page(
                &Query::try_from_uri(&format!("http://h/?{text}").parse().unwrap()).unwrap(),
                "begin",
            )
        };
        let at = |offsets: &[(i32, i64)]| PageStart::At(offsets.iter().copied().collect());
        assert_eq!(page("").unwrap(), (at(&[]), PAGE));
        assert_eq!(
            page("from=0:5,1:7&limit=3").unwrap(),
            (at(&[(0, 5), (1, 7)]), 3)
        );
        assert_eq!(page("from=last&limit=3").unwrap(), (PageStart::Last(3), 3));
        assert_eq!(page("from=end").unwrap().0, PageStart::End);
        for wrong in [
            "limit=",
            "limit=0",
            "limit=1001",
            "limit=x",
            "from=x",
            "from=0",
            "from=time:x",
        ] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }
}
