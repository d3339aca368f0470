//! The `rowferry` binary.

fn main() {}
