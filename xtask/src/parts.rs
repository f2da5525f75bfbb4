//! The parts of the project: one entry each, which the commands and their messages follow.

use anyhow::{Result, bail};

use crate::backend::Backend;
use crate::project::Project;
use crate::steps::{Steps, Stop};
use crate::{bench, build, js, python, test};

/// One part: a language, or an area that is tested and measured alone.
pub(crate) struct Part {
    /// As it is named on the command line.
    pub(crate) name: &'static str,
    /// Builds what ships of it.
    pub(crate) build: fn(&Project, &mut Steps) -> Result<(), Stop>,
    /// Builds and tests it once.
    pub(crate) test: fn(&Project, &Backend, &test::Options, &mut Steps) -> Result<(), Stop>,
    /// Measures it.
    pub(crate) bench: fn(&Project, &Backend, &mut Steps) -> Result<(), Stop>,
}

/// Every part of this release.
const PARTS: &[Part] = &[
    Part { name: "rust", build: build::rust, test: test::rust, bench: bench::rust },
    Part { name: "realtime", build: build::rust, test: test::realtime, bench: bench::realtime },
    Part { name: "js", build: js::build, test: js::test, bench: js::bench },
    Part { name: "python", build: python::build, test: python::test, bench: python::bench },
];

/// The part of that name, or all of them.
pub(crate) fn select(name: Option<&str>) -> Result<Vec<&'static Part>> {
    let chosen: Vec<_> = PARTS.iter().filter(|part| name.is_none_or(|name| name == part.name)).collect();
    if let (Some(name), true) = (name, chosen.is_empty()) {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        bail!("`{name}` is not part of this release: parts are {}", names.join(", "));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::{PARTS, select};

    #[test]
    fn a_part_by_name_or_all() {
        assert_eq!(select(Some("rust")).unwrap().len(), 1);
        assert_eq!(select(None).unwrap().len(), PARTS.len());
    }

    #[test]
    fn an_unknown_part_is_answered_with_the_known_ones() {
        let error = select(Some("cobol")).err().unwrap().to_string();
        assert_eq!(error, "`cobol` is not part of this release: parts are rust, realtime, js, python");
    }
}
