//! What the npm package declares, as the compiler of TypeScript sees it.
//!
//! A symbol is a path from something that the package exports: `createClient`, `Collection.getList`,
//! `Client.auth.signIn`. For each of them a line is written that compiles only where it is there and public.

use anyhow::{Context, Result, bail, ensure};

use crate::project::Project;
use crate::run;
use crate::tools::Node;

/// The compiler.
const TSC: &str = "npm/node_modules/typescript/bin/tsc";

/// Lines before the first symbol's. Optional members count, as what they are where they are there.
const HEAD: &str = "import type * as P from \"./types/entries/node.js\";\n\
    type Get<T, K extends keyof NonNullable<T>> = NonNullable<T>[K];\n";

/// Fails with every symbol that is not there. `named` has them with the id of their row.
pub(super) fn check(project: &Project, node: &Node, named: &[(&str, &str)]) -> Result<()> {
    let folder = project.target.join("npm-declarations");
    std::fs::create_dir_all(&folder)?;
    let types = folder.join("types");
    if types.exists() {
        std::fs::remove_dir_all(&types).context("cannot remove the last declarations")?;
    }
    let mut emit = node.script(project, TSC);
    emit.args(["-p", "npm", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--stripInternal"]);
    run::run(emit.args(["--rootDir", "npm/src", "--outDir"]).arg(&types))?;
    let file = folder.join("symbols.ts");
    std::fs::write(&file, assertions(named))?;
    let mut compile = node.script(project, TSC);
    compile.args([
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--pretty",
        "false",
    ]);
    compile.args(["--lib", "es2022,esnext.disposable,dom,dom.iterable,dom.asynciterable", "--types", ""]).arg(&file);
    let printed = compile.output().context("cannot start the compiler")?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned() + &String::from_utf8_lossy(&printed.stderr);
    let problems = problems(&printed, named);
    if !problems.is_empty() {
        bail!("tests/capabilities.yaml:\n  {}", problems.join("\n  "));
    }
    ensure!(printed.trim().is_empty(), "the declarations do not compile:\n{printed}");
    println!("{} symbols of TypeScript", named.len());
    Ok(())
}

/// A line for each symbol.
fn assertions(named: &[(&str, &str)]) -> String {
    let lines =
        (0..).zip(named).map(|(number, (_, symbol))| format!("export type S{number} = {};\n", expression(symbol)));
    format!("{HEAD}{}", lines.collect::<String>())
}

/// `Client.auth.signIn` as a type. What begins with a small letter is a value.
fn expression(symbol: &str) -> String {
    let mut names = symbol.split('.');
    let root = names.next().unwrap_or_default();
    let of = if root.starts_with(char::is_lowercase) { "typeof " } else { "" };
    names.fold(format!("{of}P.{root}"), |owner, name| format!("Get<{owner}, \"{name}\">"))
}

/// The symbols whose lines the compiler complains of: `symbols.ts(3,19): error …`.
fn problems(printed: &str, named: &[(&str, &str)]) -> Vec<String> {
    let complaint = |line: &str| {
        let (place, error) = line.split_once("): error ")?;
        let number: usize = place.rsplit_once("symbols.ts(")?.1.split(',').next()?.parse().ok()?;
        let (id, symbol) = named.get(number.checked_sub(HEAD.lines().count() + 1)?)?;
        Some(format!("{id}: {symbol} is not public in the npm package ({error})"))
    };
    printed.lines().filter_map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::{assertions, expression, problems};

    #[test]
    fn symbols_are_paths_from_what_is_exported() {
        assert_eq!(expression("createClient"), "typeof P.createClient");
        assert_eq!(expression("Collection.getList"), "Get<P.Collection, \"getList\">");
        assert_eq!(expression("Client.auth.signIn"), "Get<Get<P.Client, \"auth\">, \"signIn\">");
    }

    #[test]
    fn a_complaint_is_about_the_symbol_of_its_line() {
        let named = [("a", "filter"), ("b", "Client.nothing")];
        let line = assertions(&named).lines().position(|line| line.contains("nothing")).unwrap() + 1;
        let printed = format!("/x/symbols.ts({line},19): error TS2344: no.\nother.ts(1,1): error TS1: no.\n");
        assert_eq!(problems(&printed, &named), ["b: Client.nothing is not public in the npm package (TS2344: no.)"]);
        assert_eq!(problems("", &named), [""; 0]);
    }
}
