//! The part `js`: the WebAssembly modules, the npm package around them, and its tests.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::backend::Backend;
use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::test::Options;
use crate::tools::{self, Node};
use crate::{bench, run, wasm};

/// Builds the modules and the package.
pub(crate) fn build(project: &Project, steps: &mut Steps) -> Result<(), Stop> {
    package(project, steps).map(drop)
}

/// Builds the modules and the package, with the tools for it.
fn package(project: &Project, steps: &mut Steps) -> Result<Node, Stop> {
    let node = steps.run("node and its packages", || Node::ensure(project))?;
    steps.run("wasm modules", || wasm::build(project, &node))?;
    steps.run("npm package", || run::run(&mut npm(project, &node, ["run", "build"])))?;
    Ok(node)
}

/// The package in Node and in Chromium, then what is shipped of it, installed as users install it.
pub(crate) fn test(project: &Project, backend: &Backend, _: &Options, steps: &mut Steps) -> Result<(), Stop> {
    let node = package(project, steps)?;
    let chromium = steps.run("chromium", || tools::chromium().ensure(project))?;
    let npm_run = |script: &'static str| {
        let mut command = npm(project, &node, ["run", script]);
        backend.apply(command.env("PICOBASE_CHROMIUM", &chromium));
        command
    };
    steps.run("wasm module for tests", || wasm::build_for_tests(project))?;
    steps.run("types", || run::run(&mut npm_run("types")))?;
    steps.run("js, in Node", || run::run(&mut npm_run("test:node")))?;
    steps.run("js, in Chromium", || run::run(&mut npm_run("test:browser")))?;
    let tarball = steps.run("pack", || pack(project, &node))?;
    steps.run("js, as it is shipped", || {
        let mut consumers = node.script(project, "npm/test/consumers/run.mjs");
        consumers.arg(&tarball).env("PICOBASE_CHROMIUM", &chromium);
        run::run(backend.apply(&mut consumers))
    })?;
    for example in ["react", "astro"] {
        steps.run(&format!("example {example}"), || {
            let folder = project.root.join("examples").join(example);
            let mut e2e = node.npm(&folder, ["run", "e2e"]);
            e2e.env("PICOBASE_TARBALL", &tarball).env("PICOBASE_CHROMIUM", &chromium);
            run::run(backend.apply(&mut e2e))
        })?;
    }
    // Its types of React are those of the example.
    steps.run("code in the guide", || run::run(&mut node.script(project, "npm/scripts/check-docs.mjs")))?;
    steps.run("size", || measure(project, &node, false))
}

/// What `cargo xtask size` can be told.
#[derive(Args)]
pub(crate) struct SizeOptions {
    /// Write what is reached now into npm/size-limits.json, as what may not be exceeded
    #[arg(long)]
    set: bool,
}

/// `cargo xtask size`: builds the package and weighs it.
pub(crate) fn size(project: &Project, options: &SizeOptions) -> ExitCode {
    let mut steps = Steps::default();
    if let Ok(node) = package(project, &mut steps) {
        // A failure has been printed, and is in the summary.
        let _ = steps.run("size", || measure(project, &node, options.set));
    }
    steps.finish()
}

/// The package against its peers, in Node and in Chromium, and its weight.
pub(crate) fn bench(project: &Project, backend: &Backend, steps: &mut Steps) -> Result<(), Stop> {
    let node = package(project, steps)?;
    let chromium = steps.run("chromium", || tools::chromium().ensure(project))?;
    bench::build(project, steps)?;
    steps.run("bench js", || {
        bench::report(project, "js", |out| {
            let mut command = node.script(project, "npm/bench/run.mjs");
            command.arg("--out").arg(out).env("PICOBASE_CHROMIUM", &chromium);
            command.env("PICOBASE_BENCH_BIN", project.built("release", "picobase-bench"));
            run::run(backend.apply(&mut command))
        })
    })?;
    steps.run("size", || measure(project, &node, false))
}

/// Fails where what ships would bring other packages along, or run something when it is installed; and where it is another
/// version or licence than the crates.
pub(crate) fn check_manifest(project: &Project) -> Result<()> {
    let text =
        std::fs::read_to_string(project.root.join("npm/package.json")).context("cannot read npm/package.json")?;
    let package: Value = serde_json::from_str(&text).context("npm/package.json is not JSON")?;
    let metadata = run::output(&mut project.cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let crates = metadata.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let bindings = crates.iter().find(|package| package.get("name").is_some_and(|name| name == "picobase-wasm"));
    let problems = manifest_problems(&package, bindings.context("the workspace has no picobase-wasm")?);
    if !problems.is_empty() {
        bail!("npm/package.json:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn manifest_problems(package: &Value, bindings: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for kind in
        ["dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies", "bundledDependencies"]
    {
        if package.get(kind).is_some() {
            problems.push(format!("has `{kind}`: the package has none but for its development"));
        }
    }
    for script in ["preinstall", "install", "postinstall", "prepublish", "prepare"] {
        if package.pointer(&format!("/scripts/{script}")).is_some() {
            problems.push(format!("runs `{script}`: nothing runs where the package is installed"));
        }
    }
    for key in ["version", "license"] {
        if package.get(key) != bindings.get(key) {
            problems.push(format!("its {key} is not that of the crates"));
        }
    }
    problems
}

/// Writes target/bench/size.json, and fails where the package is heavier than npm/size-limits.json lets it be.
fn measure(project: &Project, node: &Node, set: bool) -> Result<()> {
    bench::report(project, "size", |out| {
        run::run(node.script(project, "npm/scripts/size.mjs").arg(out).args(set.then_some("--set")))
    })
}

/// The tarball that `npm publish` would send.
fn pack(project: &Project, node: &Node) -> Result<PathBuf> {
    let folder = project.target.join("npm");
    std::fs::create_dir_all(&folder)?;
    let mut pack = npm(project, node, ["pack", "--json", "--ignore-scripts", "--pack-destination"]);
    let printed = run::output(pack.arg(&folder))?;
    let packed: Value = serde_json::from_str(&printed).context("npm pack printed no JSON")?;
    let name = packed.pointer("/0/filename").and_then(Value::as_str).context("npm pack named no file")?;
    let tarball = folder.join(name);
    println!("{}", project.relative(&tarball).display());
    Ok(tarball)
}

/// npm, in the folder of the package.
fn npm<const N: usize>(project: &Project, node: &Node, args: [&str; N]) -> Command {
    let mut npm = node.npm(&project.root.join("npm"), args);
    npm.env("PICOBASE_WASM", wasm::folder(project));
    npm
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::manifest_problems;

    #[test]
    fn what_ships_brings_nothing_along() {
        let bindings = json!({"version": "0.1.0", "license": "MIT"});
        let good =
            json!({"version": "0.1.0", "license": "MIT", "scripts": {"build": "x"}, "devDependencies": {"a": "1"}});
        assert_eq!(manifest_problems(&good, &bindings), [""; 0]);
        let bad = json!({"version": "0.1.1", "scripts": {"postinstall": "x"}, "dependencies": {}});
        assert_eq!(
            manifest_problems(&bad, &bindings),
            [
                "has `dependencies`: the package has none but for its development",
                "runs `postinstall`: nothing runs where the package is installed",
                "its version is not that of the crates",
                "its license is not that of the crates",
            ]
        );
    }
}
