//! A letter on its way through a call.

use crate::batch::Delivery;
use crate::dead_letter::{Code, DeadLetter};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::settle::lane::Outcome;

/// What became of a letter that was sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterEnd {
    /// Its event is settled.
    Settled(Outcome),
    /// It is in the dead letters again, with this reason.
    SentBack(Code),
    /// Nothing: it stays in the queue and comes again. Why.
    Left(String),
}

#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) letter: &'a DeadLetter,
    pub(super) delivery: Delivery,
    pub(super) end: Option<LetterEnd>,
    /// It goes back to the dead letters with this.
    pub(super) back: Option<(Code, String)>,
    /// Why it failed when it was tried last.
    pub(super) failed: Option<String>,
}

impl<'a> Letter<'a> {
    pub(super) fn new(letter: &'a DeadLetter, fingerprints: &Fingerprinter) -> Self {
        let delivery = Delivery::of_letter(letter, fingerprints);
        let back = delivery.content.as_ref().err().map(|error| {
            // one that has expired has no bytes that could be mended
            let code = if letter.code == Code::Expired { Code::Expired } else { Code::NotAnEvent };
            (code, error.to_string())
        });
        Self { letter, delivery, end: None, back, failed: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.is_none() && self.back.is_none()
    }

    /// It stays in the queue; if it was tried and failed, it goes back with that.
    pub(super) fn leave(&mut self, why: impl Into<String>) {
        match self.failed.take() {
            Some(reason) => (self.end, self.back) = (None, Some((Code::RetriesExhausted, reason))),
            None => self.end = Some(LetterEnd::Left(why.into())),
        }
    }

    pub(super) fn name(&self) -> Option<Fingerprint> {
        self.delivery.content.as_ref().ok().map(|content| content.fingerprint)
    }
}
