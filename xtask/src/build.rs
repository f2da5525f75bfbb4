//! `cargo xtask build`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{parts, run};

/// What `cargo xtask build` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// The part to build (js, …); all of them without it
    part: Option<String>,
}

/// Builds the parts, and stops at the first failure.
pub(crate) fn build(project: &Project, options: &Options) -> Result<ExitCode> {
    let parts = parts::select(options.part.as_deref())?;
    let mut steps = Steps::default();
    for part in parts {
        if (part.build)(project, &mut steps).is_err() {
            // The failure has been printed, and is in the summary.
            break;
        }
    }
    Ok(steps.finish())
}

/// The crate.
pub(crate) fn rust(project: &Project, steps: &mut Steps) -> Result<(), Stop> {
    steps.run("build picobase", || {
        run::run(&mut project.cargo(["build", "--release", "-p", "picobase", "--all-features"]))
    })
}
