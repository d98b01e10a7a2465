//! Orders that need a human: a message on a queue for each.
//!
//! An event handler, so at least once: the message carries the idempotency key, which is the same each time an event
//! is handled, and whoever works through the queue can drop a second one.
//!
//! | event | alert |
//! |---|---|
//! | `shop.order.cancelled` with reason `fraud` | `suspected_fraud` |
//! | `shop.order.placed` over [`LARGE_ORDER_CENTS`] | `large_order` |
//!
//! A placed order with a negative total is refused: no later attempt makes it right.

mod queue;

use std::ops::RangeInclusive;

use order_events::shop_order_cancelled::v1::Reason;
use order_events::{shop_order_cancelled, shop_order_placed};
use penstock::{Accepts, Event, EventHandler, Failure, HandlerContext};
use serde::{Deserialize, Serialize};

pub use queue::AlertQueue;

/// Orders above this want a second look.
pub const LARGE_ORDER_CENTS: i64 = 100_000;

/// The versions that are understood here. Both of a placed order are read as version 2, which adds a member that may be missing.
const VERSIONS: &[(&str, RangeInclusive<u32>)] =
    &[(shop_order_placed::TYPE, 1..=2), (shop_order_cancelled::TYPE, 1..=1)];

/// A message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The order.
    pub order_id: String,
    /// `suspected_fraud` or `large_order`.
    pub kind: String,
    /// What to look at.
    pub text: String,
    /// The same each time the same event is handled.
    pub idempotency_key: String,
}

/// Where alerts go.
pub trait Alerts: Send + Sync {
    /// Sends an alert; it is durable when this returns `Ok`.
    fn send(&self, alert: &Alert) -> impl Future<Output = Result<(), penstock::ports::Error>> + Send;
}

/// The handler.
#[derive(Debug)]
pub struct OrderAlerts<A> {
    alerts: A,
}

impl<A: Alerts> OrderAlerts<A> {
    /// A handler that sends to `alerts`.
    pub fn new(alerts: A) -> Self {
        Self { alerts }
    }
}

impl<A: Alerts> EventHandler for OrderAlerts<A> {
    fn accepts(&self) -> Accepts {
        Accepts::Versions(VERSIONS)
    }

    async fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> Result<(), Failure> {
        let Some((order_id, kind, text)) = judge(event)? else {
            return Ok(());
        };
        let alert = Alert { order_id, kind: kind.to_owned(), text, idempotency_key: context.idempotency_key(event) };
        self.alerts.send(&alert).await.map_err(Failure::retry)
    }
}

/// Which alert an event is worth, if any.
fn judge(event: &Event) -> Result<Option<(String, &'static str, String)>, Failure> {
    match event.kind() {
        shop_order_placed::TYPE => {
            let shop_order_placed::v2::Data { order_id, total_cents, .. } = event.data_as()?;
            if total_cents < 0 {
                return Err(Failure::refuse(format!("order {order_id} has a negative total: {total_cents} cents")));
            }
            let text = format!("the total is {total_cents} cents");
            Ok((total_cents > LARGE_ORDER_CENTS).then_some((order_id, "large_order", text)))
        }
        shop_order_cancelled::TYPE => {
            let shop_order_cancelled::v1::Data { order_id, reason } = event.data_as()?;
            let text = "cancelled for suspected fraud".to_owned();
            Ok((reason == Reason::Fraud).then_some((order_id, "suspected_fraud", text)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use penstock::Limits;

    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"{kind}","data":{data}}}"#);
        Event::from_json(&text, &Limits::DEFAULT).unwrap()
    }

    fn kind_of(kind: &str, data: &str) -> Result<Option<&'static str>, Failure> {
        Ok(judge(&event(kind, data))?.map(|(_, kind, _)| kind))
    }

    #[test]
    fn large_and_suspicious_orders_alert_and_others_do_not() {
        let placed = |cents: i64| format!(r#"{{"order_id":"o","total_cents":{cents}}}"#);
        assert_eq!(kind_of("shop.order.placed", &placed(100_000)), Ok(None));
        assert_eq!(kind_of("shop.order.placed", &placed(100_001)), Ok(Some("large_order")));
        let cancelled = |reason: &str| format!(r#"{{"order_id":"o","reason":"{reason}"}}"#);
        assert_eq!(kind_of("shop.order.cancelled", &cancelled("customer")), Ok(None));
        assert_eq!(kind_of("shop.order.cancelled", &cancelled("fraud")), Ok(Some("suspected_fraud")));
        assert_eq!(kind_of("shop.order.paid", "{}"), Ok(None));
    }

    #[test]
    fn a_negative_total_and_data_of_another_shape_are_refused() {
        for data in [r#"{"order_id":"o","total_cents":-1}"#, r#"{"order_id":"o"}"#] {
            assert!(matches!(kind_of("shop.order.placed", data), Err(Failure::Refuse(_))));
        }
    }
}
