//! Clients that nobody waits for: librdkafka takes a tenth of a second to end one.

use std::ops::Deref;

/// A client that is ended on a thread of its own when it is dropped.
pub(super) struct Aside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Aside<T> {
    /// That client.
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(client) => client,
            None => unreachable!("it is taken out by drop alone"),
        }
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        // without a thread for it, it is ended here and now
        let _thread = std::thread::Builder::new().name("end-client".to_owned()).spawn(move || drop(client));
    }
}
