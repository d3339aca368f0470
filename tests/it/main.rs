//! Integration tests: the built binary against real servers.
