//! The CPythons that the package is tested with: what this machine has, and what can be built where it has none.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Result, anyhow, ensure};

use super::python;
use crate::project::Project;
use crate::run;

/// A line of CPython: `3.14`, and `3.14t` for the free-threaded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    minor: u32,
    free_threaded: bool,
}

/// The lines that the package is made for, first the oldest.
pub(crate) const LINES: [Line; 6] = [gil(10), gil(11), gil(12), gil(13), NEWEST, FREE_THREADED];

/// What tools run with, and what has the newest of the language.
pub(crate) const NEWEST: Line = gil(14);

/// The one that needs a wheel of its own.
pub(crate) const FREE_THREADED: Line = Line { minor: 14, free_threaded: true };

const fn gil(minor: u32) -> Line {
    Line { minor, free_threaded: false }
}

/// Says what an interpreter is, and which one is behind it where it is that of a virtual environment; fails where it cannot make
/// one itself.
const PROBE: &str = "import ensurepip, sys, sysconfig, venv; \
    free = sysconfig.get_config_var('Py_GIL_DISABLED'); \
    print(sys.implementation.name, '%d.%d' % sys.version_info[:2] + ('t' if free else '')); print(sys._base_executable)";

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}{}", self.minor, if self.free_threaded { "t" } else { "" })
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = || LINES.map(|line| line.to_string()).join(", ");
        LINES
            .into_iter()
            .find(|line| line.to_string() == text)
            .ok_or_else(|| anyhow!("the package is made for {}", known()))
    }
}

impl Line {
    /// Whether `cargo xtask` can bring it along where it is not there.
    pub(crate) fn can_be_built(self) -> bool {
        self.minor == NEWEST.minor
    }

    /// The first interpreter of this line that runs: of the user, else the one that was built here.
    pub(crate) fn find(self, project: &Project) -> Option<PathBuf> {
        let folders = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        let built = vec![python::bin(&self.folder(project))];
        // A free-threaded one may be called without its `t`: what counts is what it says of itself.
        let names = [format!("python{self}"), format!("python3.{}", self.minor)].map(|name| python::exe(&name));
        [folders, managed(), built]
            .concat()
            .into_iter()
            .flat_map(|folder: PathBuf| names.clone().map(|name| folder.join(name)))
            .filter(|program| program.is_file())
            .find_map(|program| self.ask(&program))
    }

    /// The interpreter behind a program, which may be a script that chooses one; none where it is of another line.
    fn ask(self, program: &Path) -> Option<PathBuf> {
        let said = run::output(Command::new(program).args(["-I", "-c", PROBE])).ok()?;
        let (name, executable) = said.trim().split_once('\n')?;
        (name.trim() == format!("cpython {self}")).then(|| PathBuf::from(executable.trim()))
    }

    pub(super) fn build(self, project: &Project) -> Result<()> {
        ensure!(self.can_be_built(), "it is not built here");
        let script = project.root.join("xtask/scripts/cpython.sh");
        run::run(Command::new("bash").arg(script).arg(self.folder(project)).arg(self.to_string()))
    }

    fn folder(self, project: &Project) -> PathBuf {
        project.tools().join(format!("python-{self}"))
    }
}

/// Where pyenv and uv keep the interpreters that they have installed.
fn managed() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let or_home = |name: &str, path: &str| std::env::var_os(name).map_or_else(|| home.join(path), PathBuf::from);
    let roots = [
        or_home("PYENV_ROOT", ".pyenv").join("versions"),
        std::env::var_os("UV_PYTHON_INSTALL_DIR")
            .map_or_else(|| or_home("XDG_DATA_HOME", ".local/share").join("uv/python"), PathBuf::from),
    ];
    let installed = roots.iter().flat_map(|root| std::fs::read_dir(root).into_iter().flatten().flatten());
    installed.map(|entry| python::bin(&entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::{FREE_THREADED, LINES, Line};

    #[test]
    fn lines_are_named_as_users_name_them() {
        for line in LINES {
            assert_eq!(line.to_string().parse::<Line>().unwrap(), line);
        }
        assert_eq!(FREE_THREADED.to_string(), "3.14t");
        let error = "3.9".parse::<Line>().unwrap_err().to_string();
        assert_eq!(error, "the package is made for 3.10, 3.11, 3.12, 3.13, 3.14, 3.14t");
    }

    #[test]
    fn only_the_newest_is_built() {
        let built: Vec<_> = LINES.into_iter().filter(|line| line.can_be_built()).map(|line| line.to_string()).collect();
        assert_eq!(built, ["3.14", "3.14t"]);
    }
}
