//! 50 MB up and down: how far memory grows above what an idle client takes.
//!
//! Each transfer runs in a process of its own, which is this program again. It makes its client and a small call, has
//! the kernel forget the peak so far, transfers, and prints idle and peak.

use std::{ffi::OsString, fs::File, io::Write as _, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use picobase::{Client, Record, files::FileSource};

use crate::{
    measure::kilobytes,
    report::{Budget::AtMost, Report},
    stage::{Stage, on_all_cores},
};

pub(crate) const COMMAND: &str = "transfer";

const SIZE: usize = 50 << 20;
const PEER: &str = "idle client";

/// Measures both directions.
pub(crate) fn measure(stage: &Stage, report: &mut Report) -> Result<()> {
    let (up, down) = ("upload of 50 MB from a path", "download of 50 MB to a path");
    if !report.wants(up) && !report.wants(down) {
        return Ok(());
    }
    if !cfg!(target_os = "linux") {
        report.note("Peak memory is read from /proc: the rows on transfers are measured on Linux only.");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (source, copy) = (folder.path().join("source.bin"), folder.path().join("copy.bin"));
    write_source(&source)?;
    let (id, grown) = in_a_child("up", &stage.url, &source, "")?;
    report.absolute((up, PEER, "MB peak"), grown, AtMost(10.0));
    let (_, grown) = in_a_child("down", &stage.url, &copy, &id)?;
    ensure!(std::fs::read(&source)? == std::fs::read(&copy)?, "the download is another file than the upload");
    report.absolute((down, PEER, "MB peak"), grown, AtMost(10.0));
    Ok(())
}

fn write_source(path: &Path) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut file = File::create(path)?;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..SIZE / piece.len() {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    Ok(())
}

/// Runs one direction in a child: the record's id, and how many MB the peak is above idle.
fn in_a_child(direction: &str, url: &str, path: &Path, id: &str) -> Result<(String, f64)> {
    let out = Command::new(std::env::current_exe()?).args([COMMAND, direction, url]).arg(path).arg(id).output()?;
    ensure!(out.status.success(), "the transfer failed: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout)?;
    let mut words = text.split_whitespace();
    let (Some(id), Some(idle), Some(peak)) = (words.next(), words.next(), words.next()) else {
        bail!("the transfer printed {text:?}");
    };
    let (idle, peak): (u32, u32) = (idle.parse()?, peak.parse()?);
    Ok((id.to_owned(), f64::from(peak.saturating_sub(idle)) / 1024.0))
}

/// What the child does.
#[expect(clippy::print_stdout, reason = "the parent reads the numbers from it")]
pub(crate) fn child(arguments: &[OsString]) -> Result<()> {
    let [direction, url, path, id] = arguments else { bail!("transfer: direction, URL, path and id are needed") };
    let (url, id) = (url.to_string_lossy(), id.to_string_lossy());
    on_all_cores()?.block_on(async {
        let client = Client::new(&url, "")?;
        client.collection("bulk").get_list(1, 1).await?;
        std::fs::write("/proc/self/clear_refs", "5").context("the peak cannot be reset")?;
        let idle = kilobytes("VmRSS")?;
        let id = match direction.to_str() {
            Some("up") => upload(&client, Path::new(path)).await?,
            _ => download(&client, Path::new(path), &id).await?,
        };
        println!("{id} {idle} {}", kilobytes("VmHWM")?);
        Ok(())
    })
}

async fn upload(client: &Client, path: &Path) -> Result<String> {
    let upload = client.files().upload("posts", FileSource::path(path)).field("attachments");
    let post: Record = upload.data(&serde_json::json!({"title": "A large file"})).await?;
    Ok(post.id().to_owned())
}

async fn download(client: &Client, path: &Path, id: &str) -> Result<String> {
    let post = client.collection("posts").get_one(id).await?;
    let names = post.get_list("attachments");
    let name = names.first().context("the record has no file")?;
    let size = client.files().download(&post, name).to_path(path).await?;
    ensure!(size == SIZE as u64, "{size} bytes came in place of {SIZE}");
    Ok(id.to_owned())
}
