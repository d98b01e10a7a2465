//! What a group is: a handler or a projection, and which lines of a file are for which.

use std::fmt;

/// What a group does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It acts on it.
    Handler,
    /// It keeps a state of it.
    Projection,
}

impl Kind {
    /// `text` as a group of this kind has it. A line `#handler ...` is for a handler alone and a line `#projection ...` for
    /// a projection alone; what stands before the marker is its indentation.
    pub(super) fn pick(self, text: &str) -> String {
        let mut picked = String::with_capacity(text.len());
        for line in text.lines() {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            let line = match marked(rest) {
                Some((kind, _)) if kind != self => continue,
                Some((_, "")) => String::new(),
                Some((_, own)) => format!("{indent}{own}"),
                None => line.to_owned(),
            };
            picked.push_str(&line);
            picked.push('\n');
        }
        picked
    }
}

/// Whose line this is, and the line without its marker.
fn marked(line: &str) -> Option<(Kind, &str)> {
    let of = |kind: Kind| {
        let own = line.strip_prefix('#')?.strip_prefix(&kind.to_string())?;
        // a comment may begin with the same letters
        (own.is_empty() || own.starts_with(' ')).then(|| (kind, own.strip_prefix(' ').unwrap_or(own)))
    };
    of(Kind::Handler).or_else(|| of(Kind::Projection))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handler => "handler",
            Self::Projection => "projection",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_keeps_its_own_lines_without_their_markers_and_every_other_comment() {
        let text = "a:\n  #projection b:\n  #projection   c: 1\n  #projection\n  # projection of d\n  #handler e: 2\n";
        assert_eq!(Kind::Handler.pick(text), "a:\n  # projection of d\n  e: 2\n");
        assert_eq!(Kind::Projection.pick(text), "a:\n  b:\n    c: 1\n\n  # projection of d\n");
    }
}
