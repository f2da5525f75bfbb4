//! Taking turns: batches of ours and of the peer's, one after the other, and what they cost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What a batch cost this process.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// User and system time of all threads.
    pub(crate) cpu: Duration,
    /// Time on the wall.
    pub(crate) wall: Duration,
}

/// Which cost is compared.
pub(crate) type Pick = fn(&Cost) -> Duration;

/// The batches of both sides, in pairs.
pub(crate) struct Rounds {
    calls: u32,
    pairs: Vec<(Cost, Cost)>,
}

/// A median and the quartiles around it.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// Runs both sides in turn, `rounds` times, each batch with `calls` calls. Who begins changes with every round, and a
/// first pair opens connections and warms caches and does not count.
pub(crate) fn take_turns(
    rounds: u32,
    calls: u32,
    mut ours: impl FnMut(u32) -> Result<()>,
    mut theirs: impl FnMut(u32) -> Result<()>,
) -> Result<Rounds> {
    ours(calls)?;
    theirs(calls)?;
    let mut pairs = Vec::new();
    for round in 0..rounds {
        if round % 2 == 0 {
            let ours = cost(|| ours(calls))?;
            pairs.push((ours, cost(|| theirs(calls))?));
        } else {
            let theirs = cost(|| theirs(calls))?;
            pairs.push((cost(|| ours(calls))?, theirs));
        }
    }
    Ok(Rounds { calls, pairs })
}

fn cost(batch: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (cpu, start) = (cpu_time(), Instant::now());
    batch()?;
    Ok(Cost { wall: start.elapsed(), cpu: cpu_time().saturating_sub(cpu) })
}

impl Rounds {
    /// The ratio of ours to theirs, from the ratios of the rounds: what disturbs a round disturbs both of its batches.
    pub(crate) fn ratio(&self, pick: Pick) -> Spread {
        spread(self.pairs.iter().map(|(ours, theirs)| pick(ours).as_secs_f64() / pick(theirs).as_secs_f64()))
    }

    /// The medians of both sides, in microseconds for each call.
    pub(crate) fn micros(&self, pick: Pick) -> (f64, f64) {
        let each = |cost: &Cost| pick(cost).as_secs_f64() * 1e6 / f64::from(self.calls);
        let ours = spread(self.pairs.iter().map(|(ours, _)| each(ours)));
        let theirs = spread(self.pairs.iter().map(|(_, theirs)| each(theirs)));
        (ours.median, theirs.median)
    }
}

/// Median and quartiles.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let values: Vec<f64> = values.collect();
    let at = |percent| percentile(&values, percent);
    Spread { low: at(25), median: at(50), high: at(75) }
}

/// The value that so many percent of them do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}

/// User and system time of this process so far; zero where it is not known.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    Duration::ZERO
}

/// A line of /proc/self/status.
pub(crate) fn kilobytes(name: &str) -> Result<u32> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no such line in /proc/self/status")?;
    Ok(number.parse()?)
}

impl Spread {
    /// Of the inverse values: throughput in place of time.
    pub(crate) fn inverse(self) -> Self {
        Self { low: 1.0 / self.high, median: 1.0 / self.median, high: 1.0 / self.low }
    }
}
