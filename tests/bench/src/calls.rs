//! Calls and lists: CPU, wall and throughput against bare reqwest.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use picobase::{Client, blocking, records::Collection};
use tokio::runtime::Runtime;

use crate::{
    bare::Bare,
    measure::{Cost, Pick, Rounds, take_turns},
    report::{
        Budget::{self, AtLeast, AtMost},
        Report,
    },
    stage::{Item, RECORDS, Stage, on_all_cores, on_this_thread},
};

const PEER: &str = "reqwest + serde";
pub(crate) const CPU: Pick = |cost: &Cost| cost.cpu;
const WALL: Pick = |cost: &Cost| cost.wall;
/// How many calls are under way at once in the row on throughput.
const AT_ONCE: u32 = 32;
/// How long the list of one call is.
const LIST: u32 = 500;

/// Measures all rows about calls.
pub(crate) fn measure(stage: &Stage, report: &mut Report) -> Result<()> {
    get_one(stage, report)?;
    blocking_get_one(stage, report)?;
    at_once(stage, report)?;
    list(stage, report)?;
    full_list(stage, report)
}

/// Our client, on the typed collection `bulk`.
pub(crate) fn ours(url: &str) -> Result<Collection<Item>> {
    Ok(Client::new(url, "")?.collection("bulk").typed())
}

fn get_one(stage: &Stage, report: &mut Report) -> Result<()> {
    let row = "get_one";
    if !report.wants(row) {
        return Ok(());
    }
    let runtime = on_this_thread()?;
    let (ours, bare) = (ours(&stage.url)?, Bare::new(&stage.url));
    let rounds = take_turns(
        50,
        200,
        |calls| runtime.block_on(each(calls, async || check(&ours.get_one(stage.id()).await?))),
        |calls| runtime.block_on(each(calls, async || check(&bare.get_one(stage.id()).await?))),
    )?;
    cpu(report, row, &rounds, AtMost(1.10));
    wall(report, row, &rounds, AtMost(1.10));
    Ok(())
}

fn blocking_get_one(stage: &Stage, report: &mut Report) -> Result<()> {
    let row = "blocking get_one";
    if !report.wants(row) {
        return Ok(());
    }
    let runtime = on_this_thread()?;
    let (db, bare) = (blocking::Client::new(&stage.url, "")?, Bare::new(&stage.url));
    let ours = db.collection("bulk").typed::<Item>();
    let rounds = take_turns(
        50,
        200,
        |calls| (0..calls).try_for_each(|_| check(&db.run(ours.get_one(stage.id()))?)),
        |calls| (0..calls).try_for_each(|_| check(&runtime.block_on(bare.get_one(stage.id()))?)),
    )?;
    cpu(report, row, &rounds, AtMost(1.10));
    wall(report, row, &rounds, AtMost(1.10));
    Ok(())
}

fn at_once(stage: &Stage, report: &mut Report) -> Result<()> {
    let row = format!("get_one, {AT_ONCE} at once");
    if !report.wants(&row) {
        return Ok(());
    }
    let runtime = on_all_cores()?;
    let (ours, bare) = (ours(&stage.url)?, Bare::new(&stage.url));
    let ids: Vec<String> = (0..AT_ONCE).map(|_| stage.id().to_owned()).collect();
    let rounds = take_turns(
        40,
        20,
        |calls| {
            together(&runtime, &ids, |id| {
                let ours = ours.clone();
                async move {
                    for _ in 0..calls {
                        check(&ours.get_one(&id).await?)?;
                    }
                    Ok(())
                }
            })
        },
        |calls| {
            together(&runtime, &ids, |id| {
                let bare = bare.clone();
                async move {
                    for _ in 0..calls {
                        check(&bare.get_one(&id).await?)?;
                    }
                    Ok(())
                }
            })
        },
    )?;
    throughput(report, &row, &rounds, AT_ONCE, AtLeast(0.97));
    wrk(stage, report);
    Ok(())
}

