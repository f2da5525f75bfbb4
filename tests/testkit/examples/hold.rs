//! Starts a testkit through the client, prints its process and its control port, and holds it until Enter is pressed.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use picobase_testkit::Testkit;

fn main() {
    let kit = Testkit::spawn();
    println!("{} {}", kit.pid(), kit.info().control);
    let _ = std::io::stdin().read_line(&mut String::new());
}
