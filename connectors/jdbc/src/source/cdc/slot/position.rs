//! Where the log has been read to: what is stored in the transaction of the records.

use connector_api::{OffsetValue, Result, SourceOffset};

use crate::source::cdc::position::{long, wrong};

const LSN: &str = "lsn";
const COMMIT: &str = "lsn_commit";
const ROW: &str = "row";

/// What has been emitted of a server's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotPosition {
    /// Every transaction whose commit is before this position.
    pub done: u64,
    /// Of the transaction with this commit, so many changed rows.
    pub partial: Option<(u64, u64)>,
}

/// True if the offset is a position of this kind.
pub(in crate::source::cdc) fn owns(offset: &SourceOffset) -> bool {
    offset.get(LSN).is_some()
}

/// Errors: `Config` for a position that a task could not read.
pub(in crate::source::cdc) fn check(offset: &SourceOffset) -> Result<()> {
    SlotPosition::read(offset).map(drop)
}

impl SlotPosition {
    /// Reads a stored offset.
    pub(super) fn read(offset: &SourceOffset) -> Result<Self> {
        let number = |name| match long(offset, name)? {
            None => Ok(None),
            Some(n) => u64::try_from(n)
                .map(Some)
                .map_err(|_| wrong(name, "a position of the log as a whole number")),
        };
        let done = number(LSN)?;
        Ok(Self {
            done: done.ok_or_else(|| wrong(LSN, "a position of the log as a whole number"))?,
            partial: number(COMMIT)?.zip(number(ROW)?),
        })
    }

    /// Writes the offset.
    pub(super) fn write(self) -> SourceOffset {
        let number = |n: u64| OffsetValue::Long(i64::try_from(n).unwrap_or(i64::MAX));
        let mut members = vec![(LSN.into(), number(self.done))];
        if let Some((commit, rows)) = self.partial {
            members.push((COMMIT.into(), number(commit)));
            members.push((ROW.into(), number(rows)));
        }
        SourceOffset(members)
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{OffsetValue, SourceOffset};

    use super::SlotPosition;

    #[test]
    fn a_position_survives_its_storage() {
        for partial in [None, Some((9, 3))] {
            let position = SlotPosition { done: 5, partial };
            assert_eq!(SlotPosition::read(&position.write()).unwrap(), position);
        }
        let negative = SourceOffset(vec![("lsn".into(), OffsetValue::Long(-1))]);
        assert!(SlotPosition::read(&negative).is_err());
        assert!(SlotPosition::read(&SourceOffset(Vec::new())).is_err());
    }
}
