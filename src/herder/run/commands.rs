//! Executes the callers' commands: each takes effect and is answered, at once or by a job.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use connector_api::{Config, Result};
use futures_util::FutureExt;

use super::super::answer::send;
use super::super::core::{self, HerderEvent, Ticket};
use super::super::{
    ConnectorView, HerderRefusal, HerderVerb, OffsetChange, OffsetListing, ReplySender, RunState,
    TargetState, WorkerHealth, WorkerInfo, bounds, offsets,
};
use super::{FinishedJob, HerderLoop, store_writer};
use crate::registry::ConnectorPlugin;
use crate::store::StoredVersion;
use crate::worker::{StalledTask, TaskId};

/// A caller who is answered later.
pub(super) enum WaitingCaller {
    /// Answered with the connector once it has restarted.
    Connector(String, ReplySender<ConnectorView>),
    /// Answered once the task has restarted.
    Task(ReplySender<()>),
    /// Answered with this view once all of it has restarted.
    All(
        Result<ConnectorView, HerderRefusal>,
        ReplySender<ConnectorView>,
    ),
}

impl HerderLoop {
    /// Executes a verb that was admitted and, if it changes something, stored.
    pub(super) fn execute(&mut self, verb: HerderVerb) {
        match verb {
            HerderVerb::List { reply } => send(reply, Ok(self.views())),
            HerderVerb::Get { name, reply } => self.reply_view(&name, reply),
            HerderVerb::Create {
                name,
                config,
                target,
                reply,
            } => self.create(&name, config, target, reply),
            HerderVerb::PutConfig {
                name,
                config,
                reply,
                ..
            } => self.put_config(&name, config, reply),
            HerderVerb::Delete { name, reply } => {
                self.delete(&name);
                send(reply, Ok(()));
            }
            HerderVerb::SetTarget {
                name,
                target,
                reply,
            } => {
                let name = name.into();
                self.step(HerderEvent::SetTarget { name, target });
                send(reply, Ok(()));
            }
            HerderVerb::Restart {
                name,
                include_tasks,
                only_failed,
                reply,
            } => self.restart(name, include_tasks, only_failed, reply),
            HerderVerb::RestartTask { name, task, reply } => {
                self.restart_task(&name, task, reply);
            }
            HerderVerb::Topics { name, reply } => send(reply, Ok(self.state.topics(&name))),
            HerderVerb::ResetTopics { name, reply } => {
                self.step(HerderEvent::ResetTopics { name: name.into() });
                self.parts.worker.forget_topics();
                send(reply, Ok(()));
            }
            HerderVerb::Offsets { name, reply } => self.offsets(name, reply),
            HerderVerb::ChangeOffsets {
                name,
                change,
                reply,
            } => self.change_offsets(name, change, reply),
            HerderVerb::History { name, reply } => self.history(name, reply),
            HerderVerb::Workers { reply } => self.workers(reply),
            // A worker that shares its store answers once the change has taken effect.
            HerderVerb::Drain { reply, .. } => send(reply, Ok(())),
            HerderVerb::Info { reply } => self.info(reply),
            HerderVerb::Health { reply } => self.health(reply),
        }
    }

    fn views(&self) -> Vec<ConnectorView> {
        let mut views = core::views(&self.state);
        views.iter_mut().for_each(|view| self.add_progress(view));
        views
    }

    fn create(
        &mut self,
        name: &str,
        config: Config,
        target: TargetState,
        reply: ReplySender<ConnectorView>,
    ) {
        let direction = self.direction(&config);
        self.step(HerderEvent::Create {
            name: name.into(),
            config,
            direction,
            target,
        });
        self.reply_view(name, reply);
    }

    fn delete(&mut self, name: &str) {
        if let Some(plan) = self.plans.remove(name) {
            plan.abort();
        }
        self.step(HerderEvent::Delete { name: name.into() });
        self.parts.worker.metrics().forget(name);
    }

    fn restart_task(&mut self, name: &str, task: u32, reply: ReplySender<()>) {
        let ticket = Some(self.wait(WaitingCaller::Task(reply)));
        self.step(HerderEvent::RestartTask {
            name: name.into(),
            task,
            ticket,
        });
    }

    fn put_config(
        &mut self,
        name: &str,
        config: Config,
        reply: ReplySender<(ConnectorView, bool)>,
    ) {
        let direction = self.direction(&config);
        let new = core::view(&self.state, name).is_none();
        let owned: Arc<str> = Arc::from(name);
        self.step(if new {
            HerderEvent::Create {
                name: owned,
                config,
                direction,
                target: TargetState::Started,
            }
        } else {
            HerderEvent::Replace {
                name: owned,
                config,
                direction,
            }
        });
        let view = core::view(&self.state, name)
            .ok_or_else(|| HerderRefusal::UnknownConnector(name.to_owned()));
        send(reply, view.map(|view| (view, new)));
    }

    /// Restarts a connector. A plain restart is answered when the connector is up or has failed;
    /// one of KIP-745 with what it restarts, once that is up.
    fn restart(
        &mut self,
        name: String,
        include_tasks: bool,
        only_failed: bool,
        reply: ReplySender<ConnectorView>,
    ) {
        let owned: Arc<str> = Arc::from(name.as_str());
        if !include_tasks && !only_failed {
            let ticket = Some(self.wait(WaitingCaller::Connector(name, reply)));
            return self.step(HerderEvent::Restart {
                name: owned,
                include_tasks,
                only_failed,
                ticket,
            });
        }
        let chosen = core::restarts_connector(&self.state, &name, only_failed);
        // Build the answer before waiting: it shows what restarts now, and the restart may be over
        // by the end of the step.
        self.last_ticket += 1;
        let ticket = Some(self.last_ticket);
        self.step(HerderEvent::Restart {
            name: owned,
            include_tasks,
            only_failed,
            ticket,
        });
        let view = self.view(&name).map(|mut view| {
            // The answer is the plan, even if the restart is over already, as that of a stopped
            // connector is.
            if let (true, Some(status)) = (chosen, &mut view.status) {
                status.state = RunState::Restarting;
            }
            view
        });
        match self.early.take_if(|early| Some(*early) == ticket) {
            Some(_) => send(reply, view),
            None => drop(
                self.waiting
                    .insert(self.last_ticket, WaitingCaller::All(view, reply)),
            ),
        }
    }

