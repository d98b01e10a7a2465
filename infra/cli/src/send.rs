//! `penstock send`: posts a file of events in batches and says of every line what became of it.
//!
//! Lines go out in their order. What the edge asks to send again is sent again before anything after it, and what it
//! never takes stops the rest, so the order of every key holds. A line that is not JSON would spoil its whole batch, so
//! it goes alone, for the edge to refuse.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::dev::INTERRUPTED;
use crate::terminal::{note, say};

/// Bytes of one request: Lambda takes 6 MB, JSON's escapes included.
const REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// Where events are posted, below the API's address.
const PATH: &str = "/v1/events";

/// What whoever is not the API of a pipeline answers, or one that does not know the sender: no line is at fault.
const WRONG_ADDRESS: [u16; 4] = [401, 403, 404, 405];

/// Options of `penstock send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file, or - for standard input
    file: PathBuf,
    /// Where to post; without it, the pipeline that runs on --port
    #[arg(long)]
    endpoint: Option<String>,
    /// Events of one request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    batch: u32,
    /// How often a line is sent again when the edge or its stream is busy, refuses or does not answer
    #[arg(long, default_value_t = 10)]
    retries: u32,
    #[command(flatten)]
    running: crate::Running,
}

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Events that the edge has accepted.
    pub(crate) accepted: usize,
    /// Lines that it has refused.
    pub(crate) refused: Vec<Refused>,
    /// Lines that it never took.
    pub(crate) given_up: Vec<Refused>,
}

/// A line that was not accepted.
#[derive(Debug)]
pub(crate) struct Refused {
    line: usize,
    code: String,
    detail: String,
}

