//! Was every endpoint called? Reads what the clients of the other test binaries have recorded, so it runs last.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests assert by panicking")]

mod common;

use std::{collections::HashSet, fs};

use picobase::endpoints::ALL;

#[test]
fn every_endpoint_was_called() {
    let Some(folder) = std::env::var_os("PICOBASE_COVERAGE_DIR").filter(|folder| !folder.is_empty()) else {
        panic!("PICOBASE_COVERAGE_DIR is not set: run `cargo xtask test rust`, which runs this after all other tests");
    };
    let mut called = HashSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        called.extend(text.lines().map(str::to_string));
    }
    let missing: Vec<String> = ALL
        .iter()
        .filter(|row| common::server_has(row.since) && !called.contains(row.name))
        .map(|row| format!("{} {} ({} {})", row.number, row.name, row.method.as_str(), row.path))
        .collect();
    assert!(missing.is_empty(), "no test called these endpoints:\n{}", missing.join("\n"));
}
