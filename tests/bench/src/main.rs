//! Measures the Rust SDK against its peers on a real server, side by side in one run. See the README.

mod bare;
mod bare_stream;
mod calls;
mod events;
mod machine;
mod measure;
mod profile;
mod reconnect;
mod replay;
mod report;
mod soak;
mod stage;
mod transfer;
mod writer;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use lexopt::prelude::{Long, Value, ValueExt as _};

use crate::{report::Report, stage::Stage};

const USAGE: &str = "usage: picobase-bench rust|realtime [--out FILE] [--strict] [--only TEXT]
       picobase-bench soak [--out FILE] [--minutes N]";

/// What the command line says.
#[derive(Default)]
struct Options {
    /// Where the JSON goes.
    out: Option<PathBuf>,
    /// A missed budget is a failure.
    strict: bool,
    /// Only the rows whose name has this in it.
    only: String,
}

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    match command.to_str() {
        Some("rust") => measure(&parse(rest)?, |report| {
            let stage = Stage::set()?;
            calls::measure(&stage, report)?;
            transfer::measure(&stage, report)
        }),
        Some("realtime") => measure(&parse(rest)?, |report| {
            events::measure(report)?;
            reconnect::measure(report)
        }),
        Some("soak") => soak::run(rest),
        // Those below are run by the bench itself and by whoever profiles it.
        Some(transfer::COMMAND) => transfer::child(&rest).map(|()| ExitCode::SUCCESS),
        Some(replay::COMMAND) => replay::child().map(|()| ExitCode::SUCCESS),
        Some(writer::COMMAND) => writer::child(&rest).map(|()| ExitCode::SUCCESS),
        Some(profile::COMMAND) => profile::run(&rest).map(|()| ExitCode::SUCCESS),
        _ => bail!(USAGE),
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Options> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("out") => options.out = Some(parser.value()?.into()),
            Long("strict") => options.strict = true,
            Long("only") => options.only = parser.value()?.string()?,
            Value(word) => bail!("{} is not understood; {USAGE}", word.display()),
            other => return Err(other.unexpected()).context(USAGE),
        }
    }
    Ok(options)
}

/// Measures everything and tells about it.
fn measure(options: &Options, rows: impl FnOnce(&mut Report) -> Result<()>) -> Result<ExitCode> {
    let mut report = Report::new(machine::describe(), &options.only);
    rows(&mut report)?;
    report.print();
    if let Some(out) = &options.out {
        report.write(out).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(if options.strict && !report.all_hold() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
