//! `cargo xtask bench`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::backend::{Backend, Profile};
use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{parts, run, tools};

/// What `cargo xtask bench` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// The part to measure (rust, …); all of them without it
    part: Option<String>,
}

/// Builds for release and measures the parts one after the other.
pub(crate) fn bench(project: &Project, options: &Options) -> Result<ExitCode> {
    let parts = parts::select(options.part.as_deref())?;
    let mut steps = Steps::default();
    // A failure has been printed, and is in the summary.
    let _ = run_parts(project, &parts, &mut steps);
    Ok(steps.finish())
}

fn run_parts(project: &Project, parts: &[&parts::Part], steps: &mut Steps) -> Result<(), Stop> {
    let backend = Backend::prepare(project, steps, tools::SERVER, Profile::Release)?;
    parts.iter().try_for_each(|part| (part.bench)(project, &backend, steps))
}

/// The calls of the Rust SDK.
pub(crate) fn rust(project: &Project, backend: &Backend, steps: &mut Steps) -> Result<(), Stop> {
    measure(project, backend, steps, "rust")
}

/// Events, and how soon they come again.
pub(crate) fn realtime(project: &Project, backend: &Backend, steps: &mut Steps) -> Result<(), Stop> {
    measure(project, backend, steps, "realtime")
}

/// Runs one part of picobase-bench, which writes target/bench/PART.json.
fn measure(project: &Project, backend: &Backend, steps: &mut Steps, part: &str) -> Result<(), Stop> {
    build(project, steps)?;
    steps.run(&format!("bench {part}"), || {
        report(project, part, |out| {
            let mut command =
                project.cargo(["run", "--quiet", "--release", "-p", "picobase-bench", "--", part, "--out"]);
            run::run(backend.apply(command.arg(out)))
        })
    })
}

/// Builds picobase-bench, which measures, and which other benches take servers from.
pub(crate) fn build(project: &Project, steps: &mut Steps) -> Result<(), Stop> {
    steps.run("build the bench", || run::run(&mut project.cargo(["build", "--release", "-p", "picobase-bench"])))
}

/// Lets a bench write target/bench/PART.json.
pub(crate) fn report(project: &Project, part: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = project.target.join("bench");
    let out = folder.join(format!("{part}.json"));
    std::fs::create_dir_all(&folder)?;
    // What an earlier run has left must not pass for the result of this one.
    if out.exists() {
        std::fs::remove_file(&out)?;
    }
    write(&out)?;
    ensure!(out.is_file(), "the bench did not write {}", out.display());
    Ok(())
}
