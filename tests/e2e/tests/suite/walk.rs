//! `docs/consumer-group.md`, followed to the letter in a copy of the workspace.

use std::path::Path;
use std::process::Command;

use e2e::{Setup, binaries, event, root};

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

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let (out, err) = (e2e::text(&output.stdout), e2e::text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out
}

/// The workspace's own files, as git knows them.
fn copy_workspace(to: &Path) {
    let files = run(&root(), "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // a file that was deleted and not committed yet is listed too
        if root().join(file).is_file() {
            std::fs::copy(root().join(file), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_consumer_groups_makes_one_that_runs() {
    let copy = root().join("target/walk/workspace");
    if copy.exists() {
        std::fs::remove_dir_all(&copy).unwrap();
    }
    copy_workspace(&copy);
    for block in blocks(&std::fs::read_to_string(root().join("docs/consumer-group.md")).unwrap()) {
        match (block.language.as_str(), block.file) {
            ("sh", _) => drop(run(&copy, "sh", &["-ec", &block.text])),
            ("yaml", _) => {
                let template = std::fs::read_to_string(copy.join("template.yaml")).unwrap();
                let template = template.replacen("\nOutputs:\n", &format!("\n{}Outputs:\n", block.text), 1);
                assert!(template.contains(&block.text));
                std::fs::write(copy.join("template.yaml"), template).unwrap();
            }
            ("diff", _) => {
                std::fs::write(copy.join("walk.diff"), &block.text).unwrap();
                drop(run(&copy, "git", &["apply", "--recount", "walk.diff"]));
            }
            (_, Some(file)) => std::fs::write(copy.join(file), &block.text).unwrap(),
            (language, None) => panic!("a block of {language} that belongs to no file"),
        }
    }
    // a target folder of its own: cargo would overwrite this workspace's binaries with those of the copy
    let target = root().join("target/walk/target");
    run(
        &copy,
        "cargo",
        &["build", "--quiet", "--offline", "--bin", "order-receipts", "--target-dir", target.to_str().unwrap()],
    );

    let folder = tempfile::tempdir().unwrap();
    for (from, name) in [
        (binaries().await, "ingest"),
        (binaries().await, "order-status"),
        (binaries().await, "order-alerts"),
        (binaries().await, "recover"),
        (&target.join("debug"), "order-receipts"),
    ] {
        std::os::unix::fs::symlink(from.join(name), folder.path().join(name)).unwrap();
    }
    let setup = Setup { template: Some(copy.join("template.yaml")), ..Setup::default() };
    let pipeline = setup.start_with(folder.path()).await;
    let paid = |id: &str, cents: i64| {
        event(id, id, "shop.order.paid", &format!(r#"{{"order_id":"{id}","amount_cents":{cents}}}"#))
    };
    let body = format!("[{},{},{}]", paid("A", 500), paid("B", 0), event("3", "A", "shop.order.shipped", "{}"));
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", body).await;
    assert_eq!(status, 202, "{answer}");
    let counts = pipeline.wait_for("order-receipts", 3).await;
    assert_eq!((counts.handled, counts.dead_letters), (2, 1));
    assert!(pipeline.logs().contains("receipt"), "{}", pipeline.logs());
    assert_eq!(pipeline.dead_letters("order-receipts").await[0].reason, "order B was paid with 0 cents");
    pipeline.stop().await;
}
