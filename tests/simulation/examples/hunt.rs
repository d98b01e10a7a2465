//! Runs schedules and says whether one breaks an invariant: `hunt FROM SEEDS`. For the mutants; people use
//! `cargo penstock simulate`.

#![expect(clippy::print_stdout, reason = "it is a command")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let (Some(from), Some(seeds)) = (numbers.next(), numbers.next()) else {
        println!("hunt FROM SEEDS");
        return ExitCode::from(2);
    };
    // an assertion that fails is told below
    std::panic::set_hook(Box::new(|_| {}));
    match simulation::run_many(from, seeds, |_| {}) {
        Some(found) => {
            println!("{} at seed {}: {}", found.broken.invariant, found.seed, found.broken.what);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
