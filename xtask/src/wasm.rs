//! The WebAssembly modules of the package: compiled for size, optimised, and looked at before anything ships them.
//!
//! The same sources give the same bytes, wherever they are built; and where nothing has changed nothing is done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::firewall::{self, WASM};
use crate::project::Project;
use crate::tools::Node;
use crate::{run, tools};

/// The crate of the bindings.
const CRATE: &str = "bindings-wasm";

/// How it is compiled. Set here and not in a manifest, so that no other build of the workspace is touched by it.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "false"),
];

/// What else makes it small.
const SMALL: &[&str] = &[
    // No places and no texts of panics, which nothing could show.
    "-Zunstable-options",
    "-Zlocation-detail=none",
    "-Zfmt-debug=none",
    // What both branches do is done once, and nothing twice to save some paths or turns of a loop a computation.
    "-Cllvm-args=-hoist-common-insts",
    "-Cllvm-args=-sink-common-insts",
    "-Cllvm-args=-enable-pre=false",
    "-Cllvm-args=-disable-lsr",
    // A stack of 128 KB: addresses of static data are a byte shorter.
    "-Clink-arg=-zstack-size=131072",
    // Who refers to whom is left in: by that the module is divided in two.
    "-Clink-arg=--emit-relocs",
];

/// Only with a standard library that is built the same way: a panic is one instruction.
const IMMEDIATE_ABORT: &str = "-Cpanic=immediate-abort";

/// What makes the modules that ship out of the one that was linked: optimises it, and divides it in two.
const SPLIT: &str = "npm/scripts/split.mjs";

/// Where the modules are: `core.wasm`; `more.wasm`, with what few pages need at once; and `realtime.wasm`, which is loaded
/// where something is subscribed to.
pub(crate) fn folder(project: &Project) -> PathBuf {
    project.target.join("wasm")
}

/// Builds what ships.
pub(crate) fn build(project: &Project, node: &Node) -> Result<()> {
    let linked = compile(project, &[])?;
    let modules = ["core.wasm", "more.wasm", "realtime.wasm"].map(|name| folder(project).join(name));
    split(project, node, &linked, &modules)?;
    let declared = declared(&firewall::sources(&project.root.join(CRATE).join("src"))?)?;
    // Each may use what those before it share.
    let mut shared = BTreeSet::new();
    for module in &modules {
        let more = inspect(project, node, module, &declared, &shared)?;
        shared.extend(more);
    }
    Ok(())
}

/// Builds `test.wasm`, one module that exports more than what ships: for the vectors that cannot be seen from outside.
pub(crate) fn build_for_tests(project: &Project) -> Result<()> {
    let linked = compile(project, &["--features", "test-exports"])?;
    let module = folder(project).join("test.wasm");
    std::fs::create_dir_all(folder(project))?;
    std::fs::copy(&linked, &module).with_context(|| format!("cannot write {}", module.display()))?;
    Ok(())
}

/// Compiles the crate; the module is where cargo puts it, and the next call overwrites it.
fn compile(project: &Project, features: &[&str]) -> Result<PathBuf> {
    // Of its own: RUSTC_BOOTSTRAP would make cargo build again what it shares with other builds.
    let target = project.target.join("wasm-build");
    let mut cargo = project.cargo(["build", "--release", "--locked", "--target", WASM, "--manifest-path"]);
    cargo.arg(project.root.join(CRATE).join("Cargo.toml")).arg("--target-dir").arg(&target).args(features);
    cargo.envs(PROFILE.iter().copied()).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
    let flags = standard_library(project, &mut cargo)?;
    run::run(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    Ok(target.join(WASM).join("release/picobase_wasm.wasm"))
}

/// Has the standard library built for size, or takes the ready one where its sources cannot be had; the flags for either.
fn standard_library(project: &Project, cargo: &mut Command) -> Result<Vec<String>> {
    let mut flags: Vec<_> = SMALL.iter().map(|flag| (*flag).to_owned()).collect();
    match tools::rust_src().ensure(project) {
        Ok(library) => {
            cargo.args(["-Zbuild-std=core,alloc", "-Zbuild-std-features=optimize_for_size"]);
            flags.push(IMMEDIATE_ABORT.to_owned());
            if library.starts_with(project.tools()) {
                cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
            }
        }
        Err(error) => {
            println!("NOTE: {error:#}\nThe module gets the ready standard library, and is larger than what ships.");
            if let Some(sysroot) = tools::std_sysroot(project)? {
                flags.push(format!("--sysroot={}", sysroot.display()));
            }
        }
    }
    Ok(flags)
}

/// Makes the modules, where either their input or the way has changed since the last time.
fn split(project: &Project, node: &Node, linked: &Path, modules: &[PathBuf]) -> Result<()> {
    let input = made_from(project, linked)?;
    let noted = folder(project).join("made-from");
    if modules.iter().all(|module| module.is_file()) && std::fs::read(&noted).is_ok_and(|last| last == input) {
        println!("up to date");
        return Ok(());
    }
    if noted.exists() {
        std::fs::remove_file(&noted)?;
    }
    let mut split = node.script(project, SPLIT);
    run::run(split.arg(linked).arg(folder(project)).current_dir(project.root.join("npm")))?;
    std::fs::write(&noted, input).context("cannot note what the modules were made from")
}

/// All that the bytes of the modules depend on.
fn made_from(project: &Project, linked: &Path) -> Result<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let binaryen = read(&project.root.join("npm/node_modules/binaryen/package.json"))?;
    Ok([read(&project.root.join(SPLIT))?, binaryen, read(linked)?].concat())
}

