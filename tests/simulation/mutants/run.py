"""Plants faults in the code that the simulation tests, one at a time, and sees that the simulation finds each.

    python3 tests/simulation/mutants/run.py [--minutes N | --check] [NAME ...]

With --minutes it takes as many as it can in that time: those of files that the last commits changed, then the others, from
another one on with each commit. One that is not found when its time is up is told and is no failure. With --check it only
sees that each compiles.

A mutant is a replacement of text that must occur exactly once, so that one that no longer fits its code fails here. The
crates are copied to target/mutants; the work tree is not touched. A fault that is not found is a hole in the simulation.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
COPY = ROOT / "target" / "mutants"
CRATES = ["shared/core", "shared/event-source", "tests/simulation"]

# Schedules that a mutant may survive. Most are found within hundreds; the rarest need a write that is late by seconds and
# five crashes in a row.
SEEDS = 100_000

# Whose files are tried first when time is short.
RECENT_COMMITS = 10

STEPS = "shared/core/src/settle/steps.rs"
LANES = "shared/core/src/settle/lanes.rs"
MEMORY = "shared/core/src/settle/memory.rs"
LOADING = "shared/core/src/settle/loading.rs"
RETURNED = "shared/core/src/settle/returned.rs"
RUN = "shared/core/src/settle/run.rs"
ENDING = "shared/core/src/settle/ending.rs"
PATIENCE = "shared/core/src/settle/patience.rs"
WORK = "shared/core/src/settle/work.rs"
ISOLATION = "shared/core/src/settle/isolation.rs"
FOLD = "shared/core/src/settle/projecting/fold.rs"
PROJECTING = "shared/core/src/settle/projecting.rs"
AFTER = "shared/core/src/settle/projecting/after.rs"
SINGLE = "shared/core/src/settle/projecting/single.rs"
REDRIVE = "shared/core/src/settle/redrive.rs"
PASSES = "shared/core/src/settle/redrive/passes.rs"
CHAIN = "shared/core/src/settle/redrive/chain.rs"
PORTS = "tests/simulation/src/ports.rs"
BATCH = "shared/core/src/batch.rs"
AGGREGATE = "shared/core/src/packing/aggregate.rs"
RECOVER = "shared/core/src/recover.rs"
PRODUCER = "shared/core/src/producer.rs"
POSITION = "shared/core/src/position.rs"
WINDOW = "shared/core/src/window.rs"
MAPPING = "shared/event-source/src/mapping.rs"
SHARD = "shared/event-source/src/shard.rs"
TABLES = "tests/simulation/src/world/tables.rs"

# What is wrong, where, and the text that becomes the other.
MUTANTS = [
    ("the fence is skipped", TABLES, ".filter(|begun| begun.epoch == epoch)", ""),
    (
        "a run that lost its fence answers as if it had not",
        ENDING,
        "Committed::Fenced => Err(Error::Fenced(shard.clone())),",
        "Committed::Fenced => Ok(()),",
    ),
    (
        "the position is written before what it stands for",
        ENDING,
        "        self.record(run, window, shard, said).await?;\n        let unsettled",
        "        let early = Commit { number: 0, position: run.watermark().clone(), arrival: None, failures: run.failures(),"
        " suspect: None, ahead_from: None, attempts: 0, at: self.outside.now() };\n"
        "        self.commit(shard, said, early, said.times.commit).await?;\n"
        "        self.record(run, window, shard, said).await?;\n        let unsettled",
    ),
    (
        "duplicates in one batch are forgotten",
        RUN,
        "twin[index] = names.insert(content.fingerprint, index);",
        "twin[index] = names.insert(content.fingerprint, index).filter(|_| false);",
    ),
    (
        "positions are compared as text",
        POSITION,
        "these.len().cmp(&those.len()).then_with(|| these.cmp(those))",
        "these.cmp(those)",
    ),
    (
        "a dead letter's name is recorded as handled",
        RUN,
        "Some(Outcome::Handled | Outcome::Before));",
        "Some(Outcome::Handled | Outcome::Before | Outcome::DeadLettered));",
    ),
    (
        "children are read before their parents",
        MAPPING,
        "if !parents.iter().any(unfinished))",
        "if !parents.iter().any(unfinished) || true)",
    ),
    (
        "an event is accepted before it is stored",
        PRODUCER,
        "        PutResult::Failed(detail) => {\n            *obstacle = Obstacle::Unavailable(detail);\n            false",
        "        PutResult::Failed(_) => {\n"
        "            for index in lane.pop_front().into_iter().flat_map(|record| record.events) {\n"
        "                fates[index] = Some(Fate::Accepted { shard: ShardId::new(\"?\"), sequence: SequenceNumber::zero() });\n"
        "            }\n            true",
    ),
    (
        "the window is not read again when other runs were in between",
        LOADING,
        "if window.epoch() + 1 < begun.epoch {",
        "if window.epoch() == 0 && window.epoch() + 1 < begun.epoch {",
    ),
    (
        "failures are forgotten with each commit",
        ENDING,
        "failures: if ending.outage { run.failures_as_begun(begun) } else { run.failures() },",
        "failures: std::collections::BTreeMap::new(),",
    ),
    (
        "isolation is not entered",
        STEPS,
        "let isolated = crashes >= isolation::CRASHES_TOLERATED && run.unsettled() > 0;",
        "let isolated = crashes >= 1_000_000 && run.unsettled() > 0;",
    ),
    (
        "what is settled in isolation is not recorded before a commit passes it",
        ENDING,
        "self.record(run, window, context.at.shard, said).await?;\n        window.advance",
        "window.advance",
    ),
    ("a shard does not know what its parents settled", WINDOW, "        self.handled_at(self.dated(segment.arrival, segment.at), &segment.handled);\n", "        if segment.epoch == 0 { self.handled_at(self.dated(segment.arrival, segment.at), &segment.handled); }\n"),
    (
        "what was settled ahead is handled again",
        WINDOW,
        "self.ahead.iter().any(|ahead| ahead.positions.contains(&fingerprint))",
        "self.ahead.iter().any(|ahead| ahead.positions.contains(&fingerprint)) && false",
    ),
    (
        "a projection does not look what it has applied",
        PROJECTING,
        "Some(stored) if delivery.position <= stored.applied => {",
        "Some(stored) if delivery.position <= stored.applied && delivery.position.index == u32::MAX => {",
    ),
    (
        "a state is written over whatever is there",
        TABLES,
        "if self.states.get(key).map(|stored| stored.revision) != over {",
        "if false && self.states.get(key).map(|stored| stored.revision) != over {",
    ),
    (
        "a run that lost its fence guesses what became of an event",
        AFTER,
        "if *position > self.settled {",
        "if *position > self.settled || position.index != u32::MAX {",
    ),
    (
        "an event that was applied is given up unrun",
        ISOLATION,
        "match self.work.already(run.delivery(index), context).await {",
        "match Ok::<Option<Outcome>, crate::ports::Error>(None) {",
    ),
    (
        "the events of a key go on past one that is to be retried",
        RUN,
        "        *failing\n    }",
        "        let told = *failing;\n        self.go_past(index);\n        told\n    }",
    ),
    (
        "what was redriven is not announced",
        PORTS,
        "self.count_redriven(counted).await",
        "{ _ = counted; Ok(()) }",
    ),
    (
        "a redrive misses the last run",
        REDRIVE,
        "Begun { epoch: begun.epoch + 1, ..begun.clone() }",
        "begun.clone()",
    ),
    ("a recovery stops before the last record", RECOVER, "record.sequence <= *last).collect()", "record.sequence < *last).collect()"),
    ("a shard that is gone is not told", RECOVER, "                self.expire(None).await?;\n                break;", "                break;"),
    ("what expired before a recovery is not told", RECOVER, "self.expire(Some(&oldest)).await?;", "_ = oldest;"),
    ("an end before the last record passes for it", RECOVER, "(_, Next::End) => self.expire(None).await?,", "(_, Next::End) => self.step(Some(end.clone())),"),
    (
        "a tip before the last record passes for it",
        RECOVER,
        "(_, Next::Tip) if self.may_have_expired() => self.expire(None).await?,",
        "(_, Next::Tip) => self.step(Some(end.clone())),",
    ),
    ("a recovery makes letters of what a run handled", RECOVER, "self.recovered.settled += usize::from(is_settled);", "let is_settled = false;"),
    (
        "a position behind what was given up speaks for it",
        WINDOW,
        "if self.bound.as_ref().is_some_and(|bound| position > bound) {",
        "if self.bound.as_ref().is_some_and(|bound| position > bound) && false {",
    ),
    (
        "a recovery's cursor is ahead of its letters",
        RECOVER,
        "last: last.clone(), done, at: outside.now() }",
        "last: last.clone(), done: done.max(self.given_up.end()), at: outside.now() }",
    ),
    (
        "a recovery that ran out of time passes for done",
        RECOVER,
        "            if !self.settle(records).await? {\n                return Ok(());",
        "            if !self.settle(records).await? {\n                self.recovered.complete = true;\n                return Ok(());",
    ),
    (
        "a listing that is older than the shard passes for its lineage",
        LOADING,
        "outside.lineage(shard).await?.ok_or_else(|| not_listed(shard))?",
        "outside.lineage(shard).await?.unwrap_or(crate::ports::Lineage { ancestors: Vec::new(), range: HashRange::ALL })",
    ),
    (
        "giving up leaves the state open to the event",
        SINGLE,
        "        if !self.concerns(event) || event.is_stray(context.range) {\n            return Ok(Outcome::DeadLettered);\n        }\n        for _ in",
        "        if self.concerns(event) || true {\n            return Ok(Outcome::DeadLettered);\n        }\n        for _ in",
    ),
    (
        "a redrive does not wait for its letter's run",
        REDRIVE,
        "|| !is_settled && !returned.is_recorded(&letter.delivery.position)",
        "|| !is_settled && false",
    ),
    (
        "letters of a call are redriven in the order of the queue",
        PASSES,
        "open.sort_by(|a, b| letters[*a].delivery.position.cmp(&letters[*b].delivery.position));",
        "",
    ),
    (
        "a redrive looks at its letter's own shard alone",
        CHAIN,
        "&& (descends || origin_is_gone || is_stray) {",
        "&& (descends || origin_is_gone || is_stray) && false {",
    ),
    (
        "a recovery does not say up to where",
        RECOVER,
        "outside.expire(shard, &end)",
        "outside.expire(shard, &Position::start())",
    ),
    (
        "what the event source has gone on past passes for applied",
        AFTER,
        ".max(context.below.clone())",
        "",
    ),
    (
        "a lane that is cut keeps the state of what was cut off",
        FOLD,
        "        if applied {\n",
        "        if applied && false {\n",
    ),
    (
        "a state forgets what it refused while it may come again",
        AFTER,
        "before.filter(|stored| stored.refused_to > settled)",
        "before.filter(|stored| stored.refused_to > settled && false)",
    ),
    (
        "a state may grow beyond its item",
        FOLD,
        "if this.bytes()? > state_bytes_max {",
        "if this.bytes()? > state_bytes_max && false {",
    ),
    (
        "names age by the time of their recording",
        WINDOW,
        "            Age::Arrival => arrival,\n",
        "            Age::Arrival => recording.max(arrival),\n",
    ),
    ("a commit that arrives late is written", TABLES, "if *last > commit.number {", "if false && *last > commit.number {"),
    (
        "a run that fails leaves its suspicion",
        ENDING,
        "while self.outside.now() < said.times.answer {",
        "while false && self.outside.now() < said.times.answer {",
    ),
    (
        "a commit may wait until the function is killed",
        ENDING,
        "within(&self.outside, by, self.outside.commit(shard, said.epoch, &said.last)).await",
        "{ _ = by; self.outside.commit(shard, said.epoch, &said.last).await }",
    ),
    (
        "foreign events of other producers are dropped",
        BATCH,
        "        self.is_ours && self.is_outside(range)\n",
        "        self.is_outside(range)\n",
    ),
    (
        "a stray is judged by its position",
        PROJECTING,
        "Some(stored) if delivery.is_stray(context.range) => {",
        "Some(stored) if delivery.is_stray(context.range) && false => {",
    ),
    (
        "a stray that was applied is not remembered",
        PROJECTING,
        "        state.remember(strays);\n",
        "            drop(strays);\n",
    ),
    (
        "a stray moves what the state of its key has forgotten",
        AFTER,
        "return StoredState { revision: before.revision + 1, ..before };",
        "return StoredState { revision: before.revision + 1,"
        " settled: before.settled.clone().max(context.below.clone()), ..before };",
    ),
    (
        "a redrive does not look for shards that came meanwhile",
        REDRIVE,
        "let new: BTreeSet<ShardId> = now.filter(|shard| !chain.shards.contains(shard)).collect();",
        "let new: BTreeSet<ShardId> = now.filter(|shard| !chain.shards.contains(shard) && false).collect();",
    ),
    (
        "a foreign event is handled where it does not belong",
        RUN,
        "if range.is_some_and(|range| delivery.is_foreign(range)) {",
        "if range.is_some_and(|range| delivery.is_foreign(range) && false) {",
    ),
    (
        "what is packed here does not say so",
        AGGREGATE,
        "let tags = if message.records.is_empty() {",
        "let tags = if message.records.is_empty() && false {",
    ),
    (
        "a recovery makes letters of foreign events",
        RECOVER,
        "if delivery.is_foreign(*range) {",
        "if delivery.is_foreign(*range) && false {",
    ),
    (
        "failures are counted during an outage",
        LANES,
        "let outage = context.gauge.outage();",
        "let outage = context.gauge.outage() && false;",
    ),
    (
        "an overtaken event is handled all the same",
        REDRIVE,
        "&& !letter.letter.overtaken",
        "&& false",
    ),
    (
        "calls redrive side by side",
        REDRIVE,
        "Ok(false) => \"another call redrives\".to_owned(),",
        "Ok(false) => return Ok(()),",
    ),
    (
        "what is refused again is taken for sent back when it was not",
        REDRIVE,
        "Err(error) => LetterEnd::Left(error.to_string()),\n            });",
        "Err(_) => LetterEnd::SentBack(back.code),\n            });",
    ),
    (
        "what is left of a batch is not reported",
        ENDING,
        "resume_at: run.lowest_unsettled().map(|delivery| delivery.position.sequence.clone()),",
        "resume_at: run.lowest_unsettled().map(|delivery| delivery.position.sequence.clone()).filter(|_| false),",
    ),
    ("the horizon counts from now", LOADING, "oldest.min(now).minus(", "oldest.max(now).minus("),
    (
        "a redrive does not look into the window",
        REDRIVE,
        "returned.has(name) || names.contains(&name)",
        "names.contains(&name)",
    ),
    (
        "patience is not kept in the progress",
        TABLES,
        "begun.failures = commit.failures.clone();",
        "begun.failures = commit.failures.clone();\n"
        "        begun.failures.values_mut().for_each(|failing| failing.since = commit.at);",
    ),
    (
        "an event is given up before patience is over",
        PATIENCE,
        "now.since(failing.since) >= self.patience",
        "now.since(failing.since) >= self.patience / 4",
    ),
    (
        "a run that waits has ended for those that look for crashes",
        ENDING,
        "            attempts: begun.attempts,\n",
        "            attempts: 0,\n",
    ),
    (
        "a failed single statement is taken for stored",
        PROJECTING,
        "Err(error) => ends[lane] = Some(LaneEnd::nothing(Stop::Outside(error))),\n            }\n        }\n    }\n\n    /// What is to",
        "Err(_) => ends[lane] = Some(folding.end()),\n            }\n        }\n    }\n\n    /// What is to",
    ),
    (
        "a letter is sent on the word of a remembered state",
        PROJECTING,
        "Ok(folded) if before.remembered && folded",
        "Ok(folded) if before.remembered && false && folded",
    ),
    (
        "a state that was superseded is taken for stored",
        PROJECTING,
        "Ok(Stored::Superseded) => {}",
        "Ok(Stored::Superseded) => ends[lane] = Some(folding.end()),",
    ),
    (
        "lanes go on when their time is over",
        WORK,
        "        self.times.stop.since(self.outside.now())\n",
        "        self.times.answer.plus(std::time::Duration::from_secs(60)).since(self.outside.now())\n",
    ),
    (
        "a redrive that was not recorded is acknowledged",
        REDRIVE,
        "                if matches!(letters[*index].end, Some(LetterEnd::Settled(_))) {\n                    letters[*index].leave(error.to_string());",
        "                if false {\n                    letters[*index].leave(error.to_string());",
    ),
    (
        "what was redriven on an ancestor is not inherited",
        LOADING,
        "for redriven in outside.load_redriven(ancestor, since).await? {",
        "for redriven in outside.load_redriven(ancestor, since).await?.into_iter().take(0) {",
    ),
    (
        "the event source goes on behind a failed batch",
        SHARD,
        "self.settle(&batch.records()[..index]);",
        "self.settle(&batch.records()[..index]);\n                let index = index.max(1).min(batch.records().len());",
    ),
]


def prepare():
    """A small workspace with the crates under test, and the lock file of the real one."""
    shutil.rmtree(COPY / "workspace", ignore_errors=True)
    workspace = COPY / "workspace"
    for crate in CRATES:
        shutil.copytree(ROOT / crate, workspace / crate)
    shutil.copytree(ROOT / "events", workspace / "events")
    manifest = (ROOT / "Cargo.toml").read_text()
    members = "members = [" + ", ".join(f'"{crate}"' for crate in CRATES) + "]"
    manifest = re.sub(r"members = \[.*?\]", members, manifest, count=1, flags=re.S)
    # a profile that compiles soon and runs fast
    manifest = manifest.split("[profile.", 1)[0] + "[profile.dev]\ndebug = 0\nopt-level = 1\nincremental = true\n"
    (workspace / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", workspace / "Cargo.lock")
    return workspace


def cargo(command, workspace, target):
    """Runs cargo on the hunt. Raises if it does not compile."""
    build = ["cargo", command, "--quiet", "--package", "simulation", "--example", "hunt", "--target-dir", COPY / target]
    built = subprocess.run(build, cwd=workspace, capture_output=True, text=True)
    if built.returncode != 0:
        raise RuntimeError(f"it does not compile:\n{built.stderr}")


def compiles(workspace, _):
    """That it does."""
    cargo("check", workspace, "check")
    return "compiles"


def hunt(workspace, seconds):
    """What the simulation finds: a sentence, or None; "" if time ran out. Raises if it does not compile."""
    cargo("build", workspace, "target")
    command = [COPY / "target/debug/examples/hunt", "0", str(SEEDS)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return ""
    return None if ran.returncode == 0 else ran.stdout.strip() or ran.stderr.strip()[-400:]


def git(*arguments):
    """What git says; nothing outside a checkout or where its history is cut off."""
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return ran.stdout.split() if ran.returncode == 0 else []


def in_turn(mutants):
    """Those of files that changed lately first; the others from one on that the commit chooses."""
    changed = set(git("diff", "--name-only", f"HEAD~{RECENT_COMMITS}"))
    first = [mutant for mutant in mutants if mutant[1] in changed]
    rest = [mutant for mutant in mutants if mutant[1] not in changed]
    turn = int((git("rev-parse", "HEAD") or ["0"])[0][:8], 16)
    turned = [part[turn % len(part) :] + part[: turn % len(part)] for part in (first, rest) if part]
    return [mutant for part in turned for mutant in part]


def main():
    """Runs the mutants that are named, or all."""
    arguments = argparse.ArgumentParser(description="Plants faults and sees that the simulation finds them.")
    arguments.add_argument("--minutes", type=float, help="stop when so many are over")
    arguments.add_argument("--check", action="store_true", help="only see that they compile")
    arguments.add_argument("names", nargs="*", metavar="NAME")
    arguments = arguments.parse_args()
    names = arguments.names
    chosen = [mutant for mutant in MUTANTS if not names or mutant[0] in names]
    if not chosen:
        sys.exit("no mutant has such a name")
    workspace = prepare()
    for name, file, old, _ in chosen:
        occurs = (workspace / file).read_text().count(old)
        if occurs != 1:
            sys.exit(f"{name}: its text occurs {occurs} times in {file}, not once")
    end = None
    if arguments.minutes:
        chosen, end = in_turn(chosen), time.monotonic() + 60 * arguments.minutes
    found, missed, open_ = [], [], []
    for number, (name, file, old, new) in enumerate(chosen, 1):
        began = time.monotonic()
        if end and began >= end:
            open_ += [mutant[0] for mutant in chosen[number - 1 :]]
            break
        path = workspace / file
        text = path.read_text()
        path.write_text(text.replace(old, new))
        told = (compiles if arguments.check else hunt)(workspace, end and max(end - began, 1))
        path.write_text(text)
        (missed if told is None else open_ if told == "" else found).append(name)
        told = "NOT FOUND" if told is None else told or "not found before time was up"
        print(f"{number:>2}/{len(chosen)} {name}: {told} ({time.monotonic() - began:.0f} s)", flush=True)
    if arguments.check:
        return
    left = f", {len(open_)} not tried or not found in the time" if open_ else ""
    print(f"{len(found)} of {len(chosen)} faults found{left}")
    sys.exit(1 if missed else 0)


main()
