//! How long functions take until they ask for work, and what they have taken by then (Linux).
//!
//!     cargo build --release -p ingest -p order-status
//!     cargo run --release -p penstock-aws --example starting target/release/ingest target/release/order-status
//!
//! Starts each binary in turn against a Runtime API that answers nothing, forty times, and prints medians. Give two builds of a
//! function to compare them: they share whatever else the machine does.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it measures and prints")]

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 40;

/// What `ingest` and the groups want to know; nothing of it is asked for anything.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "f"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "a"),
    ("AWS_SECRET_ACCESS_KEY", "b"),
    ("PENSTOCK_STREAM", "s"),
    ("PENSTOCK_GROUP", "g"),
    ("PENSTOCK_PROGRESS_TABLE", "p"),
    ("PENSTOCK_WINDOW_TABLE", "w"),
    ("PENSTOCK_STATE_TABLE", "t"),
    ("PENSTOCK_DEAD_LETTER_QUEUE_URL", "http://q"),
    ("PENSTOCK_FINGERPRINT_KEY", "k"),
];

/// Milliseconds until it asked, milliseconds of CPU until then, kilobytes resident.
fn start(binary: &str) -> [f64; 3] {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let began = Instant::now();
    let mut child = Command::new(binary)
        .env_clear()
        .envs(ENVIRONMENT)
        .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 4];
    listener.accept().unwrap().0.read_exact(&mut first).unwrap();
    let wall = began.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(&first, b"GET ", "{binary} asks for no work: see what it says");
    let of = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let nanoseconds = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    let cpu = nanoseconds.sum::<f64>() / 1e6;
    let status = of("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    [wall, cpu, resident]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let binaries: Vec<String> = std::env::args().skip(1).collect();
    let mut measured = vec![Vec::new(); binaries.len()];
    for _ in 0..ROUNDS {
        for (binary, measured) in binaries.iter().zip(&mut measured) {
            measured.push(start(binary));
        }
    }
    for (binary, measured) in binaries.iter().zip(measured) {
        let [wall, cpu, resident] = [0, 1, 2].map(|which| median(measured.iter().map(|start| start[which]).collect()));
        let bytes = std::fs::metadata(binary).unwrap().len();
        println!(
            "{binary}: {bytes} bytes, {wall:.1} ms until it asks for work, {cpu:.2} ms of CPU, {resident} kB resident"
        );
    }
}
