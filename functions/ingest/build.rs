//! Bundles `events/schemas` with the function, for when the registry cannot be reached.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/schemas");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut code = String::from("&[\n");
    for folder in sorted(&root).into_iter().filter(|path| path.is_dir()) {
        let kind = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let policy = folder.join("policy.json");
        let policy = if policy.is_file() { include(&policy) } else { r#""{}""#.to_owned() };
        let versions: Vec<String> = (1..)
            .map(|n| folder.join(format!("{n}.json")))
            .take_while(|path| path.is_file())
            .map(|p| include(&p))
            .collect();
        _ = writeln!(code, "({kind:?}, {policy}, &[{}]),", versions.join(", "));
    }
    code.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = std::fs::write(out.join("schemas.rs"), code) {
        panic!("cannot write the bundle of schemas: {error}");
    }
}

fn include(path: &Path) -> String {
    format!("include_str!({path:?})")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}
