//! `cargo xtask soak`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::backend::{Backend, Profile};
use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{run, tools};

/// What `cargo xtask soak` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How long it runs, to try it; what that is too short for says so
    #[arg(long, value_name = "N", default_value_t = 31.5)]
    minutes: f64,
}

/// Builds for release and runs; writes target/soak.json.
pub(crate) fn soak(project: &Project, options: &Options) -> Result<ExitCode> {
    let mut steps = Steps::default();
    // A failure has been printed, and is in the summary.
    let _ = run_all(project, options, &mut steps);
    Ok(steps.finish())
}

fn run_all(project: &Project, options: &Options, steps: &mut Steps) -> Result<(), Stop> {
    let backend = Backend::prepare(project, steps, tools::SERVER, Profile::Release)?;
    steps.run("build the soak", || run::run(&mut project.cargo(["build", "--release", "-p", "picobase-bench"])))?;
    steps.run("soak", || {
        let minutes = options.minutes.to_string();
        let mut command = project.cargo(["run", "--quiet", "--release", "-p", "picobase-bench", "--", "soak"]);
        command.args(["--minutes", &minutes, "--out"]).arg(project.target.join("soak.json"));
        run::run(backend.apply(&mut command))
    })
}
