//! `cargo xtask demo`.

use std::process::ExitCode;

use anyhow::Result;

use crate::backend::{Backend, Profile};
use crate::project::Project;
use crate::steps::Steps;
use crate::{run, tools};

/// Installs the server, builds the testkit, and runs the core's example against both.
pub(crate) fn demo(project: &Project) -> Result<ExitCode> {
    let mut steps = Steps::default();
    let Ok(backend) = Backend::prepare(project, &mut steps, tools::SERVER, Profile::Debug) else {
        return Ok(steps.finish());
    };
    let mut example = project.cargo(["run", "-p", "picobase", "--all-features", "--example", "demo"]);
    run::run(backend.apply(&mut example))?;
    Ok(ExitCode::SUCCESS)
}
