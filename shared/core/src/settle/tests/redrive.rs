use super::*;
use crate::dead_letter::DeadLetter;
use crate::settle::LetterEnd;

/// What redriving the letters of the queue comes to.
fn redrive<W: Work>(settler: &Settler<W, World>, world: &World, id: &str) -> Vec<LetterEnd> {
    let letters = world.store(|s| s.letters.clone());
    let deadline = Timestamp(world.store(|s| s.now) + 10_000);
    settler.redrive(&letters, 1, id, deadline).now_or_never().expect("nothing waits")
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
    assert_eq!(redrive(&settler(&world), &world, "1"), [LetterEnd::Settled(Outcome::Handled)]);
    assert_eq!(redrive(&settler(&world), &world, "2"), [LetterEnd::Settled(Outcome::Duplicate)]);
    assert_eq!(world.store(|s| s.handled.clone()), ["b", "a"]);
}

#[test]
fn a_run_finds_a_duplicate_of_what_was_redriven_meanwhile() {
    let world = World::default();
    let live = settler(&world);
    settle(&live, &batch(1, &[("k", "a", "refuse")])).unwrap();
    mend(&world);
    assert_eq!(redrive(&settler(&world), &world, "1"), [LetterEnd::Settled(Outcome::Handled)]);
    // its window is in memory, and only the count on the progress tells it of the redrive
    let settled = settle(&live, &batch(2, &[("k", "a", "ok")])).unwrap();
    assert_eq!(settled.counts.duplicates, 1);
}

#[test]
fn what_is_refused_again_goes_back_at_once_with_its_reason_and_count() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("l", "b", "garbage")])).unwrap();
    let ends = redrive(&settler(&world), &world, "1");
    let (refused, not_an_event) = (LetterEnd::SentBack(Code::Refused), LetterEnd::SentBack(Code::NotAnEvent));
    assert!(ends.len() == 2 && ends.contains(&refused) && ends.contains(&not_an_event), "{ends:?}");
    let attempts =
        world.store(|s| s.letters.iter().filter(|l| l.code == Code::Refused).map(|l| l.attempts).collect::<Vec<_>>());
    assert_eq!((attempts, world.store(|s| s.letters.len())), (vec![1, 2], 4), "the queue deletes what was sent back");
    assert_eq!(world.store(|s| s.turn.clone()), None);
}

#[test]
fn what_fails_is_tried_for_some_seconds_and_holds_up_its_key() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("k", "b", "refuse"), ("l", "c", "refuse")])).unwrap();
    world.store(|s| {
        for letter in &mut s.letters {
            letter.data = String::from_utf8(letter.data.to_vec()).unwrap().replace("refuse", "away").into();
        }
        s.away_until = s.now + 2500;
    });
    let handled_all =
        redrive(&settler(&world), &world, "1").iter().all(|end| *end == LetterEnd::Settled(Outcome::Handled));
    assert!(handled_all);
    let order = handled(&world);
    assert!(order.iter().position(|id| id == "a") < order.iter().position(|id| id == "b"), "{order:?}");
    world.store(|s| (s.away_until, s.redriven) = (u64::MAX, Vec::new()));
    let ends = redrive(&settler(&world), &world, "2");
    assert_eq!(ends, vec![LetterEnd::SentBack(Code::RetriesExhausted); 3]);
}

#[test]
fn an_event_that_a_later_one_of_its_key_has_overtaken_goes_back_and_is_handled_the_next_time() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("k", "b", "refuse"), ("l", "c", "refuse")])).unwrap();
    mend(&world);
    let mut letters = world.store(|s| std::mem::take(&mut s.letters));
    letters.sort_by(|a, b| a.position.cmp(&b.position));
    let mut redrive_one = |index: usize, id| {
        world.store(|s| s.letters = vec![letters[index].clone()]);
        let end = redrive(&settler(&world), &world, id).remove(0);
        letters[index] = world.store(|s| s.letters.pop()).unwrap();
        end
    };
    assert_eq!(redrive_one(1, "1"), LetterEnd::Settled(Outcome::Handled));
    assert_eq!(redrive_one(0, "2"), LetterEnd::SentBack(Code::Overtaken));
    assert_eq!(redrive_one(2, "3"), LetterEnd::Settled(Outcome::Handled), "another key");
    assert_eq!(
        redrive_one(0, "4"),
        LetterEnd::Settled(Outcome::Handled),
        "whoever sends it back again wants it handled"
    );
    assert_eq!(handled(&world), ["b", "c", "a"]);
}

#[test]
fn calls_redrive_one_after_the_other() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse")])).unwrap();
    mend(&world);
    // a call that died with its turn
    world.store(|s| s.turn = Some(("dead".to_owned(), Timestamp(s.now + 3000))));
    assert_eq!(redrive(&settler(&world), &world, "1"), [LetterEnd::Settled(Outcome::Handled)], "it waited");
    world.store(|s| (s.turn, s.redriven) = (Some(("busy".to_owned(), Timestamp(s.now + 60_000))), Vec::new()));
    assert!(
        matches!(&redrive(&settler(&world), &world, "2")[..], [LetterEnd::Left(why)] if why == "another call redrives")
    );
}

