//! The load: clients that send orders over HTTP, each its own, and write down what the edge said.
//!
//! A client sends an order's next events only when the edge has accepted all that came before, and sends again, under
//! the same id, what the edge asked to send again or did not answer for. So whatever becomes of requests and replies,
//! the first copies of an order's events reach the stream in the order of its script.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::orders::{Outgoing, Script, malformed};

/// Clients, each with its own orders.
const CLIENTS: u64 = 8;

/// Orders that a client has under way.
const ORDERS: usize = 12;

/// Orders in one request, at most.
const BATCH: usize = 8;

/// How long a client goes on sending a request again once the load is over and the faults have stopped.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients count while they run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Requests sent, those sent again included.
    pub(super) requests: AtomicU64,
    /// Requests sent again, in part or as a whole.
    pub(super) again: AtomicU64,
    /// Events accepted, copies included.
    pub(super) accepted: AtomicU64,
    /// Events refused, all of them malformed.
    pub(super) refused: AtomicU64,
}

/// An event that was sent, and what the edge said last.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// Its id.
    pub(super) id: String,
    /// Where the edge said that it is stored; none if it was never accepted.
    pub(super) place: Option<Place>,
}

/// A place on the stream: shard and sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The shard.
    pub(super) shard: String,
    /// The record.
    pub(super) sequence: String,
}

/// What was sent, and where the edge broke its word.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The events of each order in the order they were sent, copies included.
    pub(super) orders: HashMap<String, Vec<Sent>>,
    /// What the edge should not have said: order, event, what happened.
    pub(super) complaints: Vec<(String, String, String)>,
}

/// Sends until `over`; then the requests under way are seen through.
pub(super) async fn run(endpoint: &str, seed: u64, rate: u32, tally: Arc<Tally>, over: CancellationToken) -> Log {
    let mut clients = tokio::task::JoinSet::new();
    let (url, http) = (format!("{endpoint}/v1/events"), reqwest::Client::new());
    for number in 0..CLIENTS {
        let client = Client {
            http: http.clone(),
            url: url.clone(),
            random: fastrand::Rng::with_seed(seed.wrapping_add(number + 1)),
            seed,
            next_order: number,
            open: Vec::new(),
            tally: Arc::clone(&tally),
            log: Log::default(),
        };
        clients.spawn(client.run(rate, over.clone()));
    }
    let mut log = Log::default();
    while let Some(ended) = clients.join_next().await {
        match ended {
            Ok(part) => {
                log.orders.extend(part.orders);
                log.complaints.extend(part.complaints);
            }
            Err(error) => log.complaints.push((String::new(), String::new(), format!("a client failed: {error}"))),
        }
    }
    log
}

struct Client {
    http: reqwest::Client,
    url: String,
    random: fastrand::Rng,
    seed: u64,
    next_order: u64,
    open: Vec<(Script, usize)>,
    tally: Arc<Tally>,
    log: Log,
}

/// An event of a request. Without an order it is one that the edge has to refuse.
struct Item {
    order: Option<(String, usize)>,
    event: Outgoing,
}

/// The edge's answer.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    events: Vec<EventAnswer>,
}

#[derive(Debug, Deserialize)]
struct EventAnswer {
    index: usize,
    status: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    shard: String,
    #[serde(default)]
    sequence: String,
}

impl Client {
    async fn run(mut self, rate: u32, over: CancellationToken) -> Log {
        let mut owed = Duration::ZERO;
        while !over.is_cancelled() {
            let began = Instant::now();
            let mut batch = self.batch();
            // its share of the rate: so many events take so long
            owed += Duration::from_secs_f64(batch.len() as f64 * CLIENTS as f64 / f64::from(rate.max(1)));
            self.see_through(&mut batch, &over).await;
            owed = owed.saturating_sub(began.elapsed());
            let pause = owed.min(Duration::from_secs(2));
            over.run_until_cancelled(tokio::time::sleep(pause)).await;
            owed = owed.saturating_sub(pause);
        }
        self.log
    }

    /// The next events of some orders, now and then with one that the edge has to refuse.
    fn batch(&mut self) -> Vec<Item> {
        while self.open.len() < ORDERS {
            self.open.push((Script::new(self.seed, self.next_order), 0));
            self.next_order += CLIENTS;
        }
        self.random.shuffle(&mut self.open);
        let mut batch = Vec::new();
        let orders = self.random.usize(1..=BATCH);
        for (script, next) in self.open.iter_mut().take(orders) {
            let sent = self.log.orders.entry(script.key.clone()).or_default();
            for event in &script.chunks[*next] {
                sent.push(Sent { id: event.id.clone(), place: None });
                batch.push(Item { order: Some((script.key.clone(), sent.len() - 1)), event: event.clone() });
            }
            *next += 1;
        }
        self.open.retain(|(script, next)| *next < script.chunks.len());
        if self.random.u8(..100) < 10 {
            let json = malformed(self.random.u64(..), &mut self.random);
            let item = Item { order: None, event: Outgoing { id: "malformed".to_owned(), json } };
            batch.insert(self.random.usize(..=batch.len()), item);
        }
        batch
    }

