//! Which lives are led: a spread in the short form, every use in the long one; and what is told when one fails.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;

use super::{Fault, disk, life};
use crate::support::dice::{self, Dice};

/// Lives led at the same time.
const AT_ONCE: usize = 3;
/// Lives of one part in the short form: about so many, and at least one of each kind.
const SHORT: usize = 14;
/// Lives of one kind in the short form.
const SHORT_OF_A_KIND_MAX: usize = 2;
const SEED: u64 = 20_261_122;
/// No life uses a part so often.
const USES_MAX: usize = 20_000;

/// The outside parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Ehr,
    Mail,
    Database,
    Disk,
    Clock,
}

/// Counts the uses of a part, and says at which the fault comes.
pub struct Trigger {
    at: usize,
    /// What else is used does not count.
    only: Option<&'static str>,
    uses: AtomicUsize,
    is_armed: AtomicBool,
    met: Mutex<Option<String>>,
}

/// What is asked for.
enum Asked {
    Short,
    All,
    One { kind: Option<String>, at: Option<usize> },
    Other,
}

impl Part {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ehr => "ehr",
            Self::Mail => "mail",
            Self::Database => "database",
            Self::Disk => "disk",
            Self::Clock => "clock",
        }
    }

    fn asked(self) -> Asked {
        let Some(text) = env::var_os("CHARTSEAL_FAULTS") else { return Asked::Short };
        let text = text.to_str().expect("CHARTSEAL_FAULTS=part:kind:number");
        if text == "all" {
            return Asked::All;
        }
        let mut words = text.split(':');
        if words.next() != Some(self.name()) {
            return Asked::Other;
        }
        let kind = words.next().map(str::to_owned);
        Asked::One { kind, at: words.next().map(|word| word.parse().expect("CHARTSEAL_FAULTS=part:kind:number")) }
    }
}

impl Trigger {
    pub fn at(at: usize) -> Arc<Self> {
        Arc::new(Self::new(at, None))
    }

    /// At the first use that says these words.
    pub fn at_words(words: &'static str) -> Arc<Self> {
        Arc::new(Self::new(1, Some(words)))
    }

    const fn new(at: usize, only: Option<&'static str>) -> Self {
        Self { at, only, uses: AtomicUsize::new(0), is_armed: AtomicBool::new(false), met: Mutex::new(None) }
    }

    pub fn arm(&self) {
        self.is_armed.store(true, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.is_armed.store(false, Ordering::SeqCst);
    }

    /// Counts one use; whether it is the one that goes wrong.
    pub fn pulled(&self, what: impl Fn() -> String) -> bool {
        if !self.is_armed.load(Ordering::SeqCst) || self.only.is_some_and(|words| !what().contains(words)) {
            return false;
        }
        if self.uses.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return false;
        }
        *self.met.lock().expect("no test panics here") = Some(what());
        true
    }

    /// The use at which the fault comes.
    pub const fn place(&self) -> usize {
        self.at
    }

    /// What another process counted.
    pub fn used(&self, uses: usize) {
        self.uses.store(uses, Ordering::SeqCst);
    }

    /// The fault came in another process.
    pub fn meet(&self, what: &str) {
        self.met.lock().expect("no test panics here").get_or_insert_with(|| what.to_owned());
    }

    /// What was used when the fault came; `None` when it never came.
    pub fn met(&self) -> Option<String> {
        self.met.lock().expect("no test panics here").clone()
    }

    pub fn uses(&self) -> usize {
        self.uses.load(Ordering::SeqCst)
    }
}

/// What came of one life.
struct Led {
    kind: &'static str,
    at: usize,
    met: Option<String>,
    failed: Option<String>,
}

impl Led {
    /// What failed, with the words that repeat it.
    fn line(&self, part: Part) -> Option<String> {
        let (part, met) = (part.name(), self.met.as_deref().unwrap_or("nothing"));
        let failed = self.failed.as_ref()?;
        Some(format!("CHARTSEAL_FAULTS={part}:{}:{} (it met {met}): {failed}", self.kind, self.at))
    }
}

