//! What the Python package has, as an interpreter that imports it sees it.
//!
//! A symbol is a path from the package: `picobase.filter`, `picobase.Collection.get_list`, `picobase.Session.token`. It may end in a
//! parameter: `picobase.Client(timeout)`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::run;

/// Fails with every symbol that is not there. `named` has them with the id of their row.
pub(super) fn check(project: &Project, interpreter: &mut Command, named: &[(&str, &str)]) -> Result<()> {
    let script = project.root.join("xtask/scripts/symbols.py");
    let symbols = named.iter().map(|(_, symbol)| symbol);
    let missing = run::output(interpreter.arg("-I").arg(script).args(symbols))?;
    let problems = problems(&missing, named);
    if !problems.is_empty() {
        bail!("tests/capabilities.yaml:\n  {}", problems.join("\n  "));
    }
    println!("{} symbols of Python", named.len());
    Ok(())
}

/// The rows of the symbols that the script has printed.
fn problems(missing: &str, named: &[(&str, &str)]) -> Vec<String> {
    let is_missing = |symbol: &str| missing.lines().any(|line| line == symbol);
    let missing = named.iter().filter(|(_, symbol)| is_missing(symbol));
    missing.map(|(id, symbol)| format!("{id}: {symbol} is not in the Python package")).collect()
}

#[cfg(test)]
mod tests {
    use super::problems;

    #[test]
    fn what_is_missing_is_told_with_its_row() {
        let named = [("a", "picobase.filter"), ("b", "picobase.nothing")];
        assert_eq!(problems("picobase.nothing\n", &named), ["b: picobase.nothing is not in the Python package"]);
        assert_eq!(problems("", &named), [""; 0]);
    }
}