    /// Sends a batch, and again what is left of it, until nothing is.
    async fn see_through(&mut self, batch: &mut Vec<Item>, over: &CancellationToken) {
        let mut over_since = None;
        for attempt in 0u64.. {
            self.tally.again.fetch_add(attempt.min(1), Ordering::Relaxed);
            let wait = self.post(batch).await;
            if batch.is_empty() {
                return;
            }
            if over.is_cancelled() && over_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                for (key, index) in batch.iter().filter_map(|item| item.order.clone()) {
                    let id = self.log.orders[&key][index].id.clone();
                    let what = format!("the edge does not take it, {} s after the faults ended", PATIENCE.as_secs());
                    self.log.complaints.push((key, id, what));
                }
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a batch once and takes out of it what has an answer for good; how long to wait before the next time.
    async fn post(&mut self, batch: &mut Vec<Item>) -> Duration {
        self.tally.requests.fetch_add(1, Ordering::Relaxed);
        let wait = Duration::from_millis(self.random.u64(100..600));
        let events: Vec<_> = batch.iter().map(|item| item.event.json.as_str()).collect();
        let (kind, body) = match events[..] {
            [event] => ("application/cloudevents+json", event.to_owned()),
            _ => ("application/cloudevents-batch+json", format!("[{}]", events.join(","))),
        };
        let request =
            self.http.post(&self.url).header("content-type", kind).timeout(Duration::from_secs(30)).body(body);
        let Ok(response) = request.send().await else { return wait };
        let (status, answer) = (response.status(), response.json::<Answer>().await.unwrap_or_default());
        if answer.events.is_empty() && status.is_client_error() && status.as_u16() != 429 {
            for (key, index) in batch.drain(..).filter_map(|item| item.order) {
                self.complain(key, index, format!("the edge refused the whole request with {status}"));
            }
            return wait;
        }
        let mut open = vec![true; batch.len()];
        for verdict in &answer.events {
            if let (Some(item), Some(open)) = (batch.get(verdict.index), open.get_mut(verdict.index)) {
                *open = !self.take(item, verdict);
            }
        }
        self.look_for_gaps(batch, &open);
        let mut open = open.into_iter();
        batch.retain(|_| open.next().unwrap_or(true));
        wait
    }

    /// Writes down what the edge said of one event; false if it is to be sent again.
    fn take(&mut self, item: &Item, verdict: &EventAnswer) -> bool {
        let counter = match verdict.status.as_str() {
            "accepted" => &self.tally.accepted,
            "rejected" => &self.tally.refused,
            _ => return false,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match (&item.order, verdict.status.as_str()) {
            (Some((key, index)), "accepted") => {
                let place = Place { shard: verdict.shard.clone(), sequence: verdict.sequence.clone() };
                if let Some(sent) = self.log.orders.get_mut(key).and_then(|sent| sent.get_mut(*index)) {
                    sent.place = Some(place);
                }
            }
            (Some((key, index)), _) => {
                self.complain(key.clone(), *index, format!("the edge refused it: {}", verdict.code));
            }
            (None, "accepted") => {
                let what = format!("the edge accepted what is no event: {}", item.event.json);
                self.log.complaints.push((String::new(), item.event.id.clone(), what));
            }
            (None, _) => {}
        }
        true
    }

    /// Complains of an event that was accepted although one before it, of the same order, was not.
    fn look_for_gaps(&mut self, batch: &[Item], open: &[bool]) {
        let mut behind: HashMap<&str, usize> = HashMap::new();
        let mut gaps = Vec::new();
        for (item, open) in batch.iter().zip(open) {
            let Some((key, index)) = &item.order else { continue };
            match (open, behind.get(key.as_str())) {
                (true, _) => {
                    behind.entry(key).or_insert(*index);
                }
                (false, Some(_)) => gaps.push((key.clone(), *index)),
                (false, None) => {}
            }
        }
        for (key, index) in gaps {
            self.complain(
                key,
                index,
                "the edge accepted it and not the event before it in the same request".to_owned(),
            );
        }
    }

    fn complain(&mut self, key: String, index: usize, what: String) {
        let id = self.log.orders.get(&key).and_then(|sent| sent.get(index)).map(|sent| sent.id.clone());
        self.log.complaints.push((key, id.unwrap_or_default(), what));
    }
}
