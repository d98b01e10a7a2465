//! `docs/consumer-group.md`, followed to the letter in a copy of the workspace.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Setup, event, root};

/// A fenced block of the page: its language, its text, and the file that the line above names.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut before, mut open): (&str, Option<Block>) = ("", None);
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let file = before.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")).map(str::to_owned);
                open = Some(Block { language: language.to_owned(), file, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) if !line.is_empty() => before = line,
            (None, None) => {}
        }
    }
    blocks
}

/// What the samples are known to hold.
fn samples(pointer: &str) -> u64 {
    let text = std::fs::read_to_string(root().join("events/samples/orders.expected.json")).unwrap();
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    known.pointer(pointer).unwrap().as_u64().unwrap()
}

/// A copy of the workspace, with a target folder of its own: cargo would overwrite this workspace's binaries with those of
/// the copy.
struct Copy {
    workspace: PathBuf,
    target: PathBuf,
    /// The binaries that a pipeline of the copy runs: this workspace's, and those of the page's groups.
    binaries: PathBuf,
}

/// The groups that the page makes. Cargo is always asked for both: for one alone it would build their dependencies again.
const GROUPS: [&str; 2] = ["order-receipts", "order-totals"];

fn run(folder: &Path, program: &str, arguments: &[&str], variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).envs(variables.iter().copied()).current_dir(folder).output().unwrap();
    let (out, err) = (e2e::text(&output.stdout), e2e::text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out
}

/// The workspace's own files, as git knows them.
fn copy_workspace(to: &Path) {
    let files = run(&root(), "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"], &[]);
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // a file that was deleted and not committed yet is listed too
        if root().join(file).is_file() {
            std::fs::copy(root().join(file), target).unwrap();
        }
    }
}

impl Copy {
    async fn new() -> Self {
        let walk = root().join("target/walk");
        let (workspace, target, binaries) = (walk.join("workspace"), walk.join("target"), walk.join("cargo/debug"));
        for folder in [&workspace, &binaries] {
            if folder.exists() {
                std::fs::remove_dir_all(folder).unwrap();
            }
        }
        copy_workspace(&workspace);
        std::fs::create_dir_all(&binaries).unwrap();
        let built = e2e::binaries().await;
        let ours = ["ingest", "order-status", "order-alerts", "recover"].map(|name| (built.join(name), name));
        let new = GROUPS.map(|name| (target.join("debug").join(name), name));
        for (from, name) in ours.into_iter().chain(new) {
            std::os::unix::fs::symlink(from, binaries.join(name)).unwrap();
        }
        Self { workspace, target, binaries }
    }

    /// Runs a line of the page.
    async fn line(&self, line: &str) {
        match line.strip_prefix("cargo penstock ") {
            Some("dev --demo") => self.demo().await,
            // this workspace's own: the copy would only build it again
            Some(arguments) => {
                let arguments: Vec<_> = arguments.split(' ').collect();
                drop(run(&self.workspace, e2e::binaries().await.join("penstock").to_str().unwrap(), &arguments, &[]));
            }
            None => drop(self.run("sh", &["-ec", line])),
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let offline = ("CARGO_NET_OFFLINE", Path::new("true"));
        run(&self.workspace, program, arguments, &[("CARGO_TARGET_DIR", &self.target), offline])
    }

    /// Builds the page's groups.
    fn build(&self) {
        let arguments = GROUPS.iter().flat_map(|name| ["-p", name]);
        self.run("cargo", &["build", "--quiet"].into_iter().chain(arguments).collect::<Vec<_>>());
    }

    /// The demo, with the groups as they are now. What it would build is there already.
    async fn demo(&self) {
        self.build();
        let target = self.binaries.parent().unwrap();
        let cargo = target.join("cargo");
        let script = format!("#!/bin/sh\n[ \"$1\" = build ] || echo '{{\"target_directory\":{target:?}}}'\n");
        std::fs::write(&cargo, script).unwrap();
        std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
        let penstock = e2e::binaries().await.join("penstock");
        let arguments = ["dev", "--demo", "--port", "0"];
        let out = run(&self.workspace, penstock.to_str().unwrap(), &arguments, &[("PATH", target)]);
        for group in GROUPS {
            let row = out.lines().find(|line| line.starts_with(group)).expect("a row for each group");
            let cells: Vec<_> = row.split_whitespace().collect();
            // each name once, and none refused
            let (all, twice) = (samples("/accepted"), samples("/groups/order-status/duplicates"));
            let wanted = [all, all, all - twice, twice, 0, 0].map(|n| n.to_string());
            assert_eq!(cells[1..], [wanted.as_slice(), &["yes".to_owned()]].concat(), "{out}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_consumer_groups_makes_two_that_run() {
    let copy = Copy::new().await;
    for block in blocks(&std::fs::read_to_string(root().join("docs/consumer-group.md")).unwrap()) {
        match (block.language.as_str(), block.file) {
            ("sh", _) => {
                for line in block.text.lines() {
                    copy.line(line).await;
                }
            }
            // what the command has written, for those who read; `tests/infra` looks at it
            ("diff", _) => {}
            (_, Some(file)) => std::fs::write(copy.workspace.join(file), &block.text).unwrap(),
            (language, None) => panic!("a block of {language} that belongs to no file"),
        }
    }
    copy.run("cargo", &["fmt", "--all", "--check"]);
    copy.build();

    let setup = Setup { template: Some(copy.workspace.join("template.yaml")), ..Setup::default() };
    let pipeline = setup.start_with(&copy.binaries).await;
    let paid = |id: &str, cents: i64| {
        event(id, id, "shop.order.paid", &format!(r#"{{"order_id":"{id}","amount_cents":{cents}}}"#))
    };
    let body = format!(
        "[{},{},{}]",
        paid("A", 500),
        paid("B", 0),
        event("3", "A", "shop.order.shipped", r#"{"order_id":"A"}"#)
    );
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", body).await;
    assert_eq!(status, 202, "{answer}");
    let counts = pipeline.wait_for("order-receipts", 3).await;
    assert_eq!((counts.handled, counts.dead_letters), (2, 1));
    assert!(pipeline.logs().contains("receipt"), "{}", pipeline.logs());
    assert_eq!(pipeline.dead_letters("order-receipts").await[0].reason, "order B was paid with 0 cents");
    assert_eq!(pipeline.wait_for("order-totals", 3).await.handled, 3);
    pipeline.stop().await;
}
