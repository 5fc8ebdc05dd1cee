//! What was asked and answered, counted: by route, status and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a hook call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HookEnd {
    Kept,
    /// Kept without its body, which was too large or in a form that is not read.
    KeptWithoutBody,
    Unauthenticated,
    Overloaded,
    /// The body did not arrive whole.
    Cut,
    NotKept,
}

impl HookEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::KeptWithoutBody => "kept_without_body",
            Self::Unauthenticated => "unauthenticated",
            Self::Overloaded => "overloaded",
            Self::Cut => "cut",
            Self::NotKept => "not_kept",
        }
    }
}

/// The counters of one process.
#[derive(Default)]
pub struct Traffic(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By route pattern and status. Patterns are ours, so the map stays small.
    answers: BTreeMap<(String, u16), u64>,
    hooks: BTreeMap<HookEnd, u64>,
}

impl Traffic {
    pub(super) fn answered(&self, route: &str, status: u16) {
        *self.counts().answers.entry((route.to_owned(), status)).or_default() += 1;
    }

    pub(super) fn hook(&self, end: HookEnd) {
        *self.counts().hooks.entry(end).or_default() += 1;
    }

    /// Prometheus' text form, version 0.0.4.
    pub(super) fn to_text(&self) -> String {
        let counts = self.counts();
        let mut text = String::from(
            "# HELP chartseal_http_answers_total Answers by route and status.\n\
             # TYPE chartseal_http_answers_total counter\n",
        );
        for ((route, status), count) in &counts.answers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "chartseal_http_answers_total{{route=\"{route}\",status=\"{status}\"}} {count}");
        }
        text.push_str(
            "# HELP chartseal_hook_calls_total Calls of EHR hooks by how they ended.\n\
             # TYPE chartseal_hook_calls_total counter\n",
        );
        for (end, count) in &counts.hooks {
            let _ = writeln!(text, "chartseal_hook_calls_total{{end=\"{}\"}} {count}", end.as_str());
        }
        text
    }

    /// Counters are right after a panic elsewhere too.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
