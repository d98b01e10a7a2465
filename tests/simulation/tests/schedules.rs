//! Schedules of the simulation.

#[test]
fn schedules_hold() {
    for seed in 0..20000 {
        let outcome = simulation::run(seed);
        if let Some(broken) = outcome.broken {
            let small = simulation::minimise(seed).unwrap();
            panic!("seed {seed}: {broken:?}\n{}", small.history);
        }
    }
}
