//! The text of `Fn::Sub`, taken apart.

/// A part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Stays as it is.
    Text(&'a str),
    /// Stands for what is called so.
    Name(&'a str),
}

/// The parts of `text`; `None` if a `${` is not closed. `${!x}` is the text `${x}`.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        pieces.push(Piece::Text(before));
        match name.strip_prefix('!') {
            Some(literal) => pieces.extend([Piece::Text("${"), Piece::Text(literal), Piece::Text("}")]),
            None => pieces.push(Piece::Name(name)),
        }
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::Piece::{Name, Text};
    use super::*;

    #[test]
    fn names_stand_between_texts_and_a_bang_keeps_the_braces() {
        assert_eq!(pieces("a${B}c"), Some(vec![Text("a"), Name("B"), Text("c")]));
        assert_eq!(pieces("${!B}"), Some(vec![Text(""), Text("${"), Text("B"), Text("}"), Text("")]));
        assert_eq!(pieces("$B}"), Some(vec![Text("$B}")]));
        assert_eq!(pieces("a${B"), None);
    }
}
