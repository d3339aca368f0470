//! The figures of one Kafka client of a task, from librdkafka's statistics. A client that is opened
//! again continues the totals of the one before. Pure: the time is passed in.

use super::window::{Window, as_f64};

/// What librdkafka reports about a client since it was opened (its `STATISTICS.md`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientReport {
    /// Number of brokers with an established connection.
    pub connections: u64,
    pub requests: u64,
    pub sent_bytes: u64,
    pub responses: u64,
    pub received_bytes: u64,
    /// Bytes of records that wait to be sent, or to be read.
    pub queued_bytes: u64,
    /// Connections that were established and lost.
    pub connects: u64,
    pub disconnects: u64,
}

/// The figures of all clients that one task has had for one purpose. A client that replaces another
/// may be opened before the other is closed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientFigures {
    /// True once such a client was opened.
    pub is_known: bool,
    /// Totals of all clients; `connections` and `queued_bytes` are the current numbers.
    pub total: ClientReport,
    pub sent_rate: Window,
    pub received_rate: Window,
    pub request_rate: Window,
    pub response_rate: Window,
    /// Refused logins.
    pub denied: u64,
}

impl ClientFigures {
    /// Takes in a report of a client whose last report is `last`; the default for none.
    pub(crate) fn report(&mut self, now_ms: u64, last: ClientReport, report: ClientReport) {
        let more = |of: fn(&ClientReport) -> u64| of(&report).saturating_sub(of(&last));
        let (requests, sent) = (more(|r| r.requests), more(|r| r.sent_bytes));
        let (responses, received) = (more(|r| r.responses), more(|r| r.received_bytes));
        let total = &mut self.total;
        total.connections =
            (total.connections + report.connections).saturating_sub(last.connections);
        total.queued_bytes =
            (total.queued_bytes + report.queued_bytes).saturating_sub(last.queued_bytes);
        total.connects += more(|r| r.connects);
        total.disconnects += more(|r| r.disconnects);
        total.requests += requests;
        total.sent_bytes += sent;
        total.responses += responses;
        total.received_bytes += received;
        self.request_rate.add(now_ms, as_f64(requests));
        self.sent_rate.add(now_ms, as_f64(sent));
        self.response_rate.add(now_ms, as_f64(responses));
        self.received_rate.add(now_ms, as_f64(received));
    }

    /// Notes that a client with this last report was closed.
    pub(crate) fn closed(&mut self, last: ClientReport) {
        let total = &mut self.total;
        total.connections = total.connections.saturating_sub(last.connections);
        total.queued_bytes = total.queued_bytes.saturating_sub(last.queued_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientFigures, ClientReport};

    fn report(connections: u64, sent_bytes: u64) -> ClientReport {
        ClientReport {
            connections,
            queued_bytes: connections * 10,
            sent_bytes,
            ..ClientReport::default()
        }
    }

    #[test]
    fn totals_continue_when_a_client_replaces_another() {
        let mut client = ClientFigures::default();
        let none = ClientReport::default();
        client.report(0, none, report(2, 100));
        client.report(1, report(2, 100), report(2, 150));
        client.report(2, none, report(1, 30));
        assert_eq!(client.total.connections, 3, "both are open");
        assert_eq!(client.total.queued_bytes, 30);
        client.closed(report(2, 150));
        assert_eq!(
            (client.total.connections, client.total.sent_bytes),
            (1, 180)
        );
        assert_eq!(client.total.queued_bytes, 10);
        assert!((client.sent_rate.rate(30_000) - 6.0).abs() < 1e-9);
    }
}
