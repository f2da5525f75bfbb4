//! Links in the documents that lead to files of this repository.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::project::Project;

/// Folders that hold no documents of ours.
const SKIPPED: &[&str] = &["target", "node_modules"];

/// Fails with every link whose file does not exist.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut broken = Vec::new();
    for document in documents(&project.root)? {
        let text = std::fs::read_to_string(&document)?;
        let folder = document.parent().unwrap_or(&project.root);
        let name = project.relative(&document).display();
        broken.extend(missing(&text, folder, &project.root).map(|link| format!("{name} links to {link}")));
    }
    if !broken.is_empty() {
        bail!("these files do not exist:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// Every Markdown file of the project.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The links of a document that name a file which is not there.
fn missing<'a>(text: &'a str, folder: &Path, root: &Path) -> impl Iterator<Item = &'a str> {
    links(text).filter(move |link| {
        let path = link.split(['#', '?']).next().unwrap_or_default();
        let elsewhere = path.contains(':') || path.is_empty();
        let file = path.strip_prefix('/').map_or_else(|| folder.join(path), |path| root.join(path));
        !elsewhere && !file.exists()
    })
}

/// The targets of `[text](target)` and `[name]: target`, outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .flat_map(|line| {
            let reference = line.strip_prefix('[').and_then(|line| line.split_once("]: ")).map(|(_, target)| target);
            let prose = line.split('`').step_by(2);
            let inline = prose.flat_map(|prose| prose.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
            inline.chain(reference)
        })
        .filter_map(|target| target.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::links;

    #[test]
    fn finds_links_outside_of_code() {
        let text = "See [a](docs/a.md) and [b](b.md#part \"title\"), not `x[0](y)`.\n```\n[c](c.md)\n```\n[d]: d.md\n[`e`](e.md)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "b.md#part", "d.md", "e.md"]);
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "[a](Cargo.toml) [b](/xtask/src) [c](nowhere.md#x) [d](https://example.com) [e](#part)";
        let missing: Vec<_> = super::missing(text, here, here.parent().unwrap()).collect();
        assert_eq!(missing, ["nowhere.md#x"]);
    }
}
