//! What tests and measurements run against.

use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;

use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{run, tools};

/// A server binary and the testkit that starts it behind its fault proxy.
pub(crate) struct Backend {
    version: String,
    server: PathBuf,
    testkit: PathBuf,
    /// On how many processors the server runs, where it is measured.
    processors: Option<NonZero<usize>>,
}

impl Backend {
    /// Installs the server and builds the testkit, each as a step.
    pub(crate) fn prepare(project: &Project, steps: &mut Steps, version: &str, profile: Profile) -> Result<Self, Stop> {
        let tool = tools::server(version);
        let server = steps.run(&tool.to_string(), || tool.ensure(project))?;
        let testkit = steps.run("build the testkit", || {
            let mut build = project.cargo(["build", "-p", "picobase-testkit"]);
            run::run(build.args(profile.flag()))?;
            Ok(project.built(profile.folder(), "picobase-testkit"))
        })?;
        let processors = match profile {
            Profile::Debug => None,
            Profile::Release => std::thread::available_parallelism().ok(),
        };
        Ok(Self { version: version.to_owned(), server, testkit, processors })
    }

    /// Tells a command where they are.
    pub(crate) fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PICOBASE_TESTKIT_BIN", &self.testkit)
            .env("PICOBASE_TEST_SERVER_BINARY", &self.server)
            .env("PICOBASE_TEST_SERVER", &self.version);
        if let Some(processors) = self.processors {
            // The testkit would run the server on one.
            command.env("GOMAXPROCS", processors.to_string());
        }
        command
    }
}

/// Which cargo profile a helper is built with.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// For tests.
    Debug,
    /// For measurements: a slow helper would be measured too.
    Release,
}

impl Profile {
    fn flag(self) -> Option<&'static str> {
        matches!(self, Self::Release).then_some("--release")
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}
