//! Counting events: which numbers are missing, which arrived late, whether a counter began anew. Pure.
//!
//! Must stay true: an order other than that of the numbers is no gap; no event is ever left out because of its number: each is
//! heard whatever is counted here, and a doubt costs a search, never a report.

use crate::fhir::NotificationKind;

/// Further gaps than these are not kept apart: a search finds what all of them hide.
pub(super) const GAPS_MAX: usize = 200;

/// How an EHR numbers its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Each Subscription's events from 1 without end; a counter that begins anew is a fault.
    Strict,
    /// As above, but the counter may begin anew at any time, as where a server keeps it in memory.
    Resetting,
    /// Within each notification only, or not at all.
    None,
}

/// Numbers without a hole, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u64,
    pub last: u64,
}

/// What one notification tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub kind: NotificationKind,
    pub count: Option<u64>,
    pub runs: Vec<Run>,
}

/// How far was counted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub highest: Option<u64>,
    /// In order, apart from one another.
    pub gaps: Vec<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    No,
    /// The counter began anew: what it counted before it did is unknown.
    Began,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    pub after: Counted,
    pub restart: Restart,
    /// More gaps than are kept: they were given up for a search.
    pub too_many: bool,
}

/// `numbers` in order, each once, as runs.
pub(super) fn runs(numbers: &[u64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.last.saturating_add(1) == *number => run.last = *number,
            Some(_) | None => runs.push(Run { first: *number, last: *number }),
        }
    }
    runs
}

/// Counts what was told.
pub(super) fn count(before: &Counted, told: &Told, numbering: Numbering) -> Counting {
    let unchanged = || Counting { after: before.clone(), restart: Restart::No, too_many: false };
    match (numbering, told.kind) {
        (Numbering::None, _) => return unchanged(),
        // An answer to us, not a call: what it brings fills gaps, and its counter is compared where it was asked for.
        (_, NotificationKind::QueryEvents) => {
            let mut after = before.clone();
            told.runs.iter().for_each(|run| fill(&mut after.gaps, *run));
            return Counting { after, ..unchanged() };
        }
        (Numbering::Strict | Numbering::Resetting, _) => {}
    }
    let restart = restart(before, told, numbering);
    let (mut gaps, begin) = match restart {
        Restart::No => (before.gaps.clone(), before.highest),
        Restart::Began => (Vec::new(), None),
    };
    // The first that is heard begins the count: what was before it, the poll has found.
    let first = told.runs.first().map(|run| run.first.saturating_sub(1));
    let Some(mut highest) = begin.or(first).or(told.count) else { return unchanged() };
    for run in &told.runs {
        fill(&mut gaps, *run);
        if run.last > highest {
            open(&mut gaps, highest, run.first);
            highest = run.last;
        }
    }
    if let Some(count) = told.count.filter(|count| *count > highest) {
        open(&mut gaps, highest, count.saturating_add(1));
        highest = count;
    }
    let too_many = gaps.len() > GAPS_MAX;
    if too_many {
        gaps.clear();
    }
    Counting { after: Counted { highest: Some(highest), gaps }, restart, too_many }
}

fn restart(before: &Counted, told: &Told, numbering: Numbering) -> Restart {
    let Some(highest) = before.highest else { return Restart::No };
    let began = match told.kind {
        // It comes before any event that follows it, so that a lower count is not an older one.
        NotificationKind::Handshake => told.count.is_some_and(|count| count < highest),
        // Where counters may begin anew, a number that was heard before is taken for that, not for a repetition.
        NotificationKind::Events => {
            let is_new = |run: &Run| run.last > highest || before.gaps.iter().any(|gap| overlap(*gap, *run));
            numbering == Numbering::Resetting && !told.runs.is_empty() && !told.runs.iter().any(is_new)
        }
        NotificationKind::Heartbeat | NotificationKind::QueryStatus | NotificationKind::QueryEvents => false,
    };
    if began { Restart::Began } else { Restart::No }
}

const fn overlap(one: Run, other: Run) -> bool {
    one.first <= other.last && other.first <= one.last
}

/// What lies between `highest` and `next` is missing.
fn open(gaps: &mut Vec<Run>, highest: u64, next: u64) {
    let (first, last) = (highest.saturating_add(1), next.saturating_sub(1));
    if first <= last {
        gaps.push(Run { first, last });
    }
}

