//! What can be said of the Python sources without a server: style, types, and whether what is derived is up to date.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Interpreter;
use super::environment::Environment;
use super::wheels::{self, Wheels};
use crate::project::Project;
use crate::steps::{Done, Steps, Stop};
use crate::tools::MATURIN;
use crate::{capabilities, run};

/// Each with the program and what it is told, in the folder pypi.
const CHECKS: [(&str, &[&str]); 7] = [
    ("blocking client is derived", &["python", "tools/derive.py", "--check"]),
    ("ruff", &["ruff", "check"]),
    ("ruff, format", &["ruff", "format", "--check"]),
    ("mypy", &["mypy"]),
    ("pyright", &["pyright"]),
    // What it compares is the wheel that is installed, and its stub.
    ("stubtest", &["stubtest", "picobase._native"]),
    ("code in documents", &["python", "tools/check_docs.py"]),
];

/// Makes every check, also after one has failed: a person wants to see all of them at once.
pub(super) fn run(
    project: &Project,
    steps: &mut Steps,
    interpreter: &Interpreter,
    wheels: &Wheels,
) -> Result<(), Stop> {
    let environment = steps.run("tools for checks", || {
        Environment::with(project, interpreter, "check", "check", wheels.of(interpreter.line)?)
    })?;
    let folder = project.root.join("pypi");
    for (name, words) in CHECKS {
        let Some((program, args)) = words.split_first() else { continue };
        steps.attempt(name, || {
            run::run(environment.command(program).args(args).current_dir(&folder))?;
            Ok(Done::Passed)
        });
    }
    steps.attempt("capabilities, Python", || {
        capabilities::check_python(project, &mut environment.command("python"))?;
        Ok(Done::Passed)
    });
    steps.attempt("stub of the module", || {
        let made = wheels::stub(project, interpreter)?;
        let mut command = environment.command("python");
        run::run(command.arg("tools/stub.py").arg(made).arg("--check").current_dir(&folder))?;
        Ok(Done::Passed)
    });
    Ok(())
}

/// Fails where the package would bring others along, is built by another maturin than `cargo xtask` has, or has another licence
/// than the crates.
pub(crate) fn check_manifest(project: &Project) -> Result<()> {
    let text =
        std::fs::read_to_string(project.root.join("pypi/pyproject.toml")).context("cannot read pypi/pyproject.toml")?;
    let metadata = run::output(&mut project.cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let crates = metadata.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let bindings = crates.iter().find(|package| package.get("name").is_some_and(|name| name == "picobase-python"));
    let license = bindings.and_then(|bindings| bindings.get("license")).and_then(Value::as_str);
    let problems = manifest_problems(&text, license.context("the workspace has no picobase-python")?);
    if !problems.is_empty() {
        bail!("pypi/pyproject.toml has not:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn manifest_problems(text: &str, license: &str) -> Vec<String> {
    let lines = [
        format!("requires = [\"maturin=={MATURIN}\"]"),
        format!("license = \"{license}\""),
        "dependencies = []".to_owned(),
        "dynamic = [\"version\"]".to_owned(),
    ];
    lines.into_iter().filter(|line| !text.lines().any(|there| there == line)).collect()
}

#[cfg(test)]
mod tests {
    use super::{MATURIN, manifest_problems};

    #[test]
    fn what_ships_brings_nothing_along() {
        let good = format!(
            "requires = [\"maturin=={MATURIN}\"]\nlicense = \"MIT\"\ndependencies = []\ndynamic = [\"version\"]\n"
        );
        assert_eq!(manifest_problems(&good, "MIT"), [""; 0]);
        let bad = good.replace("= []", "= [\"httpx\"]");
        assert_eq!(manifest_problems(&bad, "ISC"), ["license = \"ISC\"", "dependencies = []"]);
    }
}
