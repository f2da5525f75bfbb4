//! Ready programs from the Python index, each in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Installs one package into a virtual environment; a failure leaves nothing behind.
pub(super) fn install(folder: &Path, package: &str, version: &str) -> Result<()> {
    let fresh = folder.with_file_name(format!(".new-{package}-{}", std::process::id()));
    let installed = install_into(&fresh, &format!("{package}=={version}"))
        .and_then(|()| std::fs::rename(&fresh, folder).context("cannot move the new environment to its place"));
    if installed.is_err() {
        // What matters is the error above; a folder that cannot be removed is not found by anything either.
        let _ = std::fs::remove_dir_all(&fresh);
    }
    installed
}

fn install_into(folder: &Path, requirement: &str) -> Result<()> {
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
pub(crate) fn bin(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
}

/// A program's file name on this system.
pub(crate) fn exe(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}
