//! The project's one runner: `cargo xtask <demo|build|test|check|bench|size|soak|setup|doctor>`.
//!
//! Whatever it installs goes to `target/tools`, so `cargo clean` takes it away again.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a runner talks to the person at the terminal")]

mod backend;
mod bench;
mod build;
mod capabilities;
mod check;
mod demo;
mod firewall;
mod js;
mod links;
mod numbers;
mod parts;
mod project;
mod python;
mod run;
mod soak;
mod steps;
mod test;
mod tools;
mod wasm;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::project::Project;

/// Sets up, tests, checks and measures the PicoBase SDKs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Shows the SDK at work, against a real server behind a proxy that makes faults
    Demo,
    /// Builds one part, or all parts
    Build(build::Options),
    /// Runs the tests of one part, or of all parts
    Test(test::Options),
    /// Formatting, lints, dependencies, documentation, firewall, capabilities, links
    Check,
    /// Measures one part, or all parts, and writes target/bench/PART.json
    Bench(bench::Options),
    /// Weighs the npm package, and writes target/bench/size.json
    Size(js::SizeOptions),
    /// Runs realtime for half an hour under the real limits of the server, and writes target/soak.json
    Soak(soak::Options),
    /// Installs what the other commands need into target/tools
    Setup,
    /// Reports what is there and what is missing
    Doctor,
}

fn main() -> ExitCode {
    match execute(Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<ExitCode> {
    let project = Project::find()?;
    match command {
        Command::Demo => demo::demo(&project),
        Command::Build(options) => build::build(&project, &options),
        Command::Test(options) => test::test(&project, &options),
        Command::Check => Ok(check::check(&project)),
        Command::Bench(options) => bench::bench(&project, &options),
        Command::Size(options) => Ok(js::size(&project, &options)),
        Command::Soak(options) => soak::soak(&project, &options),
        Command::Setup => Ok(tools::setup(&project)),
        Command::Doctor => Ok(tools::doctor(&project)),
    }
}
