//! A group's part of `template.yaml`: its resources and its output.

use super::kind::Kind;
use super::name::Name;
use super::source::named;

const GROUP: &str = include_str!("group.yaml");

/// The lines of a group. They end with a line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) resources: String,
    pub(super) outputs: String,
}

impl Block {
    /// The block of the group called `name`.
    pub(super) fn of(name: &Name, kind: Kind) -> Self {
        let picked = kind.pick(GROUP);
        let filled: String = picked.lines().map(|line| format!("{}\n", ruled(line, &named(line, name)))).collect();
        let (resources, outputs) = filled.split_once("\nOutputs:\n").unwrap_or((&filled, ""));
        Self { resources: format!("{}\n", resources.trim_end()), outputs: outputs.to_owned() }
    }
}

/// `line`, with its rule of hyphens as long as it takes to end where that of `before` did.
fn ruled(before: &str, line: &str) -> String {
    match line.strip_suffix("----") {
        Some(text) => format!("{:-<width$}", text.trim_end_matches('-'), width = before.len()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_projection_has_states() {
        let name = Name::parse("totals").unwrap();
        let (handler, projection) = (Block::of(&name, Kind::Handler), Block::of(&name, Kind::Projection));
        assert!(!handler.resources.contains("TotalsState") && !handler.outputs.contains("states"));
        assert!(projection.resources.contains("PENSTOCK_STATE_TABLE: !Ref TotalsState"));
        assert!(projection.outputs.contains(r#""states":"${TotalsState}""#));
        for block in [handler, projection] {
            let text = format!("{}{}", block.resources, block.outputs);
            assert!(!text.contains("#projection") && !text.contains("#handler"), "{text}");
            assert!(!text.to_lowercase().contains("receipts"), "{text}");
            assert!(block.outputs.starts_with("  TotalsGroup:\n"), "{}", block.outputs);
        }
    }

    #[test]
    fn the_rule_of_a_heading_ends_where_it_did() {
        let heading = "  # ---- consumer group: order-receipts -----------";
        for (line, wanted) in [
            ("  # ---- consumer group: a -----------", "  # ---- consumer group: a ------------------------"),
            (
                "  # ---- consumer group: order-totals -----------",
                "  # ---- consumer group: order-totals -------------",
            ),
            ("  # no rule: order-totals", "  # no rule: order-totals"),
        ] {
            assert_eq!(ruled(heading, line), wanted);
        }
    }
}
