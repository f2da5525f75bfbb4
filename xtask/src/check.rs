//! `cargo xtask check`: everything that can be said of the sources without running them.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Result;

use crate::project::Project;
use crate::steps::{Done, Steps};
use crate::{capabilities, firewall, js, links, numbers, python, run, tools};

/// How long the download of the advisory database may take.
const ADVISORY_LIMIT: Duration = Duration::from_secs(60);

/// One check: it fails, passes, or says why it cannot be done here.
type Check = fn(&Project) -> Result<Done>;

/// Runs every check, also after one has failed: a person wants to see all of them at once.
pub(crate) fn check(project: &Project) -> ExitCode {
    let mut steps = Steps::default();
    let checks: [(&str, Check); 13] = [
        ("format", |project| passed(run::run(&mut project.cargo(["fmt", "--all", "--check"])))),
        ("clippy", |project| passed(clippy(project))),
        ("clippy, browser build", |project| passed(clippy_wasm(project))),
        ("documentation", |project| passed(documentation(project))),
        ("bans, licenses, sources", |project| passed(dependencies(project))),
        ("advisories", advisories),
        ("firewall", |project| passed(firewall::check(project))),
        ("capabilities", |project| passed(capabilities::check(project))),
        ("capabilities, TypeScript", |project| passed(capabilities::check_typescript(project))),
        ("numbers of TypeScript and Rust", |project| passed(numbers::check(project))),
        ("npm package, what ships", |project| passed(js::check_manifest(project))),
        ("Python package, what ships", |project| passed(python::check_manifest(project))),
        ("links", |project| passed(links::check(project))),
    ];
    for (name, check) in checks {
        steps.attempt(name, || check(project));
    }
    steps.finish()
}

fn passed(result: Result<()>) -> Result<Done> {
    result.map(|()| Done::Passed)
}

fn clippy(project: &Project) -> Result<()> {
    let mut clippy = project.cargo(["clippy", "--workspace", "--all-targets", "--all-features"]);
    run::run(clippy.args(["--", "-D", "warnings"]))
}

fn clippy_wasm(project: &Project) -> Result<()> {
    let mut clippy = project.cargo(["clippy", "-p", "picobase", "-p", "picobase-wasm", "--no-default-features"]);
    clippy.args(["--target", firewall::WASM]);
    run::run(tools::with_wasm_std(project, clippy.args(["--", "-D", "warnings"]))?)
}

fn documentation(project: &Project) -> Result<()> {
    let mut doc = project.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    run::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// cargo-deny, on this workspace with all features.
fn deny(project: &Project) -> Result<Command> {
    let mut deny = Command::new(tools::cargo_deny().ensure(project)?);
    deny.args(["--all-features"]).current_dir(&project.root);
    Ok(deny)
}

fn dependencies(project: &Project) -> Result<()> {
    run::run(deny(project)?.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// The advisory database is a clone that not every machine can reach; where it cannot be had, that is said.
fn advisories(project: &Project) -> Result<Done> {
    let fetched = run::output_within(deny(project)?.args(["fetch", "db"]), ADVISORY_LIMIT);
    if let Err(error) = fetched {
        println!("{error:#}");
        return Ok(Done::Skipped("NOT CHECKED, the advisory database could not be fetched".to_owned()));
    }
    passed(run::run(deny(project)?.args(["check", "--disable-fetch", "advisories"])))
}
