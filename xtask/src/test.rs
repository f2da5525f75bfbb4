//! `cargo xtask test`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::Args;

use crate::backend::{Backend, Profile};
use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{capabilities, firewall, parts, run, tools};

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// The part to test (rust, …); all of them without it
    part: Option<String>,
    /// The version of PocketBase to test against
    #[arg(long, value_name = "VERSION", default_value = tools::SERVER)]
    server: String,
    /// How often to run the tests
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// A version of Python to test the part python with; may be given more than once. All that are here without it
    #[arg(long, value_name = "VERSION")]
    pub(crate) python: Vec<tools::Line>,
}

/// Runs the parts, stops at the first failure, and prints what was done.
pub(crate) fn test(project: &Project, options: &Options) -> Result<ExitCode> {
    let parts = parts::select(options.part.as_deref())?;
    let mut steps = Steps::default();
    // A failure has been printed, and is in the summary.
    let _ = run_parts(project, options, &parts, &mut steps);
    Ok(steps.finish())
}

fn run_parts(project: &Project, options: &Options, parts: &[&parts::Part], steps: &mut Steps) -> Result<(), Stop> {
    let backend = Backend::prepare(project, steps, &options.server, Profile::Debug)?;
    for _ in 0..options.repeat {
        for part in parts {
            (part.test)(project, &backend, options, steps)?;
        }
    }
    Ok(())
}

/// The Rust part: all crates, then what their runs have covered, then what the browser build is made of.
pub(crate) fn rust(project: &Project, backend: &Backend, _: &Options, steps: &mut Steps) -> Result<(), Stop> {
    let coverage = fresh_coverage(project);
    let tests = || {
        let mut command = project.cargo(["test", "--workspace", "--exclude", "xtask", "--all-features"]);
        backend.apply(&mut command).env("PICOBASE_COVERAGE_DIR", &coverage);
        command
    };
    steps.run("tests", || {
        std::fs::create_dir_all(&coverage)?;
        run::run(&mut tests())
    })?;
    // Not among the tests above (`test = false`): it reads what all of them have called.
    steps.run("every endpoint was called", || {
        run::run(tests().args(["--test", "coverage"]).env("PICOBASE_COVERAGE_CHECK", "1"))?;
        std::fs::remove_dir_all(&coverage).context("cannot remove the coverage folder")
    })?;
    // Built with the tests above.
    steps.run("demo", || run::run(backend.apply(&mut Command::new(project.built("debug", "examples/demo")))))?;
    steps.run("browser build", || {
        let mut build = project.cargo(["build", "-p", "picobase", "--no-default-features", "--target", firewall::WASM]);
        run::run(tools::with_wasm_std(project, &mut build)?)
    })?;
    steps.run("firewall", || firewall::check(project))?;
    steps.run("capabilities", || capabilities::check(project))?;
    steps.run("tests of xtask", || run::run(&mut project.cargo(["test", "-p", "xtask"])))
}

/// Realtime: its parts alone, then the whole against a real server and its faults.
pub(crate) fn realtime(project: &Project, backend: &Backend, _: &Options, steps: &mut Steps) -> Result<(), Stop> {
    let test = ["test", "-p", "picobase", "--all-features"];
    // These run in the Rust part as well, but they are where to look first.
    steps.run("realtime, its parts", || {
        run::run(backend.apply(project.cargo(test).args(["--lib", "realtime"])))?;
        run::run(backend.apply(project.cargo(test).args(["--lib", "live"])))
    })?;
    steps.run("realtime, against a real server", || {
        run::run(backend.apply(project.cargo(test).args(["--test", "realtime"])))
    })
}

/// A folder of its own for what this run calls: what an earlier run has left must not count.
fn fresh_coverage(project: &Project) -> PathBuf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    project.target.join("coverage").join(format!("{}-{}", now.as_millis(), std::process::id()))
}