/// Runs the command.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let text = read(&options.file)?;
    check_lines(&text).with_context(|| format!("{} is not a file of events", options.file.display()))?;
    let endpoint = match options.endpoint {
        Some(endpoint) => endpoint,
        None => crate::record::Record::of_running(options.running.port).await?.endpoint,
    };
    let bar = ProgressBar::new(text.lines().count() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} lines  {per_sec}  {msg}")?);
    let sender = Sender::new(&endpoint, options.batch as usize, options.retries)?;
    let mut report = Report::default();
    let sent = tokio::select! {
        sent = sender.send_into(&text, &mut report, |lines| bar.inc(lines as u64)) => Some(sent),
        interrupted = crate::dev::interrupted() => {
            interrupted?;
            None
        }
    };
    let answered = bar.position();
    bar.finish_and_clear();
    if let Some(sent) = sent {
        sent?;
    }
    report.print();
    let lines = text.lines().count() as u64;
    if answered < lines {
        note(&format!(
            "interrupted: {} lines were not sent, or nobody knows what became of them; sending them again does no harm",
            lines - answered
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    // a file of which nothing was taken is as good as not sent
    let nothing = report.accepted == 0 && !report.is_empty();
    Ok(if report.given_up.is_empty() && !nothing { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line of JSON each is what is asked for. Files of one value over many lines are common, and would be refused line by line.
fn check_lines(text: &str) -> anyhow::Result<()> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if serde_json::from_str::<IgnoredAny>(first).is_ok() {
        if first.trim_start().starts_with('[') {
            bail!("its first line is an array, and each line has to be one event: `jq -c '.[]' FILE` makes them");
        }
        return Ok(());
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        let filter = if first.trim_start().starts_with('[') { ".[]" } else { "." };
        bail!(
            "it is one JSON value over many lines, and each line has to be one event: `jq -c '{filter}' FILE` makes them"
        );
    }
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let reading = || format!("cannot read {}", file.display());
    if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).with_context(reading)?;
    } else {
        bytes = std::fs::read(file).with_context(reading)?;
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", file.display()))
}

impl Report {
    fn is_empty(&self) -> bool {
        self.accepted == 0 && self.refused.is_empty() && self.given_up.is_empty()
    }

    /// Prints the refused lines and the sums.
    pub(crate) fn print(&self) {
        for Refused { line, code, detail } in &self.refused {
            note(&format!("line {line}: refused: {code}: {detail}"));
        }
        for Refused { line, code, detail } in &self.given_up {
            note(&format!("line {line}: not taken: {code}: {detail}"));
        }
        let (accepted, refused, given_up) = (self.accepted, self.refused.len(), self.given_up.len());
        say(&format!("{accepted} accepted, {refused} refused, {given_up} not taken"));
    }
}

/// Posts lines to an endpoint.
#[derive(Debug)]
pub(crate) struct Sender {
    client: reqwest::Client,
    url: String,
    batch: usize,
    retries: u32,
}

/// A line on its way.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
    json: bool,
}

/// The edge's answer, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    events: Vec<Item>,
    #[serde(default)]
    code: String,
    /// `message` is what API Gateway calls it when it answers itself.
    #[serde(default, alias = "message")]
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Item {
    index: usize,
    status: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

impl Sender {
    /// A sender of batches of `batch` events to `endpoint`.
    pub(crate) fn new(endpoint: &str, batch: usize, retries: u32) -> anyhow::Result<Self> {
        let url = reqwest::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if !url.is_some_and(|url| url.has_host()) {
            bail!("`{endpoint}` is no address of an API: write it as https://HOST or http://127.0.0.1:7070");
        }
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        // the address as it is posted to will do as well
        let base = endpoint.trim_end_matches('/').trim_end_matches(PATH).trim_end_matches('/');
        Ok(Self { client, url: format!("{base}{PATH}"), batch, retries })
    }

    /// Sends every line that is not empty. `done` hears how many lines have an answer.
    pub(crate) async fn send(&self, text: &str, done: impl Fn(usize)) -> anyhow::Result<Report> {
        let mut report = Report::default();
        self.send_into(text, &mut report, done).await?;
        Ok(report)
    }

    /// As above; what has an answer is in `report` even if this is dropped on the way.
    pub(crate) async fn send_into(&self, text: &str, report: &mut Report, done: impl Fn(usize)) -> anyhow::Result<()> {
        self.send_lines((1..).zip(text.lines()), report, done).await
    }

    /// As above, of lines with their numbers.
    pub(crate) async fn send_lines<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a str)>,
        report: &mut Report,
        done: impl Fn(usize),
    ) -> anyhow::Result<()> {
        let mut batch: Vec<Line<'_>> = Vec::new();
        let mut bytes = 0;
        for (number, text) in lines {
            if text.trim().is_empty() {
                done(1);
                continue;
            }
            let line = Line { number, text, json: serde_json::from_str::<&RawValue>(text).is_ok() };
            let full = batch.len() >= self.batch || bytes + text.len() > REQUEST_BYTES;
            if full || !line.json || batch.first().is_some_and(|first| !first.json) {
                self.flush(&mut batch, report, &done).await?;
                bytes = 0;
            }
            bytes += text.len();
            batch.push(line);
        }
        self.flush(&mut batch, report, &done).await
    }

    /// Sends a batch until every line of it has a final answer or the retries are used up. After that nothing more is
    /// sent: it would overtake what was not taken.
    async fn flush(&self, batch: &mut Vec<Line<'_>>, report: &mut Report, done: impl Fn(usize)) -> anyhow::Result<()> {
        let mut why = ("not_sent".to_owned(), "a line before it was not taken".to_owned());
        let tries = if report.given_up.is_empty() { 1 + self.retries } else { 0 };
        for left in (0..tries).rev() {
            let before = batch.len();
            let (wait, reason) = self.post(batch, report).await?;
            done(before - batch.len());
            if batch.is_empty() {
                return Ok(());
            }
            why = reason;
            if left > 0 {
                tokio::time::sleep(wait).await;
            }
        }
        for line in batch.drain(..) {
            report.given_up.push(Refused { line: line.number, code: why.0.clone(), detail: why.1.clone() });
            done(1);
        }
        Ok(())
    }

    /// Posts a batch once and takes out of it what has a final answer; how long to wait, and why.
    async fn post(
        &self,
        batch: &mut Vec<Line<'_>>,
        report: &mut Report,
    ) -> anyhow::Result<(Duration, (String, String))> {
        const WAIT: Duration = Duration::from_secs(1);
        let Some(first) = batch.first() else {
            return Ok((Duration::ZERO, Default::default()));
        };
        let request = if first.json {
            let lines: Vec<_> = batch.iter().map(|line| line.text).collect();
            let body = format!("[{}]", lines.join(","));
            self.client.post(&self.url).header("content-type", "application/cloudevents-batch+json").body(body)
        } else {
            let body = first.text.to_owned();
            self.client.post(&self.url).header("content-type", "application/cloudevents+json").body(body)
        };
        let response = match request.send().await {
            Ok(response) => response,
            // nothing has an answer yet: most likely the address is wrong
            Err(error) if error.is_connect() && report.is_empty() => bail!("cannot connect to {}", self.url),
            Err(error) => return Ok((WAIT, ("no_answer".to_owned(), error.to_string()))),
        };
        let status = response.status();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = header.and_then(|value| value.parse().ok()).map_or(WAIT, Duration::from_secs);
        if WRONG_ADDRESS.contains(&status.as_u16()) || status.is_redirection() {
            if report.is_empty() {
                bail!(
                    "{} answers {status}: there is no API of Penstock at this address, or it lets nobody in",
                    self.url
                );
            }
            return Ok((wait, ("wrong_address".to_owned(), format!("the API answers {status} all of a sudden"))));
        }
        let answer: Answer = match response.json().await {
            Ok(answer) => answer,
            Err(error) => return Ok((wait, (status.to_string(), error.to_string()))),
        };
        if answer.events.is_empty() && status.is_client_error() && status.as_u16() != 429 {
            for line in batch.drain(..) {
                report.refused.push(Refused {
                    line: line.number,
                    code: if answer.code.is_empty() { status.to_string() } else { answer.code.clone() },
                    detail: answer.detail.clone(),
                });
            }
            return Ok((Duration::ZERO, Default::default()));
        }
        let mut why = (if answer.code.is_empty() { status.to_string() } else { answer.code }, answer.detail);
        let mut open = vec![true; batch.len()];
        for item in answer.events {
            let Some(line) = batch.get(item.index) else { bail!("{} answered for an event it was not sent", self.url) };
            match item.status.as_str() {
                "accepted" => report.accepted += 1,
                "rejected" => {
                    report.refused.push(Refused { line: line.number, code: item.code, detail: item.detail });
                }
                _ => {
                    why = (item.code, item.detail);
                    continue;
                }
            }
            open[item.index] = false;
        }
        let mut open = open.into_iter();
        batch.retain(|_| open.next().unwrap_or(true));
        Ok((wait, why))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// An edge that gives each request the next of `answers`: a status and what it says of the one event.
    async fn edge(answers: Vec<(&'static str, &'static str)>) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            for (status, event) in answers {
                let (mut socket, _) = listener.accept().await?;
                // one read holds a request as small as these
                _ = socket.read(&mut [0; 4096]).await?;
                let body = format!(r#"{{"events":[{{"index":0,{event}}}]}}"#);
                let head = format!("HTTP/1.1 {status}\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: ");
                socket.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await?;
            }
            anyhow::Ok(())
        });
        Ok(endpoint)
    }

    const REFUSES: (&str, &str) = ("503 Service Unavailable", r#""status":"retry","code":"stream_refused""#);
    const TAKES: (&str, &str) = ("202 Accepted", r#""status":"accepted""#);

    async fn sent(answers: Vec<(&'static str, &'static str)>, retries: u32) -> anyhow::Result<Report> {
        Sender::new(&edge(answers).await?, 1, retries)?.send("{}", |_| {}).await
    }

    #[tokio::test]
    async fn an_address_that_is_none_or_of_somebody_else_is_told_at_once() {
        for address in ["localhost:7070", "127.0.0.1:7070", "ftp://a", "", "http://"] {
            let error = Sender::new(address, 1, 0).unwrap_err().to_string();
            assert!(error.contains("is no address of an API"), "{address}: {error}");
        }
        for address in ["http://a:1", "http://a:1/", "http://a:1/v1/events", "http://a:1/v1/events/"] {
            assert_eq!(Sender::new(address, 1, 0).unwrap().url, "http://a:1/v1/events");
        }
        for status in ["404 Not Found", "403 Forbidden", "301 Moved Permanently"] {
            let error = sent(vec![(status, "")], 5).await.unwrap_err().to_string();
            assert!(error.contains("there is no API of Penstock at this address"), "{error}");
        }
    }

    #[test]
    fn a_file_over_many_lines_gets_the_command_that_mends_it() {
        assert!(check_lines("{\n \"id\": 1\n}").unwrap_err().to_string().contains("jq -c '.' FILE"));
        assert!(check_lines("[\n{}\n]").unwrap_err().to_string().contains("jq -c '.[]' FILE"));
        assert!(check_lines("[{}]").unwrap_err().to_string().contains("jq -c '.[]' FILE"));
        for fine in ["", "{}\n{}", "\n{}", "not json\n{}"] {
            assert!(check_lines(fine).is_ok(), "{fine}");
        }
    }

    #[tokio::test]
    async fn what_the_stream_refuses_is_sent_again_and_never_counted_as_refused() -> anyhow::Result<()> {
        let report = sent(vec![REFUSES, TAKES], 1).await?;
        assert_eq!((report.accepted, report.refused.len(), report.given_up.len()), (1, 0, 0));
        let report = sent(vec![REFUSES, REFUSES], 1).await?;
        assert_eq!((report.accepted, report.refused.len(), report.given_up.len()), (0, 0, 1));
        assert_eq!(report.given_up[0].code, "stream_refused");
        Ok(())
    }
}