/// Fails where a module wants more than the functions that the bindings declare and what `core` shares with it, or says
/// where it was built. Answers the names that it exports.
fn inspect(
    project: &Project,
    node: &Node,
    module: &Path,
    declared: &BTreeSet<String>,
    shared: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let printed = run::output(node.script(project, "npm/scripts/inspect.mjs").arg(module))?;
    let interface: Value = serde_json::from_str(&printed).context("inspect.mjs printed no JSON")?;
    let mut problems = strangers(&interface, declared, shared);
    let bytes = std::fs::read(module)?;
    problems.extend(machine_paths(&bytes, &forbidden_paths(project)).map(|path| format!("contains the path {path}")));
    if !problems.is_empty() {
        bail!("{}:\n  {}", project.relative(module).display(), problems.join("\n  "));
    }
    println!("{}: {} bytes", project.relative(module).display(), bytes.len());
    Ok(list(&interface, "exports").iter().map(|export| text(export, "name").to_owned()).collect())
}

fn list<'a>(interface: &'a Value, key: &str) -> &'a [Value] {
    interface.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The functions that the sources of the bindings declare in `extern` blocks: all that a host has to bring.
fn declared(sources: &[(String, String)]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, source) in sources {
        let file = syn::parse_file(source).with_context(|| format!("{path} is not Rust"))?;
        for item in file.items {
            if let syn::Item::ForeignMod(block) = item {
                names.extend(block.items.into_iter().filter_map(|item| match item {
                    syn::ForeignItem::Fn(function) => Some(imported_name(&function)),
                    _ => None,
                }));
            }
        }
    }
    Ok(names)
}

/// What a function is called outside: `#[link_name = "now"] fn js_now()`.
fn imported_name(function: &syn::ForeignItemFn) -> String {
    let renamed = function.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }),
            ..
        }) if path.is_ident("link_name") => Some(name.value()),
        _ => None,
    });
    renamed.unwrap_or_else(|| function.sig.ident.to_string())
}

/// What a module imports besides.
fn strangers(interface: &Value, declared: &BTreeSet<String>, shared: &BTreeSet<String>) -> Vec<String> {
    let is_known = |import: &&Value| match text(import, "module") {
        "core" => shared.contains(text(import, "name")),
        _ => text(import, "kind") == "function" && declared.contains(text(import, "name")),
    };
    list(interface, "imports")
        .iter()
        .filter(|import| !is_known(import))
        .map(|import| {
            format!("imports the {} {}, which {CRATE} does not declare", text(import, "kind"), text(import, "name"))
        })
        .collect()
}

/// What would tell where a module was built.
fn forbidden_paths(project: &Project) -> Vec<String> {
    let environment = ["HOME", "USERPROFILE", "CARGO_HOME", "RUSTUP_HOME"].map(|name| std::env::var(name).ok());
    let project = [&project.root, &project.target].map(|path| Some(path.display().to_string()));
    let known = ["/.cargo/", "/registry/src/", "/rustc/"].map(|part| Some(part.to_owned()));
    // The root of the file system is in every text.
    project.into_iter().chain(environment).chain(known).flatten().filter(|path| path.len() > 1).collect()
}

fn machine_paths<'a>(bytes: &'a [u8], paths: &'a [String]) -> impl Iterator<Item = &'a String> {
    paths.iter().filter(|path| bytes.windows(path.len()).any(|window| window == path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{declared, machine_paths, strangers};

    #[test]
    fn a_module_imports_what_the_sources_declare() {
        let source = "unsafe extern \"C\" { fn now() -> f64; static S: u8; #[link_name = \"tell\"] fn js_tell(); } extern \"C\" fn not_this() {}";
        let declared = declared(&[("lib.rs".to_owned(), source.to_owned())]).unwrap();
        let shared = BTreeSet::from(["M".to_owned()]);
        let check = |imports: &[(&str, &str, &str)]| {
            let imports: Vec<_> = imports
                .iter()
                .map(|(module, kind, name)| json!({"module": module, "kind": kind, "name": name}))
                .collect();
            strangers(&json!({ "imports": imports }), &declared, &shared)
        };
        let good = [("pb", "function", "now"), ("pb", "function", "tell"), ("core", "memory", "M")];
        assert_eq!(check(&good), [""; 0]);
        let bad = ["S", "not_this", "js_tell", "M"].map(|name| ("pb", "function", name));
        assert_eq!(check(&bad).len(), 4);
        assert_eq!(
            check(&[("pb", "memory", "now"), ("core", "memory", "N")]),
            [
                "imports the memory now, which bindings-wasm does not declare",
                "imports the memory N, which bindings-wasm does not declare"
            ]
        );
    }

    #[test]
    fn paths_are_found_in_the_midst_of_bytes() {
        let paths = ["/home/ada".to_owned(), "/rustc/".to_owned()];
        assert_eq!(machine_paths(b"\0asm\xff/home/ada/x.rs\0", &paths).collect::<Vec<_>>(), ["/home/ada"]);
        assert_eq!(machine_paths(b"\0asm/home/eve", &paths).count(), 0);
        assert_eq!(machine_paths(b"", &paths).count(), 0);
    }
}
