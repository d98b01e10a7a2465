//! The CDK app, where a project has one: a group is one line of it.

use anyhow::bail;

use super::kind::Kind;
use super::name::Name;

/// The app, from the project's root.
pub(super) const FILE: &str = "infra/cdk/bin/penstock.ts";

const CALL: &str = ".addConsumerGroup(";

/// What became of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Added {
    /// This line was added.
    Line(String),
    /// The app calls nothing that the line could follow; this is what is missing there.
    Unclear(String),
    /// There is none.
    NoApp,
}

/// The app with the group after the last one that it adds, or nothing where that cannot be done.
pub(super) fn add(app: Option<&str>, name: &Name, kind: Kind) -> anyhow::Result<(Option<String>, Added)> {
    let Some(app) = app else { return Ok((None, Added::NoApp)) };
    let name = name.kebab();
    if ['\'', '"', '`'].iter().any(|quote| app.contains(&format!("{CALL}{quote}{name}{quote}"))) {
        bail!("`{name}` is a group of {FILE} already");
    }
    let options = if kind == Kind::Projection { ", { projection: true }" } else { "" };
    let call = |pipeline: &str| format!("{pipeline}{CALL}'{name}'{options});");
    let Some(Last { pipeline, indent, end }) = last(app) else {
        return Ok((None, Added::Unclear(call("pipeline"))));
    };
    let line = call(pipeline);
    let ending = if app.contains("\r\n") { "\r\n" } else { "\n" };
    let (before, after) = app.split_at(end);
    let gap = if before.ends_with('\n') { "" } else { ending };
    Ok((Some(format!("{before}{gap}{indent}{line}{ending}{after}")), Added::Line(line)))
}

/// The last statement that adds a group.
struct Last<'a> {
    /// What it is called on.
    pipeline: &'a str,
    indent: &'a str,
    /// Where the line after it begins.
    end: usize,
}

fn last(app: &str) -> Option<Last<'_>> {
    let (mut at, mut found): (usize, Option<Last<'_>>) = (0, None);
    let mut open = false;
    for line in app.split_inclusive('\n') {
        at += line.len();
        let code = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        let calls = line.find(CALL).filter(|_| !code.starts_with("//"));
        if let Some(call) = calls {
            let name = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$' | '.');
            let pipeline = line[..call].rsplit(name).next().filter(|pipeline| !pipeline.is_empty());
            found = pipeline.map(|pipeline| Last { pipeline, indent, end: at });
            open = true;
        }
        // a statement of several lines ends at the indentation that it began with
        if let Some(last) = found.as_mut().filter(|last| open && last.indent == indent && code.ends_with(';')) {
            last.end = at;
            open = false;
        }
    }
    found.filter(|_| !open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(app: &str, kind: Kind) -> Option<String> {
        add(Some(app), &Name::parse("totals").unwrap(), kind).unwrap().0
    }

    #[test]
    fn the_line_follows_the_last_group_however_many_lines_that_has() {
        let app = "const a = pipeline.addConsumerGroup('a');\nconst b = pipeline.addConsumerGroup('b', {\n  c: [\n    d(x);\n  ],\n});\n\nrest();\n";
        assert_eq!(
            added(app, Kind::Handler).unwrap(),
            app.replacen("});\n\n", "});\npipeline.addConsumerGroup('totals');\n\n", 1)
        );
        assert_eq!(
            added("  this.made.addConsumerGroup('a');", Kind::Projection).unwrap(),
            "  this.made.addConsumerGroup('a');\n  this.made.addConsumerGroup('totals', { projection: true });\n"
        );
    }

    #[test]
    fn an_app_without_a_group_is_left_alone_and_told() {
        for app in ["rest();\n", "// pipeline.addConsumerGroup('a');\n", "pipeline.addConsumerGroup('a', {\n"] {
            let (text, told) = add(Some(app), &Name::parse("totals").unwrap(), Kind::Handler).unwrap();
            assert_eq!(
                (text, told),
                (None, Added::Unclear("pipeline.addConsumerGroup('totals');".to_owned())),
                "{app}"
            );
        }
    }

    #[test]
    fn a_group_that_the_app_has_is_refused() {
        let error = add(Some("p.addConsumerGroup(\"totals\");"), &Name::parse("totals").unwrap(), Kind::Handler);
        assert!(error.unwrap_err().to_string().contains("a group of infra/cdk/bin/penstock.ts already"));
    }
}
