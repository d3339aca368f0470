//! Checks whether Kafka answers. However many callers ask, Kafka is asked at most every few
//! seconds.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Error, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{WorkerShared, client_settings, thread::blocking};
use crate::kafka::admin::KafkaAdmin;

/// How long an answer is reused.
const FRESH: Duration = Duration::from_secs(3);
/// How long Kafka may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The last answer, and the client that asks.
#[derive(Default)]
pub(super) struct KafkaHealth(Mutex<KafkaHealthState>);

#[derive(Default)]
struct KafkaHealthState {
    admin: Option<Arc<KafkaAdmin>>,
    asked: Option<(Instant, Result<(), String>)>,
}

impl KafkaHealth {
    /// Returns the last answer if it is fresh, else asks Kafka. Errors: `Retry` when no broker
    /// answers.
    pub(super) async fn check(&self, shared: &WorkerShared) -> Result<()> {
        let mut state = self.0.lock().await;
        let fresh = state
            .asked
            .as_ref()
            .filter(|(at, _)| at.elapsed() < FRESH)
            .map(|(_, said)| said.clone());
        let said = match fresh {
            Some(said) => said,
            None => {
                let said = self
                    .ask(shared, &mut state)
                    .await
                    .map_err(|error| error.to_string());
                state.asked = Some((Instant::now(), said.clone()));
                said
            }
        };
        said.map_err(Error::retry)
    }

    async fn ask(&self, shared: &WorkerShared, state: &mut KafkaHealthState) -> Result<()> {
        let admin = match &state.admin {
            Some(admin) => Arc::clone(admin),
            None => {
                let options = &shared.options;
                let settings = client_settings::admin(options, None)?;
                let opened = KafkaAdmin::open(
                    &settings,
                    options.dev_broker.clone(),
                    shared.runtime.clone(),
                )?;
                Arc::clone(state.admin.insert(Arc::new(opened)))
            }
        };
        let answered = blocking(move || admin.check_answers(LIMIT)).await;
        if answered.is_err() {
            // A client that has lost its brokers never finds them again.
            state.admin = None;
        }
        answered
    }
}
