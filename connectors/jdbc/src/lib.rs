//! JDBC connectors: the source polls tables, the sink creates and fills them.
//!
//! Pure parts (`dialect`, `source::query`, `sink::group`, `sink::evolve`) hold SQL text, types and decisions; `driver`
//! alone does I/O.