/// Takes `run` out of the gaps.
pub(super) fn fill(gaps: &mut Vec<Run>, run: Run) {
    let left = gaps.iter().flat_map(|gap| {
        if !overlap(*gap, run) {
            return [Some(*gap), None];
        }
        let below = (gap.first < run.first).then(|| Run { first: gap.first, last: run.first.saturating_sub(1) });
        let above = (gap.last > run.last).then(|| Run { first: run.last.saturating_add(1), last: gap.last });
        [below, above]
    });
    *gaps = left.flatten().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(numbers: &[u64]) -> Told {
        Told { kind: NotificationKind::Events, count: numbers.last().copied(), runs: runs(numbers) }
    }

    fn alive(kind: NotificationKind, count: u64) -> Told {
        Told { kind, count: Some(count), runs: Vec::new() }
    }

    fn counted(highest: u64, gaps: &[(u64, u64)]) -> Counted {
        let gaps = gaps.iter().map(|(first, last)| Run { first: *first, last: *last }).collect();
        Counted { highest: Some(highest), gaps }
    }

    fn after_all(told: &[Told], numbering: Numbering) -> (Counted, Vec<Restart>) {
        let nothing = Counted { highest: None, gaps: Vec::new() };
        told.iter().fold((nothing, Vec::new()), |(before, mut restarts), told| {
            let counting = count(&before, told, numbering);
            restarts.push(counting.restart);
            (counting.after, restarts)
        })
    }

    #[test]
    fn another_order_leaves_no_gap_and_a_missing_number_does() {
        let order = [2, 4, 1, 3, 5, 7, 6].map(|number| event(&[number]));
        let begun = [vec![alive(NotificationKind::Handshake, 0)], order.to_vec()].concat();
        for numbering in [Numbering::Strict, Numbering::Resetting] {
            let (after, restarts) = after_all(&begun, numbering);
            assert_eq!((after, restarts), (counted(7, &[]), vec![Restart::No; 8]), "{numbering:?}");
        }
        let holes = [event(&[20, 21]), event(&[23, 27]), event(&[25])];
        assert_eq!(after_all(&holes, Numbering::Strict).0, counted(27, &[(22, 22), (24, 24), (26, 26)]));
        assert_eq!(after_all(&holes, Numbering::None).0.highest, None);
    }

    #[test]
    fn a_heartbeat_or_a_handshake_that_counts_further_shows_what_is_missing() {
        for kind in [NotificationKind::Heartbeat, NotificationKind::Handshake, NotificationKind::QueryStatus] {
            let counting = count(&counted(5, &[]), &alive(kind, 8), Numbering::Strict);
            assert_eq!((counting.after, counting.restart), (counted(8, &[(6, 8)]), Restart::No));
        }
        let late = count(&counted(5, &[]), &alive(NotificationKind::Heartbeat, 3), Numbering::Strict);
        assert_eq!((late.after, late.restart), (counted(5, &[]), Restart::No), "a heartbeat that was overtaken");
    }

    #[test]
    fn a_counter_that_begins_anew_is_told_from_an_event_that_is_repeated() {
        let before = counted(50, &[(40, 40)]);
        let anew = |told: &Told, numbering| count(&before, told, numbering);
        let handshake = anew(&alive(NotificationKind::Handshake, 0), Numbering::Strict);
        assert_eq!((handshake.after, handshake.restart), (counted(0, &[]), Restart::Began));
        let event_one = anew(&event(&[1]), Numbering::Resetting);
        assert_eq!((event_one.after, event_one.restart), (counted(1, &[]), Restart::Began));
        let repeated = anew(&event(&[1]), Numbering::Strict);
        assert_eq!((repeated.after, repeated.restart), (before.clone(), Restart::No));
        let late = anew(&event(&[40]), Numbering::Resetting);
        assert_eq!((late.after, late.restart), (counted(50, &[]), Restart::No), "it was missing");
    }

    #[test]
    fn answers_fill_gaps_and_a_leap_costs_one_gap() {
        let asked = Told { kind: NotificationKind::QueryEvents, count: Some(99), runs: runs(&[7, 8]) };
        let counting = count(&counted(20, &[(5, 10)]), &asked, Numbering::Strict);
        assert_eq!(counting.after, counted(20, &[(5, 6), (9, 10)]));
        let leap = count(&counted(1, &[]), &event(&[1 << 52]), Numbering::Strict);
        assert_eq!(leap.after.gaps, [Run { first: 2, last: (1 << 52) - 1 }]);
        let scattered: Vec<u64> = (1..=2 * GAPS_MAX as u64 + 4).map(|number| number * 2).collect();
        let counting = count(&counted(1, &[]), &event(&scattered), Numbering::Strict);
        assert!(counting.too_many && counting.after.gaps.is_empty());
    }
}