    pub(super) fn wait(&mut self, waiting: WaitingCaller) -> Ticket {
        self.last_ticket += 1;
        self.waiting.insert(self.last_ticket, waiting);
        self.last_ticket
    }

    pub(super) fn answer(&mut self, ticket: Ticket, outcome: Result<(), String>) {
        match self.waiting.remove(&ticket) {
            Some(WaitingCaller::Connector(name, reply)) => match outcome {
                Ok(()) => self.reply_view(&name, reply),
                Err(why) => send(reply, Err(HerderRefusal::StartFailed(name, why))),
            },
            Some(WaitingCaller::Task(reply)) => send(reply, Ok(())),
            Some(WaitingCaller::All(view, reply)) => send(reply, view),
            None => self.early = Some(ticket),
        }
    }

    pub(super) fn view(&self, name: &str) -> Result<ConnectorView, HerderRefusal> {
        let view = core::view(&self.state, name).map(|mut view| {
            self.add_progress(&mut view);
            view
        });
        view.ok_or_else(|| HerderRefusal::UnknownConnector(name.to_owned()))
    }

    pub(super) fn reply_view(&self, name: &str, reply: ReplySender<ConnectorView>) {
        send(reply, self.view(name));
    }

    fn add_progress(&self, view: &mut ConnectorView) {
        for task in &mut view.tasks {
            let id = TaskId {
                connector: Arc::clone(&view.name),
                task: task.id,
            };
            task.progress = self.parts.worker.progress(&id);
            task.waits = self.parts.worker.waits(&id);
        }
    }

    fn offsets(&mut self, name: String, reply: ReplySender<OffsetListing>) {
        let Some((connector, config)) = self.known(&name) else {
            return send(reply, Err(HerderRefusal::UnknownConnector(name)));
        };
        let worker = self.parts.worker.clone();
        self.jobs.spawn(async move {
            send(
                reply,
                offsets::read(&worker, &connector, &name, &config).await,
            );
            FinishedJob::Answered
        });
    }

    fn change_offsets(&mut self, name: String, change: OffsetChange, reply: ReplySender<bool>) {
        let Some((connector, config)) = self.known(&name) else {
            return send(reply, Err(HerderRefusal::UnknownConnector(name)));
        };
        // A stopped connector has no tasks. `tasks.max` bounds how many it may have had.
        let tasks = match bounds::tasks(&config, self.parts.tasks_max) {
            Ok(tasks) => tasks,
            Err(why) => return send(reply, Err(HerderRefusal::BadOffsets(why))),
        };
        let worker = self.parts.worker.clone();
        let name: Arc<str> = Arc::from(name);
        self.step(HerderEvent::OffsetsChanging {
            name: Arc::clone(&name),
        });
        self.jobs.spawn(async move {
            let changing = AssertUnwindSafe(offsets::change(
                &worker, &connector, &name, &config, tasks, change,
            ))
            .catch_unwind();
            let panicked = |_| {
                Err(HerderRefusal::Unavailable(
                    "changing the offsets panicked: this is a bug".to_owned(),
                ))
            };
            let result = changing.await.unwrap_or_else(panicked);
            FinishedJob::OffsetsChanged {
                name,
                result,
                reply,
            }
        });
    }

    /// Returns an existing connector whose class is known, with its config.
    fn known(&self, name: &str) -> Option<(ConnectorPlugin, Config)> {
        let config = core::view(&self.state, name)?.config;
        Some((self.connector(&config)?.clone(), config))
    }

    fn history(&mut self, name: String, reply: ReplySender<Vec<StoredVersion>>) {
        let store = self.parts.store.clone();
        self.jobs.spawn(async move {
            let versions = store
                .history(&name)
                .await
                .map_err(|failure| store_writer::refusal(&failure));
            send(
                reply,
                versions.and_then(|v| {
                    if v.is_empty() {
                        Err(HerderRefusal::UnknownConnector(name))
                    } else {
                        Ok(v)
                    }
                }),
            );
            FinishedJob::Answered
        });
    }

    fn info(&mut self, reply: ReplySender<WorkerInfo>) {
        let (cluster, is_joining) = (self.cluster.clone(), self.is_joining());
        self.jobs.spawn(async move {
            send(
                reply,
                Ok(WorkerInfo {
                    is_joining,
                    kafka_cluster_id: cluster.id().await,
                }),
            );
            FinishedJob::Answered
        });
    }

    fn health(&mut self, reply: ReplySender<(WorkerHealth, Vec<StalledTask>)>) {
        if let Some(why) = self.store_writer.failure() {
            return send(
                reply,
                Ok((
                    WorkerHealth::WithoutStore(why),
                    self.parts.worker.stalled_tasks(),
                )),
            );
        }
        let (cluster, worker) = (self.cluster.clone(), self.parts.worker.clone());
        self.jobs.spawn(async move {
            let still = worker.stalled_tasks();
            send(reply, Ok((cluster.health(worker).await, still)));
            FinishedJob::Answered
        });
    }
}
