//! What was measured, as a table and as JSON.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::measure::Spread;

/// What a row must hold.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    /// The number is at most this.
    AtMost(f64),
    /// The number is at least this.
    AtLeast(f64),
}

impl Budget {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::AtMost(limit) => number <= limit,
            Self::AtLeast(limit) => number >= limit,
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    fn bound(self) -> &'static str {
        match self {
            Self::AtMost(_) => "at most",
            Self::AtLeast(_) => "at least",
        }
    }
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    row: String,
    peer: String,
    unit: String,
    ours: f64,
    theirs: Option<f64>,
    ratio: Option<f64>,
    budget: f64,
    holds: bool,
}

/// What a row has beside its numbers.
#[derive(Serialize)]
struct Detail {
    row: String,
    peer: String,
    bound: &'static str,
    /// The middle half of what the rounds showed.
    spread: Option<[f64; 2]>,
}

/// All rows.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: String,
    rows: Vec<Row>,
    details: Vec<Detail>,
    notes: Vec<String>,
    #[serde(skip)]
    only: String,
}

impl Report {
    /// An empty report of the rows with `only` in their names.
    pub(crate) fn new(machine: String, only: &str) -> Self {
        Self { machine, rows: Vec::new(), details: Vec::new(), notes: Vec::new(), only: only.to_owned() }
    }

    /// Is a row with this name asked for?
    pub(crate) fn wants(&self, row: &str) -> bool {
        row.contains(&self.only)
    }

    /// A ratio of ours to the peer's, which has to hold the budget.
    pub(crate) fn compare(
        &mut self,
        (row, peer, unit): (&str, &str, &str),
        (ours, theirs): (f64, f64),
        ratio: Spread,
        budget: Budget,
    ) {
        self.rows.push(Row {
            row: row.to_owned(),
            peer: peer.to_owned(),
            unit: unit.to_owned(),
            ours: rounded(ours),
            theirs: Some(rounded(theirs)),
            ratio: Some(rounded(ratio.median)),
            budget: budget.limit(),
            holds: budget.holds(ratio.median),
        });
        self.detail(row, peer, budget, Some([rounded(ratio.low), rounded(ratio.high)]));
    }

    /// A number that has to hold the budget by itself.
    pub(crate) fn absolute(&mut self, (row, peer, unit): (&str, &str, &str), ours: f64, budget: Budget) {
        self.rows.push(Row {
            row: row.to_owned(),
            peer: peer.to_owned(),
            unit: unit.to_owned(),
            ours: rounded(ours),
            theirs: None,
            ratio: None,
            budget: budget.limit(),
            holds: budget.holds(ours),
        });
        self.detail(row, peer, budget, None);
    }

    fn detail(&mut self, row: &str, peer: &str, budget: Budget, spread: Option<[f64; 2]>) {
        self.details.push(Detail { row: row.to_owned(), peer: peer.to_owned(), bound: budget.bound(), spread });
    }

    /// Something a reader should know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(crate) fn all_hold(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }

    /// The table.
    #[expect(clippy::print_stdout, reason = "the table is what this program is for")]
    pub(crate) fn print(&self) {
        println!("{}\n", self.machine);
        let heads = ["row", "peer", "unit", "ours", "theirs", "ratio", "spread", "budget", "holds"];
        let mut lines = vec![heads.map(str::to_owned)];
        lines.extend(self.rows.iter().zip(&self.details).map(|(row, detail)| cells(row, detail)));
        let widths: Vec<usize> = (0..heads.len())
            .map(|n| lines.iter().filter_map(|line| line.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        for line in &lines {
            let text: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            println!("{}", text.join("  ").trim_end());
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }

    /// The JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }
}

fn cells(row: &Row, detail: &Detail) -> [String; 9] {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let sign = if detail.bound == "at most" { "≤" } else { "≥" };
    [
        row.row.clone(),
        row.peer.clone(),
        row.unit.clone(),
        number(Some(row.ours)),
        number(row.theirs),
        number(row.ratio),
        detail.spread.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low}–{high}")),
        format!("{sign} {}", row.budget),
        if row.holds { "yes" } else { "NO" }.to_owned(),
    ]
}

/// Three decimals below ten, one above: more would be noise.
fn rounded(value: f64) -> f64 {
    let unit = if value.abs() < 10.0 { 1000.0 } else { 10.0 };
    (value * unit).round() / unit
}
