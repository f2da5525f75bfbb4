//! B13: constant memory. Measured in a process of its own, where no other test allocates.

use std::{
    io::{Read, Write},
    path::Path,
    process::Command,
};

use picobase::files::FileSource;

use crate::{
    common::{PATIENCE, client, kit, within},
    tools::upload,
};

const CHILD: &str = "PICOBASE_TRANSFERS_CHILD";
const MEGABYTE: usize = 1024 * 1024;

#[tokio::test]
async fn fifty_megabytes_in_ten() {
    within(60, async {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "memory::child_moves_fifty_megabytes", "--nocapture"]);
        command.env(CHILD, &kit().info().direct_url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{told}");
    })
    .await;
}

/// The most memory since the last [`forget_peak`], in KB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

/// Where that is not allowed the peak of the whole process is as good: nothing large came before.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn same(a: &Path, b: &Path) -> bool {
    let (mut a, mut b) = (std::fs::File::open(a).unwrap(), std::fs::File::open(b).unwrap());
    let (mut left, mut right) = (vec![0; MEGABYTE], vec![0; MEGABYTE]);
    loop {
        let n = a.read(&mut left).unwrap();
        if n == 0 {
            return b.read(&mut right).unwrap() == 0;
        }
        b.read_exact(&mut right[..n]).unwrap();
        if left[..n] != right[..n] {
            return false;
        }
    }
}

#[tokio::test]
async fn child_moves_fifty_megabytes() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("large.bin"), folder.path().join("copy.bin"));
    let mut file = std::fs::File::create(&path).unwrap();
    for n in 0..50u8 {
        file.write_all(&vec![n; MEGABYTE]).unwrap();
    }
    drop(file);
    let client = client(&url);
    client.collection("posts").get_list(1, 1).await.unwrap();
    forget_peak();
    let idle = peak();
    let post = upload(&client, "large", FileSource::path(&path)).timeout(2 * PATIENCE).await.unwrap();
    let up = peak().saturating_sub(idle);
    forget_peak();
    let name = post.get_list("attachments")[0];
    let size = client.files().download(&post, name).to_path(&copy).await.unwrap();
    let down = peak().saturating_sub(idle);
    assert_eq!(size, 50 * MEGABYTE as u64);
    assert!(up <= 10 * 1024 && down <= 10 * 1024, "{idle} KB idle, {up} KB more up, {down} KB more down");
    assert!(same(&path, &copy));
    client.collection("posts").delete(post.id()).await.unwrap();
}
