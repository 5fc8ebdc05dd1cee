//! Facts made of other facts: in another order, with more evidence, with what was lacking learnt.

use super::generate::{
    Dice, FACT_CATEGORIES, FACT_CODES, FACT_ENCOUNTERS, FACT_LABELS, PERFORMERS, SPECIALTIES, pattern, standing,
};
use super::*;
use crate::policy::contact::as_fact;
use crate::policy::facts::{Age, Basis, FactPath, Flag, Gathered};

/// The same facts in another order.
pub fn shuffled(facts: &Facts, dice: &mut Dice) -> Facts {
    let mut other = facts.clone();
    dice.shuffle(&mut other.codes);
    dice.shuffle(&mut other.categories);
    for from in codes_of(&mut other) {
        dice.shuffle(&mut from.found);
    }
    dice.shuffle(&mut other.performers.found);
    dice.shuffle(&mut other.consents.found);
    dice.shuffle(&mut other.basis.found);
    dice.shuffle(&mut other.preferences.found);
    dice.shuffle(&mut other.text.matched.found);
    other
}

const fn codes_of(facts: &mut Facts) -> [&mut Gathered<Coding>; 6] {
    [
        &mut facts.results,
        &mut facts.labels,
        &mut facts.orders,
        &mut facts.reasons,
        &mut facts.specialties,
        &mut facts.encounters,
    ]
}

/// One to three more pieces of evidence; what is lacking stays lacking.
pub fn with_more(facts: &Facts, dice: &mut Dice) -> Facts {
    let mut more = facts.clone();
    for _ in 0..=dice.below(3) {
        let at = || FactPath("added".to_owned());
        match dice.below(14) {
            0 => more.codes.push(coding(dice.pick(&FACT_CODES))),
            1 => more.categories.push(coding(dice.pick(&FACT_CATEGORIES))),
            2 | 3 => more.results.add(coding(dice.pick(&FACT_CODES)), at()),
            4 => more.labels.add(coding(dice.pick(&FACT_LABELS)), at()),
            5 => more.orders.add(coding(dice.pick(&FACT_CODES)), at()),
            6 => more.reasons.add(coding(dice.pick(&FACT_CODES)), at()),
            7 => more.performers.add(dice.pick(&PERFORMERS).to_owned(), at()),
            8 => more.specialties.add(coding(dice.pick(&SPECIALTIES)), at()),
            9 => more.encounters.add(coding(dice.pick(&FACT_ENCOUNTERS)), at()),
            10 => more.text.matched.add(pattern(dice.below(3)), at()),
            11 => more.basis.add(dice.pick(&Basis::ALL), at()),
            12 => more.preferences.add(dice.pick(&["phone_first", "paper"]).to_owned(), at()),
            _ => more.consents.add(dice.pick(&["occ", "study"]).to_owned(), at()),
        }
    }
    if more.critical == Flag::No && dice.chance(10) {
        more.critical = Flag::Yes;
    }
    more
}

/// Everything that was lacking is learnt: it was not there. Of an age or an address there is no such thing: not to be there is
/// to be something else.
pub fn with_nothing_more(facts: &Facts) -> Facts {
    let mut whole = facts.clone();
    for from in codes_of(&mut whole) {
        from.lacking.clear();
    }
    whole.performers.lacking.clear();
    whole.consents.lacking.clear();
    whole.basis.lacking.clear();
    whole.preferences.lacking.clear();
    whole.text.matched.lacking.clear();
    whole.text.tried = (0..3).map(pattern).collect();
    if whole.critical == Flag::Unknown {
        whole.critical = Flag::No;
    }
    whole
}

/// Everything that was lacking is learnt: some of it was there.
pub fn learnt(facts: &Facts, dice: &mut Dice) -> Facts {
    let mut whole = with_nothing_more(facts);
    for (from, before) in codes_of(&mut whole).into_iter().zip(codes_of(&mut facts.clone())) {
        if !before.is_whole() && dice.chance(60) {
            from.add(coding(dice.pick(&FACT_CODES)), FactPath("learnt".to_owned()));
            from.add(coding(dice.pick(&FACT_LABELS)), FactPath("learnt".to_owned()));
            from.add(coding(dice.pick(&SPECIALTIES)), FactPath("learnt".to_owned()));
            from.add(coding(dice.pick(&FACT_ENCOUNTERS)), FactPath("learnt".to_owned()));
        }
    }
    let at = || FactPath("learnt".to_owned());
    if !facts.performers.is_whole() {
        whole.performers.add(dice.pick(&PERFORMERS).to_owned(), at());
    }
    if !facts.consents.is_whole() {
        whole.consents.add("occ".to_owned(), at());
    }
    if !facts.basis.is_whole() {
        whole.basis.add(dice.pick(&Basis::ALL), at());
    }
    if !facts.preferences.is_whole() {
        whole.preferences.add("phone_first".to_owned(), at());
    }
    if !facts.contact.is_whole() {
        whole.contact = as_fact(dice.chance(60).then(|| standing(dice)));
    }
    for no in 0..3 {
        let is_open = !facts.text.matched.is_whole() || !facts.text.tried.contains(&pattern(no));
        if is_open && dice.chance(50) {
            whole.text.matched.add(pattern(no), at());
        }
    }
    if facts.critical == Flag::Unknown && dice.chance(50) {
        whole.critical = Flag::Yes;
    }
    let years = match facts.age {
        Age::Unknown => dice.pick(&[5, 15, 40]),
        Age::Years { least, most } => dice.pick(&[least, most]),
    };
    whole.age = Age::Years { least: years, most: years };
    whole
}
