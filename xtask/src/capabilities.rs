//! `tests/capabilities.yaml`: what the SDKs can do, and the symbol that does it in each language.
//!
//! A row is `{id, contract: [B11], endpoints: [16], rust: "picobase::Collection::get_list", typescript: "Collection.getList",
//! python: "picobase.Collection.get_list"}`.
//! The symbols have to exist, and the rows together have to cover every endpoint of the server. Where a language has nothing
//! of the kind, `{none: "…"}` says why.

mod api;
mod python;
mod typescript;

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};
use yaml_rust2::{Yaml, YamlLoader};

use self::api::Api;
use crate::firewall;
use crate::project::Project;
use crate::tools::Node;

/// The rules of the behaviour contract: B1 to B18.
const CONTRACT: std::ops::RangeInclusive<u32> = 1..=18;

/// The endpoints of the server, by their number in the table of the core.
const ENDPOINTS: std::ops::RangeInclusive<i64> = 1..=54;

/// Endpoints that no capability names: both ends of the OAuth2 redirect, which the provider and the browser call.
const WITHOUT_CAPABILITY: [i64; 2] = [24, 25];

/// One row of the file.
#[derive(Debug)]
struct Row {
    id: String,
    contract: Vec<String>,
    endpoints: Vec<i64>,
    rust: Vec<String>,
    typescript: Symbols,
    python: Symbols,
}

impl Row {
    /// The languages that every row has a symbol in, or a reason for none.
    fn languages(&self) -> [(&'static str, &Symbols); 2] {
        [("typescript", &self.typescript), ("python", &self.python)]
    }
}

/// The symbols of one language.
#[derive(Debug)]
enum Symbols {
    Some(Vec<String>),
    /// There are none, for a reason.
    None,
}

/// The rows of the project.
fn read(project: &Project) -> Result<Vec<Row>> {
    let path = project.root.join("tests/capabilities.yaml");
    parse(&std::fs::read_to_string(&path).context("cannot read tests/capabilities.yaml")?)
}

/// Fails where a symbol of TypeScript is not in the declarations that ship.
pub(crate) fn check_typescript(project: &Project) -> Result<()> {
    let rows = read(project)?;
    typescript::check(project, &Node::ensure(project)?, &named(&rows, |row| &row.typescript))
}

/// Fails where a symbol of Python is not in the package that this interpreter imports.
pub(crate) fn check_python(project: &Project, interpreter: &mut Command) -> Result<()> {
    python::check(project, interpreter, &named(&read(project)?, |row| &row.python))
}

/// The symbols of one language, each with the id of its row.
fn named(rows: &[Row], symbols: impl Fn(&Row) -> &Symbols) -> Vec<(&str, &str)> {
    let of_row = |row| match symbols(row) {
        Symbols::Some(symbols) => symbols.iter().map(|symbol| (row.id.as_str(), symbol.as_str())).collect(),
        Symbols::None => Vec::new(),
    };
    rows.iter().flat_map(of_row).collect()
}

/// Fails with everything that is wrong with the file.
pub(crate) fn check(project: &Project) -> Result<()> {
    let rows = read(project)?;
    let api = Api::parse(&firewall::sources(&project.root.join("sdk-core/src"))?)?;
    let problems = problems(&rows, &api);
    if !problems.is_empty() {
        bail!("tests/capabilities.yaml:\n  {}", problems.join("\n  "));
    }
    println!("{} capabilities, {} endpoints", rows.len(), endpoints(&rows).len());
    Ok(())
}

/// The rows, from a list, or from a list under the key `capabilities`.
fn parse(text: &str) -> Result<Vec<Row>> {
    let documents = YamlLoader::load_from_str(text).context("not YAML")?;
    let document = documents.first().context("the file is empty")?;
    let list = document.as_vec().or_else(|| document["capabilities"].as_vec());
    let list = list.context("expected a list of rows, or a list under `capabilities`")?;
    (1..).zip(list).map(|(number, row)| parse_row(row).with_context(|| format!("row {number}"))).collect()
}

fn parse_row(row: &Yaml) -> Result<Row> {
    let id = row["id"].as_str().context("has no `id`")?;
    let fail = |key: &str, what: &str| format!("({id}) `{key}` is not {what}");
    let symbols = |language: &str| {
        let what = "a symbol, nor a list of symbols, nor `{none: why}`";
        symbols(&row[language]).with_context(|| fail(language, what))
    };
    Ok(Row {
        contract: list(&row["contract"], text).with_context(|| fail("contract", "a list of rules such as B3"))?,
        endpoints: list(&row["endpoints"], Yaml::as_i64).with_context(|| fail("endpoints", "a list of numbers"))?,
        rust: list(&row["rust"], text).with_context(|| fail("rust", "a symbol, nor a list of symbols"))?,
        typescript: symbols("typescript")?,
        python: symbols("python")?,
        id: id.to_owned(),
    })
}

/// Symbols, or why there are none.
fn symbols(yaml: &Yaml) -> Option<Symbols> {
    if yaml["none"].as_str().is_some_and(|why| !why.is_empty()) {
        return Some(Symbols::None);
    }
    list(yaml, text).map(Symbols::Some)
}

fn text(yaml: &Yaml) -> Option<String> {
    yaml.as_str().map(str::to_owned)
}

/// A list, a single value, or nothing; none where an entry is of another type.
fn list<T>(yaml: &Yaml, entry: impl Fn(&Yaml) -> Option<T>) -> Option<Vec<T>> {
    match yaml {
        Yaml::BadValue | Yaml::Null => Some(Vec::new()),
        Yaml::Array(entries) => entries.iter().map(entry).collect(),
        single => entry(single).map(|value| vec![value]),
    }
}

/// What is wrong, in the order of the rows.
fn problems(rows: &[Row], api: &Api) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    let used = used(rows);
    for row in rows {
        if !ids.insert(&row.id) {
            problems.push(format!("{}: the id is there twice", row.id));
        }
        problems.extend(row_problems(row, api, &used).into_iter().map(|problem| format!("{}: {problem}", row.id)));
    }
    let covered = endpoints(rows);
    let missing = ENDPOINTS.filter(|number| !WITHOUT_CAPABILITY.contains(number) && !covered.contains(number));
    problems.extend(missing.map(|number| format!("endpoint {number} is in no row")));
    problems
}

