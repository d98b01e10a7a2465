use super::*;
use crate::settle::redrive::Left;

/// What redriving the letters of the queue comes to.
fn redrive<W: Work>(settler: &Settler<W, World>, world: &World, id: &str) -> Vec<Result<Outcome, Left>> {
    let letters = world.store(|s| s.letters.clone());
    let deadline = Timestamp(world.store(|s| s.now) + 10_000);
    settler.redrive(&letters, id, deadline).now_or_never().expect("nothing waits")
}

/// As the bytes of an event are mended, and its letter sent back.
fn mend(world: &World) {
    world.store(|s| {
        for letter in &mut s.letters {
            letter.data = String::from_utf8(letter.data.to_vec()).unwrap().replace("refuse", "ok").into();
        }
    });
}

#[test]
fn a_redriven_event_is_not_swallowed_by_the_window_and_is_handled_once() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("k", "b", "ok")])).unwrap();
    mend(&world);
    assert_eq!(redrive(&settler(&world), &world, "1"), [Ok(Outcome::Handled)]);
    assert_eq!(redrive(&settler(&world), &world, "2"), [Ok(Outcome::Duplicate)]);
    assert_eq!(world.store(|s| s.handled.clone()), ["b", "a"]);
}

#[test]
fn a_run_finds_a_duplicate_of_what_was_redriven_meanwhile() {
    let world = World::default();
    let live = settler(&world);
    settle(&live, &batch(1, &[("k", "a", "refuse")])).unwrap();
    mend(&world);
    assert_eq!(redrive(&settler(&world), &world, "1"), [Ok(Outcome::Handled)]);
    // its window is in memory, and only the count on the progress tells it of the redrive
    let settled = settle(&live, &batch(2, &[("k", "a", "ok")])).unwrap();
    assert_eq!(settled.counts.duplicates, 1);
}

#[test]
fn what_is_refused_again_stays_in_the_queue_and_makes_no_second_letter() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("l", "b", "garbage")])).unwrap();
    let results = redrive(&settler(&world), &world, "1");
    assert!(
        matches!(
            &results[..],
            [Err(Left::NotAnEvent(_)), Err(Left::NotHandled(_))] | [Err(Left::NotHandled(_)), Err(Left::NotAnEvent(_))]
        ),
        "{results:?}"
    );
    assert_eq!(letters(&world).len(), 2);
}

#[test]
fn a_projection_applies_a_redriven_event_once_behind_what_came_after_it() {
    let world = World::default();
    let live = projecting(&world);
    settle(&live, &batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "b", "ok")])).unwrap();
    mend(&world);
    assert_eq!(redrive(&projecting(&world), &world, "1"), [Ok(Outcome::Handled)]);
    assert_eq!(state(&world, "k").as_deref(), Some("\"abx\""));
    // even if what was recorded of it were lost
    world.store(|s| s.redriven.clear());
    assert_eq!(redrive(&projecting(&world), &world, "2"), [Ok(Outcome::Duplicate)]);
    assert_eq!(settle(&live, &batch(4, &[("k", "x", "ok"), ("k", "c", "ok")])).unwrap().counts.duplicates, 1);
    assert_eq!(state(&world, "k").as_deref(), Some("\"abxc\""));
}

#[test]
fn a_redrive_waits_for_what_its_key_has_applied_last_to_be_recorded() {
    let world = World::default();
    settle(&projecting(&world), &batch(1, &[("k", "x", "refuse")])).unwrap();
    mend(&world);
    world.store(|s| s.crash_at = Some(Step::Record));
    let copy = batch(2, &[("k", "x", "ok")]);
    settle(&projecting(&world), &copy).unwrap_err();
    let results = redrive(&projecting(&world), &world, "1");
    assert!(matches!(&results[..], [Err(Left::Later(_))]), "{results:?}");
    settle(&projecting(&world), &copy).unwrap();
    assert_eq!(redrive(&projecting(&world), &world, "2"), [Ok(Outcome::Duplicate)]);
    assert_eq!(state(&world, "k").as_deref(), Some("\"x\""));
}
