//! Converts stored offsets to read positions and back: instants and wall times, keys and offset
//! values.

use connector_api::{OffsetValue, Result, Value};

use super::cursor::TableReader;
use crate::driver::Session;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::offset::{SourceProgress, TieBreak};
use crate::source::plan::query::ReadPosition;
use crate::source::plan::table::TablePlan;
use crate::zone::JdbcTimeZone;

impl TableReader {
    /// Seeks to the stored offset, or to the configured beginning. The table must have been looked
    /// up.
    pub(super) async fn stand(&mut self, session: &mut dyn Session) -> Result<()> {
        let initial = self.config.initial;
        let reached = self.reached.clone();
        let reached = reached.as_ref();
        let wall = reached
            .and_then(|r| r.wall)
            .filter(|_| !self.stamps_are_instants());
        let stamp = match (
            wall.or(reached.and_then(|r| r.stamp).map(|s| self.to_server(s))),
            initial.stamp_ms,
        ) {
            (Some(stamp), _) => Some(stamp),
            (None, Some(-1)) if self.config.mode.has_stamp() => Some(self.now(session).await?),
            (None, Some(ms)) => Some(self.to_server(ms.saturating_mul(1000))),
            (None, None) => Some(self.to_server(0)),
        };
        let within = reached.and_then(|r| r.within.as_ref());
        self.from = ReadPosition {
            stamp,
            id: reached.and_then(|r| r.id).or(Some(initial.id)),
            at: within.map(|w| {
                let wall = w.wall.filter(|_| !self.stamps_are_instants());
                (
                    wall.unwrap_or_else(|| self.to_server(w.stamp)),
                    w.key.iter().map(key_value).collect(),
                )
            }),
            up_to: self.range.as_ref().map(|(range, _)| range.up_to),
            ..ReadPosition::default()
        };
        self.in_cycle = false;
        self.track(reached, session).await?;
        self.standing = true;
        Ok(())
    }

    pub(super) fn stamps_are_instants(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.stamp_is_instant)
    }

    fn zone(&self) -> Option<&JdbcTimeZone> {
        if self.stamps_are_instants() {
            None
        } else {
            Some(&self.config.read.zone)
        }
    }

    /// Converts an instant to the server's wall time. Once rows up to the instant have been read,
    /// those with later wall times have not.
    fn to_server(&self, instant: i64) -> i64 {
        let Some(zone) = self.zone() else {
            return instant;
        };
        let (wall, lowest) = (zone.wall(instant), zone.lowest_wall_from(instant));
        // The time of a repeated hour is ambiguous, as timestamps do not say which of the two it
        // was: read the hour again.
        if lowest < wall { lowest - 1 } else { wall }
    }
}

/// Returns the offset to store for a read position.
pub fn reached(
    from: &ReadPosition,
    mode: SourceMode,
    zone: Option<&JdbcTimeZone>,
) -> SourceProgress {
    let instant = |stamp: i64| zone.map_or(stamp, |zone| zone.last_instant(stamp));
    let left_out = |stamp: i64| {
        zone.is_some_and(|zone| zone.wall(instant(stamp)) != stamp)
            .then_some(stamp)
    };
    let stamp = from.stamp.filter(|_| mode.has_stamp());
    SourceProgress {
        stamp: stamp.map(instant),
        wall: stamp.and_then(left_out),
        id: from.id.filter(|_| mode.has_id()),
        within: from.at.as_ref().map(|(stamp, key)| TieBreak {
            stamp: instant(*stamp),
            wall: left_out(*stamp),
            key: key.iter().map(offset_value).collect(),
        }),
        ..SourceProgress::default()
    }
}

/// Returns the time zone of the plan's wall times; `None` if its timestamps are instants.
pub fn zone_of<'a>(plan: &TablePlan, config: &'a SourceConfig) -> Option<&'a JdbcTimeZone> {
    if plan.stamp_is_instant {
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
