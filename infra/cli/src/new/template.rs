//! `template.yaml` as text: where its sections end, and what stands there already.
//!
//! The text is edited and not what it means, so that comments stay. Guarantees: nothing but the block is added. Whether the
//! result reads is for the template's reader to say.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Context;

use super::block::Block;

/// `template` with a group at the end of `Resources:` and its output at the end of `Outputs:`.
pub(super) fn with(template: &str, block: &Block) -> anyhow::Result<String> {
    let (resources, outputs) = (section(template, "Resources")?, section(template, "Outputs")?);
    let mut places = [(resources.end, format!("\n{}", block.resources)), (outputs.end, block.outputs.clone())];
    // from the end, so that the other place stays where it is
    places.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let windows = template.contains("\r\n");
    let mut text = template.to_owned();
    for (at, mut lines) in places {
        if !text[..at].ends_with('\n') {
            lines.insert(0, '\n');
        }
        text.insert_str(at, &if windows { lines.replace('\n', "\r\n") } else { lines });
    }
    Ok(text)
}

/// The logical ids that a group cannot have: resources and parameters share their names.
pub(super) fn ids(template: &str) -> anyhow::Result<BTreeSet<&str>> {
    let resources = names(&template[section(template, "Resources")?]);
    let parameters = section(template, "Parameters").map(|section| names(&template[section])).ok();
    Ok(resources.chain(parameters.into_iter().flatten()).collect())
}

/// The names of the outputs.
pub(super) fn outputs(template: &str) -> anyhow::Result<BTreeSet<&str>> {
    Ok(names(&template[section(template, "Outputs")?]).collect())
}

/// The names that `lines`, indented by two blanks, give to what is below them.
pub(super) fn names(lines: &str) -> impl Iterator<Item = &str> {
    lines.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split_once(':')?.0;
        name.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(name)
    })
}

/// The lines of a section, up to the last that is indented: what follows it, blank lines and comments at the margin,
/// belongs to the next section.
fn section(template: &str, name: &str) -> anyhow::Result<Range<usize>> {
    let (mut at, mut found): (usize, Option<Range<usize>>) = (0, None);
    for line in template.split_inclusive('\n') {
        at += line.len();
        let margin = line.chars().next().unwrap_or('\n');
        match &mut found {
            None if opens(line, name) => found = Some(at..at),
            None => {}
            Some(_) if line.trim().is_empty() || margin == '#' => {}
            Some(section) if margin.is_whitespace() => section.end = at,
            Some(_) => break,
        }
    }
    found.with_context(|| {
        format!("template.yaml has no section `{name}:` that begins a line, and the group has its place there")
    })
}

fn opens(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).map(str::trim);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "\
# About this file.
Parameters: # what may be set
  Level: {Type: String}
Resources:
  # the stream
  Events:
    Type: T # of it
  Dashboard:
    Body: |
      {
        \"a\": 1
      }
  # nothing below

# What others need.
Outputs:
  # the stream's
  Name:
    Value: !Ref Events

# The end.
";

    fn block() -> Block {
        Block {
            resources: "  # group\n  New:\n    Type: N\n".to_owned(),
            outputs: "  NewGroup:\n    Value: n\n".to_owned(),
        }
    }

    #[test]
    fn a_group_comes_last_in_both_sections_and_every_line_stays() {
        let text = with(TEMPLATE, &block()).unwrap();
        assert!(
            text.contains("  # nothing below\n\n  # group\n  New:\n    Type: N\n\n# What others need.\nOutputs:\n"),
            "{text}"
        );
        assert!(text.ends_with("    Value: !Ref Events\n  NewGroup:\n    Value: n\n\n# The end.\n"), "{text}");
        let added = ["\n  # group\n  New:\n    Type: N\n", "  NewGroup:\n    Value: n\n"];
        assert_eq!(added.into_iter().fold(text, |text, added| text.replacen(added, "", 1)), TEMPLATE);
    }

    #[test]
    fn the_order_of_the_sections_and_the_ends_of_lines_are_kept() {
        let text = with("Outputs:\r\n  A:\r\n    Value: a\r\nResources:\r\n  B:\r\n    Type: b", &block()).unwrap();
        assert_eq!(
            text,
            "Outputs:\r\n  A:\r\n    Value: a\r\n  NewGroup:\r\n    Value: n\r\nResources:\r\n  B:\r\n    Type: b\r\n\r\n  \
             # group\r\n  New:\r\n    Type: N\r\n"
        );
    }

    #[test]
    fn a_template_without_a_section_is_refused() {
        for (gone, name) in [("\nOutputs:\n", "Outputs"), ("\nResources:\n", "Resources")] {
            let error = with(&TEMPLATE.replacen(gone, "\n", 1), &block()).unwrap_err().to_string();
            assert!(error.contains(&format!("no section `{name}:`")), "{error}");
        }
        // a mapping on its own line cannot be added to
        let error = with(&TEMPLATE.replacen("Outputs:\n", "Outputs: {}\n", 1), &block()).unwrap_err().to_string();
        assert!(error.contains("no section `Outputs:`"), "{error}");
    }

    #[test]
    fn resources_and_parameters_are_what_a_name_can_meet() {
        assert_eq!(ids(TEMPLATE).unwrap().into_iter().collect::<Vec<_>>(), ["Dashboard", "Events", "Level"]);
        assert_eq!(outputs(TEMPLATE).unwrap().into_iter().collect::<Vec<_>>(), ["Name"]);
    }
}
