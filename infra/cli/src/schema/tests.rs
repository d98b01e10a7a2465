use penstock_admin::schemas::{Changes, PolicyChange, Publication, Refusal, Unfit};
use penstock_schema::compare::Comparison;
use penstock_schema::history::Refused;
use penstock_schema::policy::Readers;
use penstock_schema::registry::{Index, Listed};
use penstock_schema::{Policy, Schema, SchemaId, Version};

use super::*;
use crate::schema::check::Report;
use crate::schema::told::Names;

const ONE: &str = r#"{"type":"object","properties":{"total":{"type":"integer"}},"additionalProperties":false}"#;
const TEXT: &str = r#"{"type":"object","properties":{"total":{"type":"string"}},"additionalProperties":false}"#;
const MORE: &str = r#"{"title":"more","type":"object","properties":{"total":{"type":"integer"},"note":{"type":"string"}},"additionalProperties":false}"#;
const CLOSED: &str = r#"{"compatibility":"FULL_TRANSITIVE","owner":"shop"}"#;

fn id(version: Version) -> SchemaId {
    SchemaId { kind: "shop.order".parse().unwrap(), version }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

fn compared(old: &str, new: &str) -> Comparison {
    let [old, new] = [(1, old), (2, new)].map(|(version, text)| Schema::parse(id(version), text).unwrap());
    Comparison::of(&old, &new, Readers::Tolerant)
}

fn names() -> Names {
    Names { old: "shop.order:1".to_owned(), new: "shop.order:2".to_owned() }
}

#[test]
fn a_comparison_says_of_each_change_and_of_all_whom_it_breaks() {
    let found = compared(ONE, TEXT);
    let lines = diff::lines(&found, &names(), Readers::Tolerant);
    assert_eq!(
        lines,
        [
            r#"/properties/total/type  "integer" -> "string""#,
            r#"  backward  BREAKS on {"total":1}"#,
            r#"  forward   BREAKS on {"total":"a"}"#,
            "all of it together",
            "  backward: readers of shop.order:2 CANNOT read this, which is valid under shop.order:1:",
            r#"    {"total":1}"#,
            "  forward: readers of shop.order:1 CANNOT read this, which is valid under shop.order:2:",
            r#"    {"total":"a"}"#,
            "It would satisfy NONE (readers pass over members that they do not know).",
        ]
    );
    assert_eq!(diff::code(&found), REFUSED);
    let json = told::comparison_json(&found);
    assert_eq!(json["changes"][0]["alone"]["forward"]["document"]["total"], "a");
}

#[test]
fn what_breaks_nobody_is_told_too() {
    let found = compared(ONE, MORE);
    let lines = diff::lines(&found, &names(), Readers::Tolerant);
    let expected = [
        r#"/properties/note  added: {"type":"string"}"#,
        "  backward  fine",
        "  forward   fine",
        r#"/title  added: "more""#,
        "  says nothing about documents, or makes no schema without the other changes",
        "all of it together",
        "  backward: readers of shop.order:2 can read all that is valid under shop.order:1",
        "  forward: readers of shop.order:1 can read all that is valid under shop.order:2",
        "It would satisfy NONE, BACKWARD, FORWARD, FULL (readers pass over members that they do not know).",
    ];
    assert_eq!(lines, expected);
    assert_eq!(diff::code(&found), FINE);
    let same = diff::lines(&compared(ONE, ONE), &names(), Readers::Tolerant);
    assert_eq!(same[0], "they say the same of documents");
}

#[test]
fn a_refused_version_is_told_with_its_counterexample_and_what_has_changed() {
    let place = tempfile::tempdir().unwrap();
    let files = [
        ("shop.order/policy.json", CLOSED),
        ("shop.order/1.json", ONE),
        ("shop.order/2.json", MORE),
        ("shop.order/3.json", TEXT),
        ("shop.order/4.json", "{"),
    ];
    write(place.path(), &files);
    let found = Folder::read(place.path()).unwrap();
    let policy = Policy::parse(CLOSED).unwrap();
    let judged = found.judge().into_iter().map(|judged| (judged, policy.clone())).collect();
    let report = Report { faults: found.faults, warnings: found.warnings, judged, ..Report::default() };
    let lines = report.lines(Path::new("schemas"));
    assert!(lines[0].starts_with("schemas/shop.order/4.json: not JSON: "), "{lines:#?}");
    assert_eq!(lines[1], "schemas/shop.order/3.json: refused, the policy is FULL_TRANSITIVE");
    assert_eq!(lines[2], "  not backward compatible with version 1");
    assert_eq!(lines[3], "    backward: readers of shop.order:3 CANNOT read this, which is valid under shop.order:1:");
    assert_eq!(lines[4], r#"      {"total":1}"#);
    let since: Vec<_> = lines.iter().skip_while(|line| !line.contains("what has changed")).collect();
    assert!(since[0].contains("since version 2") && since[1].contains("/properties/note  removed"), "{lines:#?}");
    let json = report.json();
    assert_eq!(json["refused"][0]["breaches"].as_array().unwrap().len(), 4);
    assert_eq!(json["refused"][0]["file"], "shop.order/3.json");
}

#[test]
fn versions_that_changed_or_went_since_a_commit_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(place.path()).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
        assert!(git.args(arguments).output().unwrap().status.success(), "{arguments:?}");
    };
    let folder = place.path().join("events");
    write(&folder, &[("shop.order/policy.json", CLOSED), ("shop.order/1.json", ONE), ("shop.order/2.json", MORE)]);
    write(&folder, &[("a/1.json", "{}"), ("é.txt", "")]);
    let outside = git::files(&folder, "HEAD").unwrap_err().to_string();
    assert!(outside.contains("is not in a git repository"), "{outside}");
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "one"]);

    write(&folder, &[("shop.order/1.json", "{ }"), ("shop.order/policy.json", r#"{"compatibility":"NONE"}"#)]);
    std::fs::remove_file(folder.join("shop.order/2.json")).unwrap();
    std::fs::remove_dir_all(folder.join("a")).unwrap();
    let before = git::files(&folder, "HEAD").unwrap();
    assert_eq!(before["shop.order/1.json"], ONE.as_bytes());
    let mut report = Report::default();
    check::since(&Folder::read(&folder).unwrap(), &before, "HEAD", &mut report);
    let lines = report.lines(Path::new("events"));
    assert_eq!(
        lines,
        [
            "events/a/1.json: is gone since HEAD: a version is never taken away; put it back",
            "events/shop.order/1.json: has changed since HEAD: a version is never changed; put it back, and add 2.json",
            "events/shop.order/2.json: is gone since HEAD: a version is never taken away; put it back",
            "events/shop.order/policy.json: asks for NONE; at HEAD it asked for FULL_TRANSITIVE: what was promised to readers holds no \
             more. --allow-looser lets it pass",
        ]
    );
    let mut report = Report { allows_looser: true, ..Report::default() };
    check::since(&Folder::read(&folder).unwrap(), &before, "HEAD", &mut report);
    assert_eq!((report.faults.len(), report.warnings.len()), (3, 1));
    for reference in ["nope", "--help", "HEAD:events"] {
        let unknown = git::files(&folder, reference).unwrap_err().to_string();
        assert!(unknown.contains("git knows no commit"), "{unknown}");
    }
}

#[test]
fn what_is_published_is_said_by_version() {
    let policy = Policy::parse(CLOSED).unwrap();
    let changes = Changes { new: vec![1, 2], policy: PolicyChange::New(policy.clone()) };
    let publication = Publication { revision: 7, changes: [(id(1).kind, changes)].into() };
    let told =
        r#"{"compatibility":"FULL_TRANSITIVE","readers":"tolerant","undeclared_versions":"reject","owner":"shop"}"#;
    assert_eq!(
        publish::lines(&publication, true),
        [
            "shop.order:1  new".to_owned(),
            "shop.order:2  new".to_owned(),
            format!("shop.order  policy {told}"),
            "it would be revision 7".to_owned()
        ]
    );
    let none = Publication { revision: 7, changes: [].into() };
    assert_eq!(publish::lines(&none, false), ["all of it is published already, in revision 7"]);
    let refusals =
        [Refusal { id: id(1), why: Unfit::Refused(Refused::Changed(1)) }, Refusal { id: id(2), why: Unfit::Missing }];
    let lines = publish::refused(&refusals);
    assert!(lines[0].starts_with("shop.order:1  refused: version 1 is there with other bytes"), "{lines:?}");
    assert!(lines[1].starts_with("shop.order:2  refused: it is published, and not in this folder"), "{lines:?}");

    let listed = Listed { policy, readable_from: vec![1, 1, 3] };
    let lines = published::lines(&id(1).kind, &listed);
    assert_eq!(
        lines[2..],
        [
            "  shop.order:1",
            "  shop.order:2  readers of version 1 and later can read it",
            "  shop.order:3  readers of earlier versions cannot read it",
        ]
    );
    let table = published::table(&Index { revision: 1, types: [(id(1).kind, listed)].into() });
    assert!(table.lines().last().unwrap().starts_with("shop.order"), "{table}");
}

#[test]
fn colours_are_those_of_the_verdict_and_change_no_word() {
    assert_eq!(painted("  backward  fine"), "  backward  \u{1b}[32mfine\u{1b}[0m");
    assert_eq!(painted("a/2.json: refused, the policy"), "a/2.json: \u{1b}[31mrefused\u{1b}[0m, the policy");
    assert_eq!(painted("/properties/fine  added"), "/properties/fine  added");
}
