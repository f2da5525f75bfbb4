//! What the WebAssembly target needs: its standard library, or that library's sources.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::project::Project;
use crate::run;

const WASM: &str = "wasm32-unknown-unknown";

/// Tells cargo where the WebAssembly standard library is, where it is not the toolchain's own.
pub(crate) fn with_wasm_std<'a>(project: &Project, command: &'a mut Command) -> Result<&'a mut Command> {
    if let Some(sysroot) = std_sysroot(project)? {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", format!("--sysroot {}", sysroot.display()));
    }
    Ok(command)
}

/// The sysroot with the standard library that was built here; none where the toolchain has its own.
pub(crate) fn std_sysroot(project: &Project) -> Result<Option<PathBuf>> {
    let place = super::wasm_std().ensure(project)?;
    Ok(place.starts_with(project.tools()).then_some(place))
}

/// The toolchain's own folder for the target, or the sysroot that was built here for this very compiler.
pub(super) fn find_std(project: &Project) -> Option<PathBuf> {
    let own = run::output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM])).ok()?;
    let own = PathBuf::from(own.trim());
    if std::fs::read_dir(&own).is_ok_and(|mut entries| entries.next().is_some()) {
        return Some(own);
    }
    let built = project.tools().join("wasm-std").join(format!("sysroot-{}", rustc_version()?));
    built.join(".ready").is_file().then_some(built)
}

/// The `library` folder of the toolchain's component rust-src, or the one that was fetched for this very compiler.
pub(super) fn find_src(project: &Project) -> Option<PathBuf> {
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"])).ok()?;
    let own = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library");
    let fetched = project.tools().join("wasm-std").join(format!("src-{}", rustc_version()?)).join("library");
    [own, fetched].into_iter().find(|library| library.join("Cargo.lock").is_file())
}

pub(super) fn install_std(project: &Project) -> Result<()> {
    rustup_or_script(project, ["target", "add", WASM], "wasm-std.sh")
}

pub(super) fn install_src(project: &Project) -> Result<()> {
    rustup_or_script(project, ["component", "add", "rust-src"], "rust-src.sh")
}

fn rustup_or_script(project: &Project, rustup: [&str; 3], script: &str) -> Result<()> {
    let Err(error) = run::run(Command::new("rustup").args(rustup).current_dir(&project.root)) else {
        return Ok(());
    };
    println!("rustup could not ({error:#}); falling back on the sources of Debian's package");
    let script = project.root.join("xtask/scripts").join(script);
    run::run(Command::new("bash").arg(script).arg(project.tools().join("wasm-std")))
}

fn rustc_version() -> Option<String> {
    let printed = run::output(Command::new("rustc").arg("--version")).ok()?;
    printed.split_whitespace().nth(1).map(str::to_owned)
}
