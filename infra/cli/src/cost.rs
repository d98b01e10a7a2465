//! `penstock cost`: what a month of a stack costs, item by item, beside the same stack with per-event idempotency.

mod calls;
mod count;
mod input;
mod model;
mod prices;
mod states;

use std::process::ExitCode;

use crate::terminal::{self, figures, say};
use calls::Calls;
pub(crate) use input::Options;
use model::Estimate;
use prices::Prices;

/// Runs the command.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    if options.count {
        return count::run().await;
    }
    let estimate = model::estimate(&options.load()?, &Calls::of_build()?, &Prices::of_build()?)?;
    if options.json {
        say(&terminal::json(&estimate)?);
    } else {
        lines(&estimate).iter().for_each(|line| say(line));
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(estimate: &Estimate) -> Vec<String> {
    let mut lines = vec![estimate.title.clone(), String::new()];
    let header = ["item", "quantity", "unit", "$ a unit", "$ a month", "per-event idempotency, $"];
    let mut rows: Vec<Vec<String>> = estimate.items.iter().map(row).collect();
    let sum = |dollars: f64| money(dollars);
    rows.push(["sum", "", "", ""].map(str::to_owned).into());
    if let Some(last) = rows.last_mut() {
        last.extend([sum(estimate.dollars), sum(estimate.dollars_per_event_idempotency)]);
    }
    lines.push(figures(&header, &rows));
    lines.extend([String::new(), "It assumes:".to_owned()]);
    for assumption in &estimate.assumptions {
        lines.push(format!("- {}: {} ({})", assumption.what, assumption.value, assumption.source));
    }
    lines.push(String::new());
    lines.extend(estimate.warnings.iter().map(|warning| format!("NOTE {warning}")));
    if !estimate.unchecked.is_empty() {
        lines.push(format!("NOTE no source was found for the price of a {}", estimate.unchecked.join(", of a ")));
    }
    lines.push(format!(
        "Prices of {}, {}. Not counted: free tiers, data transfer, KMS, storage of tables and logs, NAT. docs/cost.md says \
         more.",
        estimate.region, estimate.prices_of
    ));
    lines
}

fn row(item: &model::Item) -> Vec<String> {
    vec![
        item.item.clone(),
        quantity(item.quantity),
        item.unit.clone(),
        unit_price(item.unit_price),
        money(item.dollars),
        money(item.dollars_per_event_idempotency),
    ]
}

/// Figures that can be read: three digits and a word past a thousand.
fn quantity(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} bn", n / 1e9),
        n if n >= 1e6 => format!("{:.2} m", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n if n >= 100.0 || n.fract() == 0.0 => format!("{n:.0}"),
        n => format!("{n:.2}"),
    }
}

/// A price of millionths is one of millions.
fn unit_price(dollars: f64) -> String {
    if dollars < 1e-4 { format!("{:.3} a million", dollars * 1e6) } else { format!("{dollars:.3}") }
}

/// Dollars and cents, with thousands apart.
fn money(dollars: f64) -> String {
    let cents = (dollars * 100.0).round() as u64;
    let whole = (cents / 100).to_string();
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}.{:02}", cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_and_quantities_read_well() {
        assert_eq!([money(0.004), money(999.995), money(1_234_567.8)], ["0.00", "1,000.00", "1,234,567.80"]);
        assert_eq!([quantity(3.0), quantity(0.25), quantity(2.628e6)], ["3", "0.25", "2.63 m"]);
        assert_eq!([unit_price(1e-6), unit_price(0.015)], ["1.000 a million", "0.015"]);
    }
}
