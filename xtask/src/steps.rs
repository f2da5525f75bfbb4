//! The steps of a run: what passed, how long it took, and the summary that ends the output.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended.
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// What a step says of itself when it did not fail.
pub(crate) enum Done {
    /// It did all that it is for.
    Passed,
    /// It could not be done here, for this reason. Not a failure, but never silent.
    Skipped(String),
}

/// The steps of one run.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, Outcome)>,
}

/// A step that failed; the failure itself has been printed.
#[derive(Debug)]
pub(crate) struct Stop;

impl Steps {
    /// Runs one step, prints its failure, and tells the caller to stop.
    pub(crate) fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T, Stop> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work();
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        self.done.push((name.to_owned(), start.elapsed(), outcome));
        result.map_err(|error| {
            eprintln!("\nFAILED {name}: {error:#}");
            Stop
        })
    }

    /// Runs one step that may turn out to be impossible on this machine; a failure does not stop the others.
    pub(crate) fn attempt(&mut self, name: &str, work: impl FnOnce() -> Result<Done>) {
        if let Ok(Done::Skipped(why)) = self.run(name, work)
            && let Some((_, _, outcome)) = self.done.last_mut()
        {
            *outcome = Outcome::Skipped(why);
        }
    }

    /// Prints every step with its duration, then one line such as `12 passed, 0 failed`.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, took, outcome) in &self.done {
            let (word, why) = match outcome {
                Outcome::Passed => (passed += 1, ("ok", "")).1,
                Outcome::Failed => (failed += 1, ("FAILED", "")).1,
                Outcome::Skipped(why) => (skipped += 1, ("skipped", why.as_str())).1,
            };
            println!("{word:<7} {:>7.1} s  {name}{}{why}", took.as_secs_f64(), if why.is_empty() { "" } else { ": " });
        }
        let rest = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        println!("{passed} passed, {failed} failed{rest}");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
