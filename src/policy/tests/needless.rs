//! A row of which the linter says that a law leaves it nothing to do may be taken out, and no report is decided otherwise.

use proptest::prelude::*;

use super::generate::{Dice, facts};
use super::*;
use crate::base::cases::cases;
use crate::policy::cases::action_of;
use crate::policy::decision::Decision;
use crate::policy::errors::Code;
use crate::policy::lint::lint;
use crate::policy::rules::SideFiles;

/// Each reads whole files.
const CASES_OF_FILES: u32 = 600;
const REPORTS: usize = 20;

const HEAD: &str = "[policy]\nid = \"test\"\nversion = \"1\"\ntimezone = \"America/Los_Angeles\"\nlaws = [\"us-ca\"]\n";
const ROLES: [&str; 4] = ["\"patient\"", "\"proxy\"", "[\"patient\", \"proxy\"]", "\"third_party\""];

fn when(dice: &mut Dice) -> String {
    let mut when = vec![format!("recipient = {}", dice.pick(&ROLES))];
    if dice.chance(60) {
        when.push(format!("age = {}", dice.pick(&["\"12..18\"", "\"13..16\"", "\"11..18\"", "\"18..\""])));
    }
    let evidence =
        ["set = \"HIV\"", "set = [\"HIV\", \"STD\"]", "set = \"GDIS\"", "any = { set = \"HIV\", label = \"HIV\" }"];
    when.push(dice.pick(&evidence).to_owned());
    when.join(", ")
}

fn row(dice: &mut Dice) -> String {
    let (when, is_profile) = (when(dice), dice.chance(40));
    let then: &[&str] = if is_profile {
        &["action = \"send\"", "action = \"send\", opens = 2", "action = \"manual_review\"", "action = \"block\""]
    } else {
        &[
            "requires = \"discussed\"",
            "opens = 2",
            "action = \"block\"",
            "requires = \"discussed\", auto_release = \"5d\"",
        ]
    };
    let then = dice.pick(then);
    let kind = if is_profile { "profile" } else { "restrict" };
    format!("[[{kind}]]\nid = \"drawn\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
}

/// What is done and under which terms; what is blocked has none.
fn outcome(rules: &RuleSet, facts: &Facts) -> String {
    let decided = decide(rules, facts, AT);
    let terms = match &decided.decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => Some(terms.clone()),
        Decision::Review { terms: None, .. } | Decision::Block { .. } => None,
    };
    format!("{:?} {terms:?}", action_of(&decided.decision))
}

proptest! {
    #![proptest_config(cases(CASES_OF_FILES))]

    #[test]
    fn what_a_law_makes_needless_may_be_taken_out(seed in any::<u64>()) {
        let mut dice = Dice::of(seed);
        let beside = profile("beside", "", "recipient = [\"patient\", \"proxy\"], code = \"loinc|58410-2\"", "action = \"send\"");
        let without = format!("{HEAD}{beside}");
        let with = format!("{without}{}", row(&mut dice));
        let needless = lint(&with, &SideFiles::new(), NOW).faults.into_iter().any(|fault| {
            matches!(fault.code, Code::Unreachable | Code::Dominated) && fault.what.contains("us-ca/")
        });
        if !needless {
            return Ok(());
        }
        let (with_row, without_row) = (RuleSet::parse(&with).unwrap(), RuleSet::parse(&without).unwrap());
        for _ in 0..REPORTS {
            let facts = facts(&mut dice);
            prop_assert_eq!(outcome(&with_row, &facts), outcome(&without_row, &facts), "{}\n{:#?}", with, facts);
        }
    }
}

/// The property above would hold if nothing were ever called needless.
#[test]
fn among_the_drawn_rows_many_are_needless_and_many_are_not() {
    let is_needless = |seed| {
        let text = format!("{HEAD}{}", row(&mut Dice::of(seed)));
        lint(&text, &SideFiles::new(), NOW).faults.iter().any(|fault| fault.what.contains("us-ca/"))
    };
    let needless = (0..200).filter(|seed| is_needless(*seed)).count();
    assert!((20..180).contains(&needless), "{needless}");
}
