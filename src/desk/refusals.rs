//! Why a change of the rules is refused, in words for the person who asked.

use std::fmt::Write as _;

/// Why a change of the rules is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionRefusal {
    #[error("there is no version '{asked}'; `chartseal rules versions` shows them")]
    Unknown { asked: String },
    #[error("several versions begin with '{asked}'; type more of the hash")]
    Ambiguous { asked: String },
    #[error("these very rules are there already as {hash}, {state}, proposed by {author}")]
    AlreadyThere { hash: String, state: &'static str, author: String },
    #[error("nobody approves the rules that they wrote: another person has to read and approve them")]
    Own,
    #[error("version {hash} is {state}; only a draft can be approved")]
    NotADraft { hash: String, state: &'static str },
    #[error("these rules have faults and are not taken:{}", listed(faults))]
    Faulty { faults: Vec<String> },
    #[error("these tests of the rules fail, so they are not approved:{}", listed(tests))]
    TestsFail { tests: Vec<String> },
    #[error(
        "these rules are looser than those in force in {} places; read each of them, and repeat the number with \
         --accept-looser {} if you mean it, so that nobody approves what they did not see:{}",
        loosenings.len(), loosenings.len(), listed(loosenings)
    )]
    Looser { loosenings: Vec<String> },
    #[error(
        "an emergency may only make the rules tighter; these are looser, so a second person has to approve them:{}",
        listed(loosenings)
    )]
    LooserInEmergency { loosenings: Vec<String> },
    #[error(
        "version {hash} is or was in force, and decisions name it; go back to another with `chartseal rules rollback`"
    )]
    WasInForce { hash: String },
    #[error("version {hash} was withdrawn before")]
    Withdrawn { hash: String },
    #[error("version {hash} was never in force; it has to be approved first")]
    NeverInForce { hash: String },
    #[error("version {hash} is in force already")]
    InForce { hash: String },
    #[error("no other version was in force before")]
    NothingBefore,
    #[error("the rules in force decide nothing looser about '{asked}'; `chartseal rules looser` lists what they would")]
    NothingLooser { asked: String },
    #[error("the rules were changed by somebody else at this moment; look again, and repeat it")]
    Overtaken,
}

fn listed(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n  {line}");
        text
    })
}
