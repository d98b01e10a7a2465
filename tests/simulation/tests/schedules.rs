//! Schedules of the simulation.

#[test]
fn twenty_thousand_schedules_hold() {
    let found = simulation::run_many(0, 20_000, |_| {});
    if let Some(found) = found {
        let history = simulation::minimise(found.seed).map(|small| small.history).unwrap_or_default();
        panic!("seed {}: {:?}\n{history}", found.seed, found.broken);
    }
}

#[test]
fn one_seed_twice_gives_the_same_bytes() {
    for seed in 0..200 {
        let (first, second) = (simulation::history(seed), simulation::history(seed));
        assert!(!first.is_empty());
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn schedules_differ_and_meet_faults() {
    let faults: Vec<usize> = (0..100).map(|seed| simulation::run(seed).faults).collect();
    assert!(faults.contains(&0), "some are calm");
    assert!(faults.iter().filter(|n| **n > 5).count() > 30, "many are not: {faults:?}");
    assert_ne!(simulation::history(1), simulation::history(2));
}
