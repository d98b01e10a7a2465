//! The state of every order: a projection, so each event is applied exactly once.
//!
//! ```text
//! placed ──> paid ──> shipped ──> delivered
//!    └────────┴─────> cancelled
//! ```
//!
//! Events of other types do not concern it. Any other step is refused and dead-lettered with the reason; the order stays as it was.

use std::ops::RangeInclusive;

use order_events::shop_order_placed;
use penstock::projection::Refusal;
use penstock::{Accepts, Event, Projection};
use serde::{Deserialize, Serialize};

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Asked for.
    Placed,
    /// Paid for.
    Paid,
    /// On its way.
    Shipped,
    /// There.
    Delivered,
    /// Not wanted any more.
    Cancelled,
}

/// What is known of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it is.
    pub status: Status,
    /// What it costs, in cents.
    pub total_cents: i64,
    /// Its steps so far: event type and event id.
    pub history: Vec<(String, String)>,
}

/// The versions that are understood here: of all but the first step no more is read than that it came. A placed order of
/// version 2 is compatible, and so is read as version 1: what it adds is of no use here.
const VERSIONS: &[(&str, RangeInclusive<u32>)] = &[(shop_order_placed::TYPE, 1..=1)];

/// The projection.
#[derive(Debug, Clone, Copy)]
pub struct OrderStatus;

impl Projection for OrderStatus {
    type State = Order;

    fn concerns(&self, event: &Event) -> bool {
        event.kind().starts_with("shop.order.")
    }

    fn accepts(&self) -> Accepts {
        Accepts::Versions(VERSIONS)
    }

    fn fold(&self, order: Option<Order>, event: &Event) -> Result<Order, Refusal> {
        let next = match event.kind() {
            shop_order_placed::TYPE => Status::Placed,
            "shop.order.paid" => Status::Paid,
            "shop.order.shipped" => Status::Shipped,
            "shop.order.delivered" => Status::Delivered,
            "shop.order.cancelled" => Status::Cancelled,
            other => return Err(Refusal::new(format!("`{other}` is no step of an order"))),
        };
        let now = order.as_ref().map(|order| order.status);
        let legal = match (now, next) {
            (None, Status::Placed)
            | (Some(Status::Placed), Status::Paid | Status::Cancelled)
            | (Some(Status::Paid), Status::Shipped | Status::Cancelled)
            | (Some(Status::Shipped), Status::Delivered) => true,
            (_, Status::Placed | Status::Paid | Status::Shipped | Status::Delivered | Status::Cancelled) => false,
        };
        if !legal {
            let now = now.map_or_else(|| "unknown".to_owned(), |now| format!("{now:?}").to_lowercase());
            return Err(Refusal::new(format!("an order that is {now} cannot become {next:?}").to_lowercase()));
        }
        let mut order = match order {
            Some(order) => order,
            None => {
                let shop_order_placed::v1::Data { total_cents, .. } = event.data_as()?;
                Order { status: next, total_cents, history: Vec::new() }
            }
        };
        order.status = next;
        order.history.push((event.kind().to_owned(), event.id().to_owned()));
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use penstock::Limits;

    use super::*;

    fn fold(steps: &[&str]) -> (Option<Order>, Vec<String>) {
        let (mut order, mut refused) = (None, Vec::new());
        for (n, step) in steps.iter().enumerate() {
            let text = format!(
                r#"{{"specversion":"1.0","id":"{n}","source":"s","type":"shop.order.{step}","data":{{"order_id":"o","total_cents":5}}}}"#
            );
            let event = Event::from_json(&text, &Limits::DEFAULT).unwrap();
            match OrderStatus.fold(order.clone(), &event) {
                Ok(next) => order = Some(next),
                Err(Refusal(why)) => refused.push(why),
            }
        }
        (order, refused)
    }

    #[test]
    fn a_lifecycle_ends_delivered_with_its_history() {
        let (order, refused) = fold(&["placed", "paid", "shipped", "delivered"]);
        let order = order.unwrap();
        assert_eq!((order.status, order.history.len(), refused.len()), (Status::Delivered, 4, 0));
    }

    #[test]
    fn illegal_steps_are_refused_and_change_nothing() {
        let (order, refused) = fold(&["paid", "placed", "shipped", "placed", "cancelled", "delivered", "returned"]);
        assert_eq!(order.unwrap().status, Status::Cancelled);
        assert_eq!(
            refused,
            [
                "an order that is unknown cannot become paid",
                "an order that is placed cannot become shipped",
                "an order that is placed cannot become placed",
                "an order that is cancelled cannot become delivered",
                "`shop.order.returned` is no step of an order",
            ]
        );
    }
}