fn list(stage: &Stage, report: &mut Report) -> Result<()> {
    let row = format!("list of {LIST}");
    if !report.wants(&row) {
        return Ok(());
    }
    let runtime = on_this_thread()?;
    let (ours, bare) = (ours(&stage.url)?, Bare::new(&stage.url));
    let rounds = take_turns(
        40,
        10,
        |calls| {
            runtime.block_on(each(calls, async || {
                check_all(ours.get_list(1, LIST).skip_total().await?.items, LIST as usize)
            }))
        },
        |calls| {
            runtime.block_on(each(calls, async || check_all(bare.get_list(1, LIST as usize).await?, LIST as usize)))
        },
    )?;
    cpu(report, &row, &rounds, AtMost(1.10));
    Ok(())
}

fn full_list(stage: &Stage, report: &mut Report) -> Result<()> {
    let row = format!("full list of {RECORDS}");
    if !report.wants(&row) {
        return Ok(());
    }
    let (ours, bare) = (ours(&stage.url)?, Bare::new(&stage.url));
    for (runtime, row) in [(on_all_cores()?, row.clone()), (on_this_thread()?, format!("{row}, one thread"))] {
        let rounds = take_turns(
            30,
            1,
            |_| runtime.block_on(async { check_all(ours.get_full_list().await?, RECORDS) }),
            |_| runtime.block_on(async { check_all(bare.get_full_list().await?, RECORDS) }),
        )?;
        wall(report, &row, &rounds, AtMost(0.85));
    }
    Ok(())
}

/// One call after the other.
async fn each(calls: u32, call: impl AsyncFn() -> Result<()>) -> Result<()> {
    for _ in 0..calls {
        call().await?;
    }
    Ok(())
}

/// A task for each id, as a service would have them.
fn together<F>(runtime: &Runtime, ids: &[String], task: impl Fn(String) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let tasks = ids.iter().map(|id| runtime.spawn(task(id.clone())));
    let done = runtime.block_on(try_join_all(tasks))?;
    done.into_iter().collect()
}

/// Was the whole record decoded?
pub(crate) fn check(item: &Item) -> Result<()> {
    let whole = item.text.len() == 100 && item.n >= 0 && item.created.len() == 24 && item.updated.len() == 24;
    ensure!(whole && item.id.len() == 15, "the server answered another record: {item:?}");
    Ok(())
}

fn check_all(items: Vec<Item>, expected: usize) -> Result<()> {
    ensure!(items.len() == expected, "{} records in place of {expected}", items.len());
    items.last().map_or(Ok(()), check)
}

fn cpu(report: &mut Report, row: &str, rounds: &Rounds, budget: Budget) {
    report.compare((row, PEER, "µs CPU"), rounds.micros(CPU), rounds.ratio(CPU), budget);
}

fn wall(report: &mut Report, row: &str, rounds: &Rounds, budget: Budget) {
    report.compare((row, PEER, "µs wall"), rounds.micros(WALL), rounds.ratio(WALL), budget);
}

/// Calls in a second: the inverse of the time that the batches took.
fn throughput(report: &mut Report, row: &str, rounds: &Rounds, at_once: u32, budget: Budget) {
    let (ours, theirs) = rounds.micros(WALL);
    let per_second = |micros: f64| f64::from(at_once) * 1e6 / micros;
    report.compare(
        (row, PEER, "calls/s"),
        (per_second(ours), per_second(theirs)),
        rounds.ratio(WALL).inverse(),
        budget,
    );
}

/// The same load by wrk, to know what the server gives.
fn wrk(stage: &Stage, report: &mut Report) {
    let url = format!("{}/api/collections/bulk/records/{}", stage.url, stage.id());
    let connections = AT_ONCE.to_string();
    let out = std::process::Command::new("wrk").args(["-t", "1", "-c", &connections, "-d", "3s", &url]).output();
    match out {
        Ok(out) if out.status.success() => {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
            report.note(format!("wrk, {AT_ONCE} connections, the same URL: {} calls/s", rate.unwrap_or("?").trim()));
        }
        _ => report.note("wrk is not on PATH, so its calls/s are not shown beside those of 32 at once."),
    }
}