/// Leads the lives that are asked for.
///
/// # Panics
/// When an invariant was broken: with the words that repeat just that life.
pub async fn run<K: Copy + Send + Sync + 'static>(
    part: Part,
    kinds: &[K],
    name: fn(K) -> &'static str,
    fault: fn(K, Arc<Trigger>) -> Fault,
) {
    let lead = move |kind: K, at: usize| async move {
        let trigger = Trigger::at(at);
        // On a thread of its own, where a panic ends this life and no other.
        let (runtime, fault) = (tokio::runtime::Handle::current(), fault(kind, Arc::clone(&trigger)));
        let led = tokio::task::spawn_blocking(move || lead_here(&runtime, &fault)).await;
        let failed = led.err().map(|error| said_by(error.into_panic()));
        let led = Led { kind: name(kind), at, met: trigger.met(), failed };
        if let Some(line) = led.line(part) {
            // A long form is watched while it goes on.
            println!("faults: {line}");
        }
        led
    };
    let lives: Vec<(K, usize)> = match part.asked() {
        Asked::Other => return,
        Asked::One { kind: Some(kind), at: Some(at) } => {
            kinds.iter().copied().filter(|one| name(*one) == kind).map(|one| (one, at)).collect()
        }
        Asked::Short => {
            let uses = uses_of(fault(kinds[0], Trigger::at(0)), part).await;
            spread(kinds, uses)
        }
        Asked::One { kind, at: _ } => {
            return long(
                part,
                kinds.iter().copied().filter(|one| kind.as_ref().is_none_or(|k| name(*one) == k)),
                &lead,
            )
            .await;
        }
        Asked::All => return long(part, kinds.iter().copied(), &lead).await,
    };
    assert!(!lives.is_empty(), "CHARTSEAL_FAULTS names no kind of {}", part.name());
    let led: Vec<Led> =
        futures_util::stream::iter(lives).map(|(kind, at)| lead(kind, at)).buffer_unordered(AT_ONCE).collect().await;
    tell(part, &led);
}

/// Every kind at n = 1, 2, 3… until a life meets no fault; with `CHARTSEAL_FAULTS_EVERY=20` at each twentieth n, from one
/// that `CHARTSEAL_SEED` draws.
async fn long<K: Copy, F: Future<Output = Led>>(
    part: Part,
    kinds: impl Iterator<Item = K>,
    lead: &impl Fn(K, usize) -> F,
) {
    let every = usize::try_from(dice::number("CHARTSEAL_FAULTS_EVERY", 1)).expect("a small number").max(1);
    let mut dice = Dice::cast(SEED);
    let mut all = Vec::new();
    for kind in kinds {
        let places = (1 + dice.below(every)..USES_MAX).step_by(every);
        let mut lives = futures_util::stream::iter(places).map(|at| lead(kind, at)).buffered(AT_ONCE);
        while let Some(led) = lives.next().await {
            let is_last = led.met.is_none() && led.failed.is_none();
            all.push(led);
            if is_last {
                break;
            }
        }
    }
    tell(part, &all);
}

fn lead_here(runtime: &tokio::runtime::Handle, fault: &Fault) {
    match fault {
        Fault::Disk(kind, trigger) => disk::lead(*kind, trigger),
        Fault::Ehr(..) | Fault::Mail(..) | Fault::Database(..) | Fault::Clock(..) | Fault::OfThisDisk => {
            runtime.block_on(life::lead(fault));
        }
    }
}

fn tell(part: Part, all: &[Led]) {
    let met = all.iter().filter(|led| led.met.is_some()).count();
    println!("faults: {} lives of {}, {met} met a fault", all.len(), part.name());
    let failed: Vec<String> = all.iter().filter_map(|led| led.line(part)).collect();
    assert!(
        failed.is_empty(),
        "{} of {} lives ended badly; repeat with\n{}",
        failed.len(),
        all.len(),
        failed.join("\n")
    );
}

/// How often a life without a fault uses the part.
async fn uses_of(fault: Fault, part: Part) -> usize {
    let trigger = match &fault {
        Fault::OfThisDisk => panic!("counted elsewhere"),
        Fault::Ehr(_, trigger)
        | Fault::Mail(_, trigger)
        | Fault::Database(_, trigger)
        | Fault::Disk(_, trigger)
        | Fault::Clock(_, trigger) => Arc::clone(trigger),
    };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || lead_here(&runtime, &fault)).await.expect("a life without a fault ends well");
    println!("faults: a life uses {} {} times", part.name(), trigger.uses());
    trigger.uses()
}

fn spread<K: Copy>(kinds: &[K], uses: usize) -> Vec<(K, usize)> {
    let mut dice = Dice::cast(SEED);
    let slots = kinds.len() * (SHORT / kinds.len()).clamp(1, SHORT_OF_A_KIND_MAX);
    // Each life has a stretch of the uses for itself, so that together they cover all.
    let mut stretches: Vec<usize> = (0..slots).collect();
    for last in (1..slots).rev() {
        stretches.swap(last, dice.below(last + 1));
    }
    let draw = |(index, stretch): (usize, usize)| {
        let (from, to) = (uses * stretch / slots, (uses * (stretch + 1) / slots).max(uses * stretch / slots + 1));
        (kinds[index % kinds.len()], 1 + from + dice.below(to - from))
    };
    stretches.into_iter().enumerate().map(draw).collect()
}

fn said_by(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "it panicked".to_owned(), |text| (*text).to_owned()),
    }
}
