//! The bodies of REST requests and answers, in Kafka Connect's format; used by `rest` and `cli`.
//!
//! No logic and no texts, only types. Members are declared in the order in which they are written.

mod connector;
mod history;
mod lag;
mod log;
mod offset;
mod path;
mod plan;
mod plugin;
mod record;
mod reread;
mod run_state;
mod status;
mod trial;
mod worker;

pub use connector::{
    ActiveTopics, ConnectorInfo, CreateConnector, KEYS_MAX, RawConfig, TaskInfo, TaskName,
};
pub use history::{ConfigChange, ConfigVersion};
pub use lag::{ConnectorLag, PairLag, PartLag};
pub use log::{ConnectorLevel, ConnectorLines, LogLine};
pub use offset::{ConnectorOffsets, OffsetEntry};
pub(crate) use path::{NOT_IN_PATH, NOT_IN_USER, RESERVED};
pub use path::{path_segment, query_value};
pub use plan::{
    ConnectorPlan, MakePlans, PlanAction, PlanFingerprint, PlanGap, PlannedColumn, PlannedRecord,
    PlannedTable, PlannedTarget, PlannedTopic, Plans,
};
pub use plugin::{
    ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValueInfo, ConfigWarning, PluginInfo,
};
pub use record::{
    DeadLetter, DeadLetterPage, DeadLetterReason, LetterPosition, RecordHeader, RecordPage,
    ReplayLetters, ReplayedLetter, ShownBytes, TopicRecord,
};
pub use reread::{Reread, StartReread};
pub use run_state::{RunState, RunStatus, TargetState};
pub use status::{
    ConnectorProgress, ConnectorStatus, Expanded, PartStatus, TableProgress, TaskProgress,
    TaskStatus,
};
pub use trial::{
    TrialHeader, TrialRecord, TriedConverter, TriedRecord, TriedStep, TryConverter, TryTransforms,
};
pub use worker::{
    ErrorBody, GroupWorker, GroupWorkers, Health, Live, LoggerLevel, Message, NewLevel, ServerInfo,
    StandingStill,
};