/// The languages that some row has something of: until then a language is not there yet.
fn used(rows: &[Row]) -> BTreeSet<&'static str> {
    let filled = |symbols: &Symbols| !matches!(symbols, Symbols::Some(symbols) if symbols.is_empty());
    rows.iter().flat_map(Row::languages).filter(|(_, symbols)| filled(symbols)).map(|(language, _)| language).collect()
}

fn row_problems(row: &Row, api: &Api, used: &BTreeSet<&str>) -> Vec<String> {
    let known = |rule: &str| rule.strip_prefix('B').and_then(|n| n.parse().ok()).is_some_and(|n| CONTRACT.contains(&n));
    let mut problems = Vec::new();
    problems.extend(twice(&row.contract).chain(twice(&row.rust)).map(|value| format!("{value} is there twice")));
    problems.extend(twice(&row.endpoints).map(|number| format!("endpoint {number} is there twice")));
    problems.extend(row.contract.iter().filter(|rule| !known(rule)).map(|rule| format!("there is no rule {rule}")));
    let unknown = row.endpoints.iter().filter(|number| !ENDPOINTS.contains(number));
    problems.extend(unknown.map(|number| format!("there is no endpoint {number}")));
    if row.rust.is_empty() {
        problems.push("names no `rust` symbol".to_owned());
    }
    for (language, symbols) in row.languages() {
        let Symbols::Some(symbols) = symbols else { continue };
        if symbols.is_empty() && used.contains(language) {
            problems.push(format!("names no `{language}` symbol"));
        }
        problems.extend(twice(symbols).map(|value| format!("{value} is there twice")));
    }
    let absent = row.rust.iter().filter(|symbol| !api.has(symbol));
    problems.extend(absent.map(|symbol| format!("{symbol} is not public in sdk-core/src")));
    problems
}

