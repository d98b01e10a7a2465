//! What is written to the terminal, and how.
#![expect(clippy::print_stderr, reason = "this is the one module that talks to the terminal")]

use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
pub(crate) use penstock::text::harmless;
use penstock::text::is_harmful;
use penstock_aws::config::process_environment;

/// Writes a line of the result.
pub(crate) fn say(line: &str) {
    say_on(line);
}

/// Writes a line of a result that goes on; false when nobody reads on, as after `head`.
pub(crate) fn say_on(line: &str) -> bool {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return false,
        Err(error) => complain(&format!("cannot write the result: {error}")),
        Ok(()) => {}
    }
    true
}

/// `1 message`, `2 messages`.
pub(crate) fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes a line about what is going on.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

/// Writes why the command failed. A service's words can be in it, so it is made harmless here.
pub(crate) fn complain(text: &str) {
    eprintln!("penstock: {}", harmless_lines(text));
}

/// A text of several lines, such as a table, with its lines as they are and nothing else that is harmful.
pub(crate) fn harmless_lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

/// Whether somebody may be looking at what [`say`] writes.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether somebody sees colours who has not refused them: <https://no-color.org>.
pub(crate) fn has_colours() -> bool {
    let refused = process_environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    let plain = process_environment("TERM").is_some_and(|value| value == "dumb");
    is_terminal() && !refused && !plain
}

/// A value as JSON over several lines, harmless too.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(harmless_json(&serde_json::to_string_pretty(value)?))
}

/// A value as JSON in one line, harmless too.
pub(crate) fn json_line(value: &impl serde::Serialize) -> serde_json::Result<String> {
    // what is passed on as it was written may have line feeds between its parts, and within strings JSON has none
    Ok(harmless_json(&serde_json::to_string(value)?.replace(['\n', '\r'], " ")))
}

fn harmless_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        // outside of strings JSON has no such character but line feeds, and within strings it has none of those
        if is_harmful(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                json.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            json.push(c);
        }
    }
    json
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_the_terminal_and_json_stays_what_it_was() {
        let text = "ü \u{1b}[2J\u{9b}31m\u{7f}\r\n\u{202e}\u{2028}\u{e0041}";
        assert_eq!(harmless(text), "ü \\u{1b}[2J\\u{9b}31m\\u{7f}\\r\\n\\u{202e}\\u{2028}\\u{e0041}");
        assert_eq!(harmless_lines("refused:\n\u{1b}[2Jgone\r"), "refused:\n\\u{1b}[2Jgone\\r");
        let json = json(&[text]).unwrap();
        assert!(!json.chars().any(|c| is_harmful(c) && c != '\n'), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }
}
