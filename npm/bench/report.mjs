/** What was measured, as a table and as JSON: the same as picobase-bench writes. */

/** The value that so many percent do not exceed. */
export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(((sorted.length - 1) * percent) / 100)];
}

/** Three decimals below ten, one above: more would be noise. */
const rounded = (value) => (Math.abs(value) < 10 ? Math.round(value * 1000) / 1000 : Math.round(value * 10) / 10);

export class Report {
  machine = "";
  #rows = [];
  #details = [];

  /**
   * A row, of what the rounds of both sides cost. The ratio is the median of those of the rounds: what disturbs a round disturbs
   * both of its batches. Without a budget it is only shown.
   */
  compare({ name, peer, unit, ours, theirs, per, budget }) {
    const ratios = ours.map((cost, round) => cost / theirs[round]);
    const ratio = percentile(ratios, 50);
    const each = (costs) => rounded(percentile(costs, 50) / per);
    this.#rows.push({
      row: name, peer, unit, ours: each(ours), theirs: each(theirs), ratio: rounded(ratio), budget,
      holds: budget == null ? null : ratio <= budget,
    });
    const spread = [rounded(percentile(ratios, 25)), rounded(percentile(ratios, 75))];
    this.#details.push({ row: name, peer, bound: "at most", spread });
  }

  /** The table. */
  print() {
    const lines = [["row", "peer", "unit", "ours", "theirs", "ratio", "spread", "budget", "holds"]];
    this.#rows.forEach(({ row, peer, unit, ours, theirs, ratio, budget, holds }, i) => {
      const bound = budget == null ? "-" : `≤ ${budget}`;
      lines.push([row, peer, unit, ours, theirs, ratio, this.#details[i].spread.join("–"), bound, holds == null ? "-" : holds ? "yes" : "NO"]);
    });
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => `${line[column]}`.length)));
    console.log(`${this.machine}\n`);
    for (const line of lines) console.log(line.map((cell, i) => `${cell}`.padEnd(widths[i])).join("  ").trimEnd());
  }

  json() {
    const { machine } = this;
    return `${JSON.stringify({ machine, rows: this.#rows, details: this.#details, notes: [] }, null, 2)}\n`;
  }
}