fn endpoints(rows: &[Row]) -> BTreeSet<i64> {
    rows.iter().flat_map(|row| row.endpoints.iter().copied()).collect()
}

/// The values that a list has more than once.
fn twice<T: Ord>(values: &[T]) -> impl Iterator<Item = &T> {
    let mut seen = BTreeSet::new();
    values.iter().filter(move |value| !seen.insert(*value))
}

#[cfg(test)]
mod tests {
    use super::api::Api;
    use super::{WITHOUT_CAPABILITY, parse, problems};

    const SOURCE: &str = "pub struct Collection; impl Collection { pub fn get_list(&self) {} }";

    fn check(rows: &str) -> Vec<String> {
        let api = Api::parse(&[("lib.rs".to_owned(), SOURCE.to_owned())]).unwrap();
        problems(&parse(rows).unwrap(), &api)
    }

    /// A row for every endpoint that needs one, so that only what a test adds is wrong.
    fn all_endpoints() -> String {
        let numbers: Vec<_> =
            (1..=54).filter(|n| !WITHOUT_CAPABILITY.contains(n)).map(|n: i64| n.to_string()).collect();
        format!(
            "- {{id: all, endpoints: [{}], rust: picobase::Collection::get_list, typescript: a}}\n",
            numbers.join(", ")
        )
    }

    #[test]
    fn a_good_file_has_no_problems() {
        assert_eq!(check(&all_endpoints()), [""; 0]);
        let nested = format!("capabilities:\n{}", all_endpoints());
        assert_eq!(check(&nested), [""; 0]);
    }

    #[test]
    fn an_endpoint_without_a_row_is_found() {
        let rows = all_endpoints().replace(" 16, 17,", "");
        assert_eq!(check(&rows), ["endpoint 16 is in no row", "endpoint 17 is in no row"]);
    }

    #[test]
    fn what_does_not_exist_is_found() {
        let rows = all_endpoints()
            + "- {id: x, contract: [B0, B18, B19, list], endpoints: [55], rust: picobase::Collection::get, typescript: {none: why}}";
        assert_eq!(
            check(&rows),
            [
                "x: there is no rule B0",
                "x: there is no rule B19",
                "x: there is no rule list",
                "x: there is no endpoint 55",
                "x: picobase::Collection::get is not public in sdk-core/src",
            ]
        );
    }

    #[test]
    fn what_is_there_twice_or_not_at_all_is_found() {
        let rows = all_endpoints() + "- {id: all, contract: [B1, B1], endpoints: [16, 16]}";
        assert_eq!(
            check(&rows),
            [
                "all: the id is there twice",
                "all: B1 is there twice",
                "all: endpoint 16 is there twice",
                "all: names no `rust` symbol",
                "all: names no `typescript` symbol",
            ]
        );
    }

    #[test]
    fn a_language_counts_from_its_first_symbol_on() {
        let row = |id: &str, python: &str| {
            format!("- {{id: {id}, rust: picobase::Collection::get_list, typescript: a{python}}}\n")
        };
        let rows = all_endpoints() + &row("x", ", python: picobase.Client") + &row("y", ", python: {none: why}");
        assert_eq!(check(&rows), ["all: names no `python` symbol"]);
    }

    #[test]
    fn a_row_of_another_shape_is_an_error() {
        assert!(parse("- {id: x, endpoints: [sixteen]}").is_err());
        assert!(parse("- {id: x, typescript: {none: ''}}").is_err());
        assert!(parse("- {endpoints: [16]}").is_err());
        assert!(parse("just: text").is_err());
        assert!(parse("").is_err());
    }
}
