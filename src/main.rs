//! The `rowferry` binary.

fn main() {
    rowferry::cli::main(rowferry::registry::Registry::built_in())
}
