//! Which traces are collected: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
//!
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use crate::config::Reader;

/// A rule for traces, from their ids alone, so that every function decides alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// The share of traces, from 0 to 1.
    share: f64,
    /// Whether what the trace's beginner decided goes before.
    by_parent: bool,
}

impl Sampler {
    pub(super) fn read<L: Fn(&str) -> Option<String>>(reader: &mut Reader<L>) -> Self {
        let name = reader.optional("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
        let (kind, by_parent) = match name.strip_prefix("parentbased_") {
            Some(kind) => (kind, true),
            None => (name.as_str(), false),
        };
        let share = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => reader.number("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0),
            _ => {
                let why = "give always_on, always_off or traceidratio, or one of them after `parentbased_`";
                reader.refuse("OTEL_TRACES_SAMPLER", why);
                return Self { share: 1.0, by_parent: true };
            }
        };
        Self { share, by_parent }
    }

    /// Whether a trace is collected. `parent` is what its beginner decided.
    pub(super) fn samples(self, trace: u128, parent: Option<bool>) -> bool {
        match parent.filter(|_| self.by_parent) {
            Some(sampled) => sampled,
            None => self.share >= 1.0 || in_share(trace, self.share),
        }
    }
}

/// The lower half of a trace's id is random: <https://www.w3.org/TR/trace-context-2/#random-trace-id-flag>.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share need not be exact")]
fn in_share(trace: u128, share: f64) -> bool {
    ((trace as u64) >> 1) as f64 <= share * ((u64::MAX >> 1) as f64) && share > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(name: &str, argument: &str) -> Result<Sampler, crate::config::Error> {
        let mut reader = Reader::new(|variable: &str| match variable {
            "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
            "OTEL_TRACES_SAMPLER_ARG" => Some(argument.to_owned()),
            _ => None,
        });
        let sampler = Sampler::read(&mut reader);
        reader.finish().map(|()| sampler)
    }

    #[test]
    fn a_share_of_the_traces_is_about_that_share() {
        let sampler = sampler("traceidratio", "0.25").unwrap();
        let kept = (0..10_000).filter(|_| sampler.samples(super::super::new_trace_id(), None)).count();
        assert!((2000..3000).contains(&kept), "{kept}");
        assert!(sampler.samples(0, Some(false)), "it asks nobody else");
    }

    #[test]
    fn whoever_began_the_trace_decides_if_it_is_asked() {
        let sampler = sampler("parentbased_always_off", "").unwrap();
        assert_eq!([Some(true), Some(false), None].map(|parent| sampler.samples(7, parent)), [true, false, false]);
    }

    #[test]
    fn what_is_unknown_is_named() {
        let error = sampler("sometimes", "").unwrap_err().to_string();
        assert!(error.contains("OTEL_TRACES_SAMPLER is `sometimes`: give always_on"), "{error}");
        assert!(sampler("traceidratio", "2").unwrap_err().to_string().contains("OTEL_TRACES_SAMPLER_ARG"));
    }
}
