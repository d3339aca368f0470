//! The test kit: real servers on private ports.
