//! The same calls without the measuring, for profilers. `profile serve` starts a server, prints its URL and an id and
//! waits for the end of its input; `profile ours|bare WHAT CALLS URL ID` makes calls of one kind, one after the other.
//! Bursts of events want the URL that `picobase-bench replay` prints, and any ID.

use std::{ffi::OsString, io::Read as _};

use anyhow::{Result, bail};
use picobase::{Client, blocking};

use crate::{
    bare::Bare,
    calls::ours,
    events,
    stage::{Stage, on_this_thread},
};

pub(crate) const COMMAND: &str = "profile";

const USAGE: &str = "usage: picobase-bench profile serve
       picobase-bench profile ours|bare get_one|list|full_list|burst CALLS URL ID
       picobase-bench profile blocking get_one CALLS URL ID";

/// Does what the arguments say.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["serve"] => serve(),
        ["ours", what, calls, url, id] => by_ours(what, calls.parse()?, url, id),
        ["bare", what, calls, url, id] => by_bare(what, calls.parse()?, url, id),
        ["blocking", "get_one", calls, url, id] => by_blocking(calls.parse()?, url, id),
        _ => bail!(USAGE),
    }
}

#[expect(clippy::print_stdout, reason = "who profiles needs to know the URL")]
fn serve() -> Result<()> {
    let stage = Stage::set()?;
    println!("{} {}", stage.url, stage.id());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn by_ours(what: &str, calls: u32, url: &str, id: &str) -> Result<()> {
    let (records, http) = (ours(url)?, reqwest::Client::new());
    on_this_thread()?.block_on(async {
        for _ in 0..calls {
            match what {
                "get_one" => drop(records.get_one(id).await?),
                "list" => drop(records.get_list(1, 500).skip_total().await?),
                "full_list" => drop(records.get_full_list().await?),
                "burst" => events::our_burst(&records, &http, url).await?,
                _ => bail!(USAGE),
            }
        }
        Ok(())
    })
}

fn by_bare(what: &str, calls: u32, url: &str, id: &str) -> Result<()> {
    let (bare, http) = (Bare::new(url), reqwest::Client::new());
    on_this_thread()?.block_on(async {
        for _ in 0..calls {
            match what {
                "get_one" => drop(bare.get_one(id).await?),
                "list" => drop(bare.get_list(1, 500).await?),
                "full_list" => drop(bare.get_full_list().await?),
                "burst" => events::bare_burst(&http, url).await?,
                _ => bail!(USAGE),
            }
        }
        Ok(())
    })
}

fn by_blocking(calls: u32, url: &str, id: &str) -> Result<()> {
    let db = blocking::Client::of(Client::new(url, "")?)?;
    let records = db.collection("bulk");
    for _ in 0..calls {
        db.run(records.get_one(id))?;
    }
    Ok(())
}