/// A process that dies while it redrives, if an event makes its handler hang: its clock never wakes it.
fn redrive_frozen(world: &World, letters: &[DeadLetter], received: u32) -> Option<Vec<LetterEnd>> {
    world.store(|s| s.now += 60_000);
    let (id, deadline) = (format!("{received}"), Timestamp(world.store(|s| s.now) + 10_000));
    dying(world).redrive(letters, received, &id, deadline).now_or_never()
}

fn hang_on(letters: &mut [DeadLetter], id: &str) {
    let letter = letters.iter_mut().find(|letter| String::from_utf8_lossy(&letter.data).contains(id)).unwrap();
    letter.data = String::from_utf8(letter.data.to_vec()).unwrap().replace("ok", "hang").into();
}

#[test]
fn a_letter_that_kills_the_process_costs_the_others_of_its_call_no_more_than_a_repetition() {
    let world = World::default();
    let ids: Vec<String> = (0..10).map(|n| format!("e{n}")).collect();
    let events: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str(), "refuse")).collect();
    settle(&settler(&world), &batch(1, &events)).unwrap();
    mend(&world);
    let mut letters = world.store(|s| std::mem::take(&mut s.letters));
    hang_on(&mut letters, "e4");
    for received in 1..=3 {
        assert!(redrive_frozen(&world, &letters, received).is_none(), "it dies");
    }
    let times = |id: &str| handled(&world).iter().filter(|handled| *handled == id).count();
    let counts: Vec<usize> = ids.iter().map(|id| times(id)).collect();
    assert_eq!(counts, [2, 2, 2, 2, 0, 1, 1, 1, 1, 1], "those before it again, once");
    letters.retain(|letter| !String::from_utf8_lossy(&letter.data).contains("hang"));
    assert_eq!(redrive_frozen(&world, &letters, 4), Some(vec![LetterEnd::Settled(Outcome::Duplicate); 9]));
}

#[test]
fn what_crashed_before_it_was_dead_lettered_is_redriven_last_and_its_key_in_order() {
    let world = World::default();
    let events = [("k", "a", "refuse"), ("l", "b", "refuse"), ("k", "c", "refuse"), ("m", "d", "refuse")];
    settle(&settler(&world), &batch(1, &events)).unwrap();
    mend(&world);
    let mut letters = world.store(|s| std::mem::take(&mut s.letters));
    letters.sort_by(|a, b| a.position.cmp(&b.position));
    letters[0].code = Code::Crashed;
    hang_on(&mut letters, "\"c\"");
    assert!(redrive_frozen(&world, &letters, 1).is_none(), "it dies");
    assert_eq!(handled(&world), ["b", "d", "a"]);
    // what was settled before is recorded
    letters.remove(2);
    assert_eq!(redrive_frozen(&world, &letters, 2), Some(vec![LetterEnd::Settled(Outcome::Duplicate); 3]));
}

#[test]
fn what_was_redriven_is_read_once_by_a_process() {
    let world = World::default();
    let warm = settler(&world);
    for n in 1..=50_u32 {
        let id = format!("e{n}");
        settle(&warm, &batch(n, &[("k", &id, "refuse")])).unwrap();
        mend(&world);
        world.store(|s| s.now += 60_000);
        assert_eq!(redrive(&warm, &world, &id), [LetterEnd::Settled(Outcome::Handled)]);
        world.store(|s| s.letters.clear());
    }
    // runs and redrives read five minutes of what was there before, and not all of it
    let read = world.store(|s| s.redriven_read);
    assert!(read < 50 * 2 * 10, "{read} read");
}

#[test]
fn a_projection_applies_a_redriven_event_once_behind_what_came_after_it() {
    let world = World::default();
    let live = projecting(&world);
    settle(&live, &batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "b", "ok")])).unwrap();
    mend(&world);
    assert_eq!(redrive(&projecting(&world), &world, "1"), [LetterEnd::Settled(Outcome::Handled)]);
    assert_eq!(state(&world, "k").as_deref(), Some("\"abx\""));
    // even if what was recorded of it were lost
    world.store(|s| s.redriven.clear());
    assert_eq!(redrive(&projecting(&world), &world, "2"), [LetterEnd::Settled(Outcome::Duplicate)]);
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
    let ends = redrive(&projecting(&world), &world, "1");
    assert!(matches!(&ends[..], [LetterEnd::Left(_)]), "{ends:?}");
    settle(&projecting(&world), &copy).unwrap();
    assert_eq!(redrive(&projecting(&world), &world, "2"), [LetterEnd::Settled(Outcome::Duplicate)]);
    assert_eq!(state(&world, "k").as_deref(), Some("\"x\""));
}
