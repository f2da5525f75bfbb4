//! The numbers that stand twice, in TypeScript and in Rust: of operations, and of the endpoint table's rows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// Where they stand.
const OPS: [&str; 2] = ["npm/src/core/ops.ts", "bindings-wasm/src/ops.rs"];
const ROWS: [&str; 2] = ["npm/src/rows.ts", "sdk-core/src/endpoints.rs"];

/// One member of an enum of TypeScript.
struct Member {
    name: String,
    number: u32,
    /// The comment before it, without its marks.
    comment: String,
}

/// Fails with every number that differs.
pub(crate) fn check(project: &Project) -> Result<()> {
    let read =
        |path: &str| std::fs::read_to_string(project.root.join(path)).with_context(|| format!("cannot read {path}"));
    let [ops_ts, ops_rs, rows_ts, rows_rs] = [read(OPS[0])?, read(OPS[1])?, read(ROWS[0])?, read(ROWS[1])?];
    let (ops, rows) = (members(&ops_ts, "Op"), members(&rows_ts, "Row"));
    let mut problems = ops_problems(&ops, &constants(&ops_rs));
    problems.extend(rows_problems(&rows, &endpoints(&rows_rs)));
    if !problems.is_empty() {
        bail!("numbers differ:\n  {}", problems.join("\n  "));
    }
    println!("{} operations, {} rows", ops.len(), rows.len());
    Ok(())
}

/// Both sides have to have the same operations.
fn ops_problems(ops: &[Member], constants: &BTreeMap<String, u32>) -> Vec<String> {
    if ops.is_empty() {
        return vec![format!("{} has no `enum Op`", OPS[0])];
    }
    let here: BTreeSet<_> = ops.iter().map(|op| (plain(&op.name), op.number)).collect();
    let there: BTreeSet<_> = constants.iter().map(|(name, number)| (plain(name), *number)).collect();
    let only = |one: &BTreeSet<(String, u32)>, other: &BTreeSet<(String, u32)>, place: &str| {
        one.difference(other).map(|(name, number)| format!("{name} = {number} is in {place} only")).collect::<Vec<_>>()
    };
    [only(&here, &there, OPS[0]), only(&there, &here, OPS[1])].concat()
}

/// The rows of TypeScript are some of the table's; their comments begin with the names that these have there.
fn rows_problems(rows: &[Member], endpoints: &BTreeMap<u32, String>) -> Vec<String> {
    if rows.is_empty() {
        return vec![format!("{} has no `enum Row`", ROWS[0])];
    }
    let differs = |row: &&Member| {
        let name = row.comment.split_whitespace().next().unwrap_or_default().trim_end_matches(['.', ':']);
        endpoints.get(&row.number).is_none_or(|endpoint| endpoint != name)
    };
    rows.iter()
        .filter(differs)
        .map(|row| format!("row {} ({}) of {} is another in {}", row.number, row.comment, ROWS[0], ROWS[1]))
        .collect()
}

/// The members of `enum NAME { … }`, each on a line of its own as `Name = 1,`.
fn members(source: &str, name: &str) -> Vec<Member> {
    let start = format!("enum {name} {{");
    let lines = source.lines().skip_while(|line| !line.contains(&start)).skip(1);
    let (mut found, mut comment) = (Vec::new(), String::new());
    for line in lines.map(str::trim).take_while(|line| *line != "}") {
        let member =
            line.split_once(" = ").and_then(|(name, number)| Some((name, number.trim_end_matches(',').parse().ok()?)));
        match member {
            Some((name, number)) => {
                found.push(Member { name: name.to_owned(), number, comment: std::mem::take(&mut comment) });
            }
            None if line.starts_with("/**") => comment = line.trim_matches(['/', '*', ' ']).to_owned(),
            None => {}
        }
    }
    found
}

/// The numbers of `ops! { NAME = 1, … }`, each on a line of its own.
fn constants(source: &str) -> BTreeMap<String, u32> {
    let constant = |line: &str| {
        let (name, number) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    source.lines().skip_while(|line| line.trim() != "ops! {").filter_map(constant).collect()
}

/// The rows of the table: `16 RECORDS_LIST "records.get_list" …`.
fn endpoints(source: &str) -> BTreeMap<u32, String> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (number, _, name) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        Some((number, name.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
    };
    source.lines().filter_map(row).collect()
}

/// `BeginOAuth2` and `BEGIN_OAUTH2` are one name.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{constants, endpoints, members, ops_problems, rows_problems};

    const OPS: &str = "/** Doc */\nexport const enum Op {\n  /** [a] → b\n   * More. */\n  ClientNew = 1,\n\n  // Group.\n  BeginOAuth2 = 43,\n}\nexport const enum Other {\n  X = 9,\n}\n";

    #[test]
    fn the_same_operations_on_both_sides() {
        let check =
            |rust: &str| ops_problems(&members(OPS, "Op"), &constants(&format!("mod op {{\n    ops! {{\n{rust}\n}}")));
        assert_eq!(check("        CLIENT_NEW = 1,\n        BEGIN_OAUTH2 = 43,"), [""; 0]);
        assert_eq!(
            check("CLIENT_NEW = 2,\nBEGIN_OAUTH2 = 43,\nMORE = 3,"),
            [
                "clientnew = 1 is in npm/src/core/ops.ts only",
                "clientnew = 2 is in bindings-wasm/src/ops.rs only",
                "more = 3 is in bindings-wasm/src/ops.rs only",
            ]
        );
        assert_eq!(ops_problems(&members("enum Opera {\n}", "Op"), &constants("")).len(), 1);
    }

    #[test]
    fn rows_have_the_names_of_the_table() {
        let table = endpoints(
            "endpoints! {\n    6 COLLECTIONS_LIST \"collections.get_list\" Get \"/api/collections\" Superuser;\n}",
        );
        let check = |row: &str| rows_problems(&members(&format!("enum Row {{\n{row}\n}}"), "Row"), &table);
        assert_eq!(check("  /** collections.get_list */\n  CollectionsList = 6,"), [""; 0]);
        assert_eq!(
            check("  /** collections.get_list */\n  CollectionsList = 7,"),
            ["row 7 (collections.get_list) of npm/src/rows.ts is another in sdk-core/src/endpoints.rs"]
        );
        assert_eq!(check("  /** collections.create */\n  A = 6,\n  B = 6,").len(), 2);
        assert_eq!(check("").len(), 1);
    }
}
