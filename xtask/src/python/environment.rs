//! Virtual environments under target/pypi, each with what one of the lists in pypi/requirements names.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Interpreter;
use crate::project::Project;
use crate::run;
use crate::tools;

/// The lists, and the versions of what they name.
const REQUIREMENTS: &str = "pypi/requirements";

/// One environment.
pub(super) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// An environment with what a list names, and with this wheel of the package. It is kept for as long as the lists and the
    /// interpreter stay the same; the wheel is always installed anew.
    pub(super) fn with(
        project: &Project,
        interpreter: &Interpreter,
        list: &str,
        name: &str,
        wheel: &Path,
    ) -> Result<Self> {
        let environment = Self { folder: folder(project, interpreter, name) };
        let stamp = environment.folder.join(".made-of");
        let wanted = made_of(project, interpreter)?;
        if std::fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            environment.create(interpreter)?;
            run::run(&mut environment.pip_install(project, list))?;
            std::fs::write(&stamp, &wanted)?;
        }
        // Without an index: the package needs no other.
        run::run(environment.pip().args(["--no-index", "--force-reinstall"]).arg(wheel))?;
        Ok(environment)
    }

    /// A new environment without anything.
    pub(super) fn clean(project: &Project, interpreter: &Interpreter) -> Result<Self> {
        let environment = Self { folder: folder(project, interpreter, "clean") };
        environment.create(interpreter)?;
        Ok(environment)
    }

    /// A folder with what a list names, for packages that cannot be in one environment with others.
    pub(super) fn folder_with(&self, project: &Project, list: &str) -> Result<PathBuf> {
        let folder = self.folder.join(list);
        let mut install = self.pip_install(project, list);
        run::run(install.arg("--upgrade").arg("--target").arg(&folder))?;
        Ok(folder)
    }

    /// Lets pip build the package from its sources. What crates it needs were compiled for the wheels.
    pub(super) fn build_and_install(&self, project: &Project, sdist: &Path) -> Result<()> {
        run::run(self.pip().arg(sdist).env("CARGO_TARGET_DIR", &project.target))
    }

    fn create(&self, interpreter: &Interpreter) -> Result<()> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).context("cannot remove the last environment")?;
        }
        run::output(Command::new(&interpreter.program).args(["-m", "venv"]).arg(&self.folder)).map(drop)
    }

    fn pip_install(&self, project: &Project, list: &str) -> Command {
        let lists = project.root.join(REQUIREMENTS);
        let mut install = self.pip();
        install.arg("-r").arg(lists.join(format!("{list}.txt"))).arg("-c").arg(lists.join("constraints.txt"));
        install
    }

    fn pip(&self) -> Command {
        let mut pip = self.command("python");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    }

    /// A program of this environment; what it starts itself is found here as well.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(tools::bin(&self.folder).join(tools::exe(program)));
        self.lend(&mut command);
        command
    }

    /// Lets a command find the programs of this environment.
    pub(super) fn lend(&self, command: &mut Command) {
        let bin = tools::bin(&self.folder);
        let rest = std::env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&rest))) {
            command.env("PATH", path);
        }
        command.env("VIRTUAL_ENV", &self.folder).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    }
}

fn folder(project: &Project, interpreter: &Interpreter, name: &str) -> PathBuf {
    project.target.join("pypi").join(format!("{name}-{}", interpreter.line))
}

/// The interpreter, and the text of all lists: they name each other.
fn made_of(project: &Project, interpreter: &Interpreter) -> Result<String> {
    let folder = project.root.join(REQUIREMENTS);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let mut files: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    files.iter().try_fold(format!("{}\n", interpreter.program.display()), |text, file| {
        Ok(text + &std::fs::read_to_string(file)?)
    })
}
