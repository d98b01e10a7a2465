//! Schemas on a pipeline that runs: those of the project are there from the start, the next version is added, and one that
//! would break readers is not.

use std::path::Path;
use std::process::Output;

use e2e::{penstock, root, text};
use serde_json::{Value, json};

use crate::commands::{free_port, start_dev_with};

const TYPE: &str = "shop.order.placed";

/// Writes a version that differs from the one before.
fn write(folder: &Path, version: u32, change: impl FnOnce(&mut Value)) {
    let file = |version: u32| folder.join(TYPE).join(format!("{version}.json"));
    let before = std::fs::read_to_string(file(version - 1)).unwrap();
    let mut schema: Value = serde_json::from_str(&before).unwrap();
    schema["$id"] = format!("urn:penstock:schema:{TYPE}:{version}").into();
    change(&mut schema);
    std::fs::write(file(version), serde_json::to_string_pretty(&schema).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_gets_its_next_version_and_none_that_would_break_its_readers() {
    let port = free_port().to_string();
    let (_dev, _) = start_dev_with(&port, &[]).await;
    let schema = async |arguments: &[&str]| -> Output {
        penstock(&[&["schema"], arguments, &["--port", &port]].concat(), "").await
    };
    let listed: Value = serde_json::from_slice(&schema(&["list", "--json"]).await.stdout).unwrap();
    assert_eq!((&listed["revision"], listed["types"].as_array().unwrap().len()), (&json!(1), 5));

    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    std::fs::create_dir(folder.join(TYPE)).unwrap();
    for name in ["1.json", "2.json", "policy.json"] {
        std::fs::copy(root().join("events/schemas").join(TYPE).join(name), folder.join(TYPE).join(name)).unwrap();
    }
    let at = folder.to_str().unwrap();
    write(folder, 3, |schema| schema["properties"]["channel"] = json!({"type": "string"}));
    let dry = schema(&["publish", at, "--dry-run"]).await;
    assert_eq!(text(&dry.stdout), format!("{TYPE}:3  new\nit would be revision 2\n"), "{dry:?}");
    let published = schema(&["publish", at]).await;
    assert_eq!(text(&published.stdout), format!("{TYPE}:3  new\nit is published as revision 2\n"), "{published:?}");
    let again = schema(&["publish", at]).await;
    assert_eq!(text(&again.stdout), "all of it is published already, in revision 2\n", "{again:?}");
    let shown = schema(&["show", &format!("{TYPE}:3"), "--json"]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["readable_from"], &shown["schema"]["properties"]["channel"]["type"]),
        (&json!(1), &json!("string"))
    );

    // an old checkout: the project's own folder has no version 3
    let old = schema(&["publish"]).await;
    assert_eq!(old.status.code(), Some(1), "{old:?}");
    assert!(text(&old.stdout).contains("is this an old checkout?"), "{old:?}");

    write(folder, 4, |schema| schema["properties"]["total_cents"]["type"] = "string".into());
    let refused = schema(&["publish", at]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = text(&refused.stdout);
    assert!(said.starts_with(&format!("{TYPE}:4  refused\n  not backward compatible with version 1\n")), "{said}");
    assert!(said.contains("CANNOT read this") && text(&refused.stderr).contains("nothing was published"), "{said}");
    let checked = schema(&["check", at, "--against-table"]).await;
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    std::fs::remove_file(folder.join(TYPE).join("4.json")).unwrap();
    let checked = schema(&["check", at, "--against-table"]).await;
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let missing = schema(&["show", &format!("{TYPE}:4")]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}
