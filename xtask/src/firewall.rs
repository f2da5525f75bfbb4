//! The firewall around the core: what its browser build may not contain, and what its sources may not say.
//!
//! Weight decides in the browser, so the crates that weigh most are kept out by name; and only two files may know
//! that WebAssembly exists, so that everything else is written once.

use std::path::Path;

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};

use crate::project::Project;
use crate::run;

/// The target of the browser build.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Not in the browser build, nor the crates that belong to them (`hyper-util`, `serde_core`).
const FORBIDDEN_CRATES: &[&str] = &["reqwest", "hyper", "rustls", "url", "regex", "serde_json", "serde", "tokio"];

/// A crate of the browser build.
struct Member {
    package: &'static str,
    sources: &'static str,
    /// The only sources that may name the platform.
    platform: &'static [&'static str],
    /// The only sources that may be unsafe.
    unsafe_code: &'static [&'static str],
}

const CORE: Member =
    Member { package: "picobase", sources: "sdk-core/src", platform: &["json.rs", "runtime.rs"], unsafe_code: &[] };
const BINDINGS: Member = Member {
    package: "picobase-wasm",
    sources: "bindings-wasm/src",
    platform: &["lib.rs", "abi.rs"],
    unsafe_code: &["abi.rs"],
};

/// The words that name the platform.
const PLATFORM_WORDS: &[&str] = &["wasm32", "target_family"];

const UNSAFE: &str = "unsafe";

/// What a library does not print with.
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Fails with every breach.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut breaches = Vec::new();
    for member in [&CORE, &BINDINGS] {
        let mut tree =
            project.cargo(["tree", "--quiet", "-p", member.package, "--no-default-features", "--target", WASM]);
        let tree = run::output(tree.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]))?;
        breaches.extend(forbidden_crates(&tree));
        for (path, source) in sources(&project.root.join(member.sources))? {
            breaches.extend(source_breaches(member, &path, &source)?);
        }
    }
    if !breaches.is_empty() {
        bail!("the firewall was breached:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

/// Every Rust file below a folder: its path from there, with slashes, and its text.
pub(crate) fn sources(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                found.push((name, std::fs::read_to_string(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The crates of a `cargo tree` that may not be there.
fn forbidden_crates(tree: &str) -> Vec<String> {
    let belongs = |name: &str, to: &str| {
        name.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    };
    let mut found: Vec<_> = tree
        .lines()
        .filter(|line| {
            let name = line.split_whitespace().next().unwrap_or_default();
            FORBIDDEN_CRATES.iter().any(|forbidden| belongs(name, forbidden))
        })
        .map(|line| format!("the browser build contains {line}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What one source file says and may not.
fn source_breaches(member: &Member, path: &str, source: &str) -> Result<Vec<String>> {
    let file = format!("{}/{path}", member.sources);
    let mut breaches = Vec::new();
    for (number, line) in (1..).zip(source.lines()).filter(|_| !member.platform.contains(&path)) {
        for word in PLATFORM_WORDS.iter().filter(|word| line.contains(**word)) {
            breaches.push(format!("{file}:{number} names {word}: only {} may", member.platform.join(" and ")));
        }
    }
    let tokens = source.parse().map_err(|error| anyhow::anyhow!("{file} is not Rust: {error}"))?;
    let may_be_unsafe = member.unsafe_code.contains(&path);
    forbidden_tokens(tokens, &mut |line, what| {
        if what != UNSAFE || !may_be_unsafe {
            breaches.push(format!("{file}:{line} contains {what}"));
        }
    });
    Ok(breaches)
}

/// Walks the code, which comments and documentation are no part of.
fn forbidden_tokens(tokens: TokenStream, found: &mut impl FnMut(usize, String)) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => forbidden_tokens(group.stream(), found),
            TokenTree::Ident(word) => {
                let is_macro = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
                let line = word.span().start().line;
                let word = word.to_string();
                if word == UNSAFE {
                    found(line, word);
                } else if is_macro && PRINTING.contains(&word.as_str()) {
                    found(line, format!("{word}!"));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BINDINGS, CORE, forbidden_crates, source_breaches};

    #[test]
    fn crates_are_told_by_their_whole_name() {
        let tree = "picobase v0.1.0 (/here)\nbytes v1.12.1\nurlencoding v2.1.3\ntokio-util v0.7.1\nserde_core v1.0.2\nurl v2.5.0 (*)";
        let found = forbidden_crates(tree).join("\n");
        assert_eq!(
            found,
            "the browser build contains serde_core v1.0.2\nthe browser build contains tokio-util v0.7.1\nthe browser build contains url v2.5.0 (*)"
        );
    }

    #[test]
    fn only_two_files_name_the_platform() {
        let source = "#[cfg(target_arch = \"wasm32\")]\nfn f() {}";
        assert_eq!(source_breaches(&CORE, "runtime.rs", source).unwrap(), [""; 0]);
        assert_eq!(
            source_breaches(&CORE, "realtime/mod.rs", source).unwrap(),
            ["sdk-core/src/realtime/mod.rs:1 names wasm32: only json.rs and runtime.rs may"]
        );
        assert_eq!(source_breaches(&CORE, "auth/json.rs", source).unwrap().len(), 1);
    }

    #[test]
    fn no_printing_and_nothing_unsafe_outside_of_comments() {
        let source = "//! `println!(\"hello\")`\nfn f() {\n    // unsafe\n    let print = 1;\n    if true { unsafe { g() } }\n    dbg!(print);\n}";
        assert_eq!(
            source_breaches(&CORE, "lib.rs", source).unwrap(),
            ["sdk-core/src/lib.rs:5 contains unsafe", "sdk-core/src/lib.rs:6 contains dbg!"]
        );
    }

    #[test]
    fn one_file_of_the_bindings_is_unsafe() {
        let source = "unsafe fn f() { print!(\"x\") }";
        assert_eq!(
            source_breaches(&BINDINGS, "abi.rs", source).unwrap(),
            ["bindings-wasm/src/abi.rs:1 contains print!"]
        );
        assert_eq!(source_breaches(&BINDINGS, "host.rs", source).unwrap().len(), 2);
    }
}
