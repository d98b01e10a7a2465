//! The price list: one dated file, `prices.json`, where each price says whose page it is on.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;

const FILE: &str = include_str!("prices.json");

/// What AWS asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Prices {
    pub(crate) region: String,
    pub(crate) date: String,
    prices: BTreeMap<String, Price>,
}

/// One price.
#[derive(Debug, Deserialize)]
pub(crate) struct Price {
    pub(crate) unit: String,
    steps: Vec<Step>,
    /// Whether a source was found that states it.
    pub(crate) checked: bool,
    pub(crate) page: String,
    /// Where it was read; AWS's own tables are scripts that few stored copies of the page hold.
    seen: Option<String>,
}

/// A price up to a quantity a month.
#[derive(Debug, Deserialize)]
struct Step {
    up_to: Option<f64>,
    dollars: f64,
}

impl Prices {
    /// The list of this build.
    pub(crate) fn of_build() -> anyhow::Result<Self> {
        let prices: Self = serde_json::from_str(FILE).context("prices.json cannot be read")?;
        if let Some((name, _)) = prices.prices.iter().find(|(_, price)| !price.stands()) {
            anyhow::bail!("prices.json: the steps of `{name}` are no price");
        }
        Ok(prices)
    }

    /// The price called `name`.
    pub(crate) fn of(&self, name: &str) -> anyhow::Result<&Price> {
        self.prices.get(name).with_context(|| format!("prices.json has no price `{name}`"))
    }
}

impl Price {
    /// Steps rise, the last one has no end, and a price that was checked says where.
    fn stands(&self) -> bool {
        let ends: Vec<f64> = self.steps.iter().map(|step| step.up_to.unwrap_or(f64::INFINITY)).collect();
        let rising = ends.windows(2).all(|pair| pair[0] < pair[1]);
        rising && ends.last() == Some(&f64::INFINITY) && self.checked == self.seen.is_some()
    }

    /// What `quantity` of a month costs, step by step.
    pub(crate) fn dollars(&self, quantity: f64) -> f64 {
        let (mut from, mut sum) = (0.0, 0.0);
        for step in &self.steps {
            let end = step.up_to.unwrap_or(f64::INFINITY).min(quantity);
            sum += (end - from).max(0.0) * step.dollars;
            from = end;
        }
        sum
    }

    /// The price of a unit, where `quantity` is bought: the mean over the steps that it reaches into.
    pub(crate) fn each(&self, quantity: f64) -> f64 {
        let first = self.steps.first().map_or(0.0, |step| step.dollars);
        if quantity > 0.0 { self.dollars(quantity) / quantity } else { first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_pays_each_step_that_it_reaches_into() {
        let prices = Prices::of_build().unwrap();
        let requests = prices.of("http_requests").unwrap();
        assert!((requests.dollars(1e6) - 1.0).abs() < 1e-9);
        // 300 million at $1.00 and 100 million at $0.90
        assert!((requests.dollars(4e8) - 390.0).abs() < 1e-9);
        assert!((requests.each(4e8) - 0.975e-6).abs() < 1e-15);
        assert!((requests.each(0.0) - 1e-6).abs() < 1e-15);
    }
}
