//! Restricts SQLite files to the folders in the worker's settings: a config carries the folders to
//! where its URL is opened ([`AllowedFiles`] decides).

use std::path::PathBuf;

use connector_api::files::AllowedFiles;
use connector_api::{
    Config, ConfigKey, ConfigReport, Plugin, PreviewLimits, Result, SinkConnector, SinkPreview,
    SinkRecord, SinkTask, SourceConnector, SourcePosition, SourcePreview, SourceTask,
    StoredOffsets, TaskPlan, TopicPartition, async_trait,
};

/// The private key that carries the folders in a config; a user's value is replaced.
const KEY: &str = "task.sqlite.files";
/// The worker key that names the folders.
pub const SETTING: &str = "sqlite.allowed.paths";

/// Returns a config's restrictions. `None` if it has none, because its creator is trusted.
pub(crate) fn of(config: &Config) -> Option<AllowedFiles> {
    let (mut allowed, mut kept) = (Vec::new(), Vec::new());
    for line in config.get(KEY)?.split('\0').filter(|line| !line.is_empty()) {
        match line.strip_prefix('-') {
            Some(path) => kept.push(path.into()),
            None => allowed.push(line.trim_start_matches('+').into()),
        }
    }
    Some(AllowedFiles::new(SETTING, allowed, kept))
}

/// Returns the config with the restrictions.
fn with_files(config: &Config, files: &AllowedFiles) -> Config {
    let line = |sign: char, path: &PathBuf| format!("{sign}{}\0", path.display());
    let allowed = files.allowed().iter().map(|path| line('+', path));
    let mut config = config.clone();
    config.set(
        KEY,
        allowed
            .chain(files.kept().iter().map(|path| line('-', path)))
            .collect::<String>(),
    );
    config
}

/// A connector that can only open SQLite files in the allowed folders.
#[derive(Clone, Debug)]
pub struct PathGuard<P> {
    plugin: P,
    files: AllowedFiles,
}

impl<P> PathGuard<P> {
    /// Restricts a connector.
    pub fn new(plugin: P, files: AllowedFiles) -> Self {
        Self { plugin, files }
    }
}

impl<P: Plugin> Plugin for PathGuard<P> {
    fn class(&self) -> &'static str {
        self.plugin.class()
    }

    fn other_classes(&self) -> &'static [&'static str] {
        self.plugin.other_classes()
    }

    fn version(&self) -> &'static str {
        self.plugin.version()
    }

    fn keys(&self) -> &'static [ConfigKey] {
        self.plugin.keys()
    }

    fn keys_as(&self, class: &str) -> &'static [ConfigKey] {
        self.plugin.keys_as(class)
    }

    fn check(&self, config: &Config, report: &mut ConfigReport) {
        self.plugin.check(config, report);
    }
}

/// Removes the restrictions from a plan: tasks get the current ones when they start.
fn untold(mut plan: TaskPlan) -> TaskPlan {
    plan.tasks
        .iter_mut()
        .for_each(|task| drop(task.remove(KEY)));
    plan
}

#[async_trait]
impl<P: SourceConnector> SourceConnector for PathGuard<P> {
    async fn plan(&self, config: &Config, max_tasks: usize) -> Result<TaskPlan> {
        self.plugin
            .plan(&with_files(config, &self.files), max_tasks)
            .await
            .map(untold)
    }

    async fn plan_on(
        &self,
        config: &Config,
        max_tasks: usize,
        stored: &dyn StoredOffsets,
    ) -> Result<TaskPlan> {
        self.plugin
            .plan_on(&with_files(config, &self.files), max_tasks, stored)
            .await
            .map(untold)
    }

    async fn open(&self, task: &Config, stored: &dyn StoredOffsets) -> Result<Box<dyn SourceTask>> {
        self.plugin
            .open(&with_files(task, &self.files), stored)
            .await
    }

    fn check_positions(&self, config: &Config, positions: &[SourcePosition]) -> Result<bool> {
        self.plugin.check_positions(config, positions)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        self.plugin
            .probe(&with_files(config, &self.files), report)
            .await;
    }

    async fn preview(
        &self,
        config: &Config,
        stored: &dyn StoredOffsets,
        limits: PreviewLimits,
        preview: &mut SourcePreview,
    ) -> Result<bool> {
        let config = with_files(config, &self.files);
        self.plugin.preview(&config, stored, limits, preview).await
    }
}

#[async_trait]
impl<P: SinkConnector> SinkConnector for PathGuard<P> {
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>> {
        self.plugin
            .open(&with_files(task, &self.files), tolerate)
            .await
    }

    async fn alter_offsets(
        &self,
        config: &Config,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<bool> {
        self.plugin
            .alter_offsets(&with_files(config, &self.files), offsets)
            .await
    }

    async fn reset_offsets(&self, config: &Config) -> Result<bool> {
        self.plugin
            .reset_offsets(&with_files(config, &self.files))
            .await
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        self.plugin
            .probe(&with_files(config, &self.files), report)
            .await;
    }

    async fn preview(
        &self,
        config: &Config,
        records: &[SinkRecord],
        limits: PreviewLimits,
        preview: &mut SinkPreview,
    ) -> Result<bool> {
        let config = with_files(config, &self.files);
        self.plugin.preview(&config, records, limits, preview).await
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Config;
    use connector_api::files::AllowedFiles;

    use super::{SETTING, of, with_files};

    #[test]
    fn a_config_carries_the_workers_files_and_not_its_own() {
        let files = AllowedFiles::new(SETTING, vec!["/a".into()], vec!["/a/own".into()]);
        assert_eq!(
            of(&with_files(
                &Config::from([("task.sqlite.files", "+/")]),
                &files
            )),
            Some(files)
        );
        assert_eq!(of(&Config::new()), None);
    }
}
