//! One figure: what was measured, beside what, and whether its goal was met.

use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{Pair, Spread};

/// What a figure should come to.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Ours by reference.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Ours, in its own unit.
    AtLeast(f64),
    AtMost(f64),
}

/// A figure to be told.
pub struct Figure {
    name: String,
    unit: &'static str,
    ours: Spread,
    beside: Option<(String, Spread)>,
    ratio: Option<Spread>,
    goal: Option<Goal>,
    note: Option<String>,
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, ours: Spread) -> Self {
        Self { name: name.into(), unit, ours, beside: None, ratio: None, goal: None, note: None }
    }

    /// Ours and its reference, measured by turns; `what` says what the reference is.
    pub fn beside(name: impl Into<String>, unit: &'static str, pair: Pair, what: impl Into<String>) -> Self {
        let Pair { ours, reference, ratio } = pair;
        Self { beside: Some((what.into(), reference)), ratio: Some(ratio), ..Self::new(name, unit, ours) }
    }

    #[must_use]
    pub fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// What must be known to read the figure.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Prints the figure: a line of JSON for the table, and one for whoever watches.
    pub fn tell(self) {
        let met = self.is_met();
        let mut seen = format!("{}: {} {}", self.name, spread(&self.ours), self.unit);
        if let (Some((what, reference)), Some(ratio)) = (&self.beside, &self.ratio) {
            let _ = write!(seen, "; {what}: {}; ratio {}", spread(reference), spread(ratio));
        }
        if let (Some(goal), Some(met)) = (self.goal, met) {
            let _ = write!(seen, "; goal {}: {}", goal.words(), if met { "met" } else { "MISSED" });
        }
        eprintln!("{seen}");
        let told = json!({
            "figure": self.name,
            "unit": self.unit,
            "value": values(&self.ours),
            "reference": self.beside.map(|(what, spread)| json!({"what": what, "value": values(&spread)})),
            "ratio": self.ratio.as_ref().map(values),
            "goal": self.goal.map(Goal::words),
            "met": met,
            "note": self.note,
            "machine": machine(),
        });
        println!("{told}");
    }

    /// # Panics
    /// When the goal is one for a ratio and there is none.
    fn is_met(&self) -> Option<bool> {
        let ratio = || self.ratio.as_ref().expect("a goal for a ratio needs a reference").median;
        Some(match self.goal? {
            Goal::RatioAtLeast(least) => ratio() >= least,
            Goal::RatioAtMost(most) => ratio() <= most,
            Goal::AtLeast(least) => self.ours.median >= least,
            Goal::AtMost(most) => self.ours.median <= most,
        })
    }
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::RatioAtLeast(least) => format!("≥ {least} ×"),
            Self::RatioAtMost(most) => format!("≤ {most} ×"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }
}

fn spread(spread: &Spread) -> String {
    format!("{} ({} to {})", short(spread.median), short(spread.min), short(spread.max))
}

fn values(spread: &Spread) -> Value {
    json!({"median": spread.median, "min": spread.min, "max": spread.max})
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The machine as it was when this target began: a figure taken under load says so itself.
fn machine() -> &'static Value {
    static MACHINE: OnceLock<Value> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().and_then(|load| load.parse::<f64>().ok());
        json!({
            "cpu": model.map_or("unknown", |(_, model)| model),
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "load": load,
        })
    })
}

/// Notes the load before anything of ours adds to it.
pub(super) fn note_machine() {
    machine();
}
