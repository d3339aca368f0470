//! Single failures outside a worker: docs/dev/failures.md lists which test is for which failure.

mod broker;
mod columns;
mod database;
mod network;
mod process;
mod rebalances;

use sqlx::mysql::MySqlConnection;
use testkit::mariadb::{count, run};
use testkit::rows_sql;

/// Writes rows, some at a time, until it is stopped.
struct Writing {
    stop: tokio::sync::watch::Sender<bool>,
    writer: tokio::task::JoinHandle<i64>,
}

impl Writing {
    /// Rows go to the table `t` of that connection's database, which is made.
    async fn start(mut connection: MySqlConnection) -> Self {
        run(&mut connection, &rows_sql::create("t")).await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writer = tokio::spawn(async move {
            let mut rows = 0;
            while !*stopped.borrow() {
                run(&mut connection, &rows_sql::fill("t", rows + 1, rows + 40)).await;
                rows += 40;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            count(&mut connection, "SELECT COUNT(*) FROM t").await
        });
        Self { stop, writer }
    }

    /// Stops; how many rows there are.
    async fn rows(self) -> i64 {
        self.stop.send_replace(true);
        self.writer.await.unwrap()
    }
}
