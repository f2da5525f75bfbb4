//! What is built of the package, with maturin, each into a folder of its own under target/pypi.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Interpreter;
use crate::project::Project;
use crate::run;
use crate::steps::{Steps, Stop};
use crate::tools::{self, FREE_THREADED, Line};

/// What a wheel has to have beside the modules.
const NEEDED: [&str; 5] = [
    "picobase/py.typed",
    "picobase/_native.pyi",
    "picobase/_native.",
    "licenses/LICENSE-MIT",
    "licenses/LICENSE-APACHE",
];

/// The wheels that ship, of those that were wanted.
pub(super) struct Wheels {
    /// Without a lock, or with one: then it is for all versions.
    built: Vec<(bool, PathBuf)>,
}

impl Wheels {
    /// Builds what these interpreters need.
    pub(super) fn build(project: &Project, steps: &mut Steps, interpreters: &[Interpreter]) -> Result<Self, Stop> {
        let mut built = Vec::new();
        for (name, free_threaded) in [("wheel", false), ("wheel-free-threaded", true)] {
            // The newest builds for all.
            if let Some(with) = interpreters.iter().rfind(|one| (one.line == FREE_THREADED) == free_threaded) {
                let wheel = steps.run(&format!("{name}, by {}", with.line), || {
                    let wheel = maturin(project, Some(with), name, &["build", "--locked"])?;
                    check_content(with, &wheel)?;
                    Ok(wheel)
                })?;
                built.push((free_threaded, wheel));
            }
        }
        Ok(Self { built })
    }

    /// What pip would choose for this line.
    pub(super) fn of(&self, line: Line) -> Result<&Path> {
        let found = self.built.iter().find(|(free_threaded, _)| *free_threaded == (line == FREE_THREADED));
        found.map(|(_, wheel)| wheel.as_path()).with_context(|| format!("there is no wheel for {line}"))
    }
}

/// The sources, as pip builds from them where no wheel fits.
pub(super) fn sdist(project: &Project) -> Result<PathBuf> {
    maturin(project, None, "sdist", &["sdist"])
}

/// A wheel with the functions that only the shared vectors call. It is built as the tests of the crates are, which have
/// compiled the most of it.
pub(super) fn for_vectors(project: &Project, with: &Interpreter) -> Result<PathBuf> {
    maturin(
        project,
        Some(with),
        "wheel-vectors",
        &["build", "--locked", "--profile=dev", "--features=abi3,test-exports"],
    )
}

/// The annotations of the module, as the sources of the bindings say them.
pub(super) fn stub(project: &Project, with: &Interpreter) -> Result<PathBuf> {
    let args = ["generate-stubs", "--locked", "--profile=dev", "--features=abi3,inspect"];
    Ok(maturin(project, Some(with), "stubs", &args)?.join("_native.pyi"))
}

/// Runs maturin and returns what it has made, which is one file or folder.
fn maturin(project: &Project, with: Option<&Interpreter>, name: &str, args: &[&str]) -> Result<PathBuf> {
    let folder = project.target.join("pypi").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("cannot remove what was built last")?;
    }
    let mut command = Command::new(tools::maturin().ensure(project)?);
    command.args(args).arg("--out").arg(&folder).current_dir(project.root.join("pypi"));
    if let Some(interpreter) = with {
        command.arg("--interpreter").arg(&interpreter.program);
    }
    // The same folder as cargo's own, wherever maturin would look for it.
    run::run(command.env("CARGO_TARGET_DIR", &project.target))?;
    let made: Vec<_> =
        std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let [made] = made.as_slice() else { bail!("maturin has made {} files in {}", made.len(), folder.display()) };
    println!("{}, {} KB", project.relative(made).display(), std::fs::metadata(made)?.len() / 1000);
    Ok(made.clone())
}

/// Fails where something is missing in a wheel, or is there that users have no need of.
fn check_content(with: &Interpreter, wheel: &Path) -> Result<()> {
    let list = "import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep='\\n')";
    let names = run::output(Command::new(&with.program).args(["-c", list]).arg(wheel))?;
    let problems = content_problems(&names.lines().collect::<Vec<_>>());
    if !problems.is_empty() {
        bail!("{}:\n  {}", wheel.display(), problems.join("\n  "));
    }
    Ok(())
}

fn content_problems(names: &[&str]) -> Vec<String> {
    let missing = NEEDED.iter().filter(|needed| !names.iter().any(|name| name.contains(**needed)));
    let missing = missing.map(|needed| format!("{needed} is missing"));
    let known = |name: &str| name.starts_with("picobase/") || name.contains(".dist-info/");
    let kind = |name: &str| [".py", ".pyi", ".so", ".pyd", "py.typed"].iter().any(|ending| name.ends_with(ending));
    let foreign = names.iter().filter(|name| !known(name) || (name.starts_with("picobase/") && !kind(name)));
    let foreign = foreign.map(|name| format!("{name} does not belong there"));
    let modules = names.iter().filter(|name| name.contains("picobase/_native.") && !name.ends_with(".pyi")).count();
    let twice = (modules > 1).then(|| format!("{modules} modules are in it"));
    missing.chain(foreign).chain(twice).collect()
}

#[cfg(test)]
mod tests {
    use super::content_problems;

    #[test]
    fn a_wheel_has_the_package_and_nothing_else() {
        let good = [
            "picobase/__init__.py",
            "picobase/py.typed",
            "picobase/_native.pyi",
            "picobase/_native.abi3.so",
            "picobase-0.1.0.dist-info/METADATA",
            "picobase-0.1.0.dist-info/licenses/LICENSE-MIT",
            "picobase-0.1.0.dist-info/licenses/LICENSE-APACHE",
        ];
        assert_eq!(content_problems(&good), [""; 0]);
        let more = [&good[..], &["tests/x.py", "picobase/notes.txt", "picobase/_native.cpython-314t.so"]].concat();
        assert_eq!(
            content_problems(&more),
            ["tests/x.py does not belong there", "picobase/notes.txt does not belong there", "2 modules are in it"]
        );
        assert_eq!(
            content_problems(&good[..3]),
            ["licenses/LICENSE-MIT is missing", "licenses/LICENSE-APACHE is missing"]
        );
    }
}
