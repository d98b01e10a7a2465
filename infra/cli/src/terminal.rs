//! What is written to the terminal, and how.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the one module that talks to the terminal")]

use std::io::IsTerminal;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Writes a line of the result.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Writes a line about what is going on.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

/// Writes why the command failed.
pub(crate) fn complain(line: &str) {
    eprintln!("penstock: {line}");
}

/// Whether somebody may be looking at what [`say`] writes.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A text from outside, with whatever would steer the terminal written out: control characters, line separators, and what
/// turns the direction of writing around.
pub(crate) fn harmless(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// A table whose first column is text and whose others are figures.
pub(crate) fn figures(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let text = table.trim_fmt();
    // the table pads its first column on the left too
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}
