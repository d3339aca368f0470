//! Converts stored offsets to read positions and back: instants and wall times, keys and offset
//! values.

use connector_api::{OffsetValue, Result, Value};

use crate::driver::Session;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::offset::{SourceProgress, TieBreak};
use crate::source::plan::query::ReadPosition;
use crate::source::plan::table::TablePlan;
use crate::source::visibility::by_timestamp;
use crate::zone::JdbcTimeZone;

/// Returns the position that follows from the stored offset, or the configured beginning; reading
/// ends at the id `up_to`.
pub(crate) async fn start_position(
    stored: Option<&SourceProgress>,
    up_to: Option<i64>,
    plan: &TablePlan,
    config: &SourceConfig,
    session: &mut dyn Session,
) -> Result<ReadPosition> {
    let zone = zone_of(plan, config);
    let to_server = |instant| wall_time(instant, zone);
    let wall = stored
        .and_then(|stored| stored.wall)
        .filter(|_| zone.is_some());
    let reached = wall.or(stored.and_then(|stored| stored.timestamp).map(to_server));
    let timestamp = match (reached, config.initial.timestamp_ms) {
        (Some(timestamp), _) => timestamp,
        (None, Some(-1)) if config.mode.has_timestamp() => {
            by_timestamp::now(session, plan, &config.read.zone).await?
        }
        (None, Some(ms)) => to_server(ms.saturating_mul(1000)),
        (None, None) => to_server(0),
    };
    let within = stored.and_then(|stored| stored.within.as_ref());
    Ok(ReadPosition {
        timestamp: Some(timestamp),
        id: stored
            .and_then(|stored| stored.id)
            .or(Some(config.initial.id)),
        at: within.map(|within| {
            let wall = within.wall.filter(|_| zone.is_some());
            (
                wall.unwrap_or_else(|| to_server(within.timestamp)),
                within.key.iter().map(key_value).collect(),
            )
        }),
        up_to,
        ..ReadPosition::default()
    })
}

/// Converts an instant to the wall time of a zone (without one, times are instants). Once rows up
/// to the instant have been read, those with later wall times have not.
fn wall_time(instant: i64, zone: Option<&JdbcTimeZone>) -> i64 {
    let Some(zone) = zone else {
        return instant;
    };
    let (wall, lowest) = (zone.wall(instant), zone.lowest_wall_from(instant));
    // The time of a repeated hour is ambiguous, as timestamps do not say which of the two it was:
    // read the hour again.
    if lowest < wall { lowest - 1 } else { wall }
}

/// Returns the offset to store for a read position.
pub(super) fn reached(
    from: &ReadPosition,
    mode: SourceMode,
    zone: Option<&JdbcTimeZone>,
) -> SourceProgress {
    let instant = |timestamp: i64| zone.map_or(timestamp, |zone| zone.last_instant(timestamp));
    let skipped = |timestamp: i64| {
        zone.is_some_and(|zone| zone.wall(instant(timestamp)) != timestamp)
            .then_some(timestamp)
    };
    let timestamp = from.timestamp.filter(|_| mode.has_timestamp());
    SourceProgress {
        timestamp: timestamp.map(instant),
        wall: timestamp.and_then(skipped),
        id: from.id.filter(|_| mode.has_id()),
        within: from.at.as_ref().map(|(timestamp, key)| TieBreak {
            timestamp: instant(*timestamp),
            wall: skipped(*timestamp),
            key: key.iter().map(offset_value).collect(),
        }),
        ..SourceProgress::default()
    }
}

/// Returns the time zone of the plan's wall times; `None` if its timestamps are instants.
pub(super) fn zone_of<'a>(plan: &TablePlan, config: &'a SourceConfig) -> Option<&'a JdbcTimeZone> {
    if plan.timestamp_is_instant {
        None
    } else {
        Some(&config.read.zone)
    }
}

fn key_value(value: &OffsetValue) -> Value {
    match value {
        OffsetValue::Long(n) => Value::I64(*n),
        OffsetValue::Text(text) => Value::Text(text.as_str().into()),
        _ => Value::Null,
    }
}

fn offset_value(value: &Value) -> OffsetValue {
    match value {
        Value::Text(text) => OffsetValue::Text(text.to_string()),
        Value::Decimal(d) => OffsetValue::Text(d.to_string()),
        value => value.as_i64().map_or(OffsetValue::Null, OffsetValue::Long),
    }
}
