//! `chartseal ehrs write-backs`: what an EHR is told of deliveries.

use clap::Args;

use super::print::{Print, count, table};
use super::{Acts, Outcome};
use crate::base::EhrId;
use crate::config::Config;
use crate::desk::{Desk, DeskError, Duty, HeardTold, Person, TOLD_LIST_MAX, ToldAsked, ToldEntry};

const HEAD: [&str; 6] = ["delivery", "resource", "tells of", "state", "again at", "note"];

#[derive(Args)]
pub(super) struct WriteBacksArgs {
    /// The EHR as the configuration names it.
    ehr: EhrId,
    /// Also what was written, and Tasks that were ended.
    #[arg(long)]
    all: bool,
    /// Have everything tried once more that failed or was skipped.
    #[arg(long, conflicts_with = "all")]
    again: bool,
}

impl WriteBacksArgs {
    pub(super) const fn acts(&self) -> Acts {
        if self.again { Acts::Changes } else { Acts::Looks }
    }
}

pub(super) async fn run(
    args: &WriteBacksArgs,
    config: &Config,
    desk: &Desk,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    let ehr = &args.ehr;
    anyhow::ensure!(
        config.ehrs.iter().any(|one| one.id == *ehr),
        "no EHR '{ehr}' is configured; `chartseal ehrs list` shows them"
    );
    if args.again {
        by.may(Duty::Deliveries).map_err(DeskError::from)?;
        let again = desk.tell_again(ehr).await?;
        let value = serde_json::json!({"ehr": ehr.as_str(), "again": again});
        if again == 0 {
            print.done("Nothing of it failed or was skipped.", &value);
            return Ok(Outcome::No);
        }
        print.done(&format!("The service tries {} once more.", count(again, "write-back")), &value);
        return Ok(Outcome::Done);
    }
    let asked = if args.all { ToldAsked::Everything } else { ToldAsked::Unfinished };
    let entries = desk.told(ehr, asked).await?;
    print.done(&listed(&entries, asked), &entries);
    Ok(Outcome::Done)
}

fn listed(entries: &[ToldEntry], asked: ToldAsked) -> String {
    if entries.is_empty() {
        return match asked {
            ToldAsked::Unfinished => {
                "Nothing waits, nothing failed, and no Task stands open. What was written: `--all`.".to_owned()
            }
            ToldAsked::Everything => "The EHR was told nothing so far.".to_owned(),
        };
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|one| {
            vec![
                one.delivery.clone(),
                one.resource.to_owned(),
                one.fact.to_owned(),
                one.state.to_owned(),
                or_dash(&one.again_at),
                one.why.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let more = if i64::try_from(entries.len()).unwrap_or(i64::MAX) >= TOLD_LIST_MAX {
        format!("\nThe oldest {TOLD_LIST_MAX}; there may be more.")
    } else {
        String::new()
    };
    format!("{}{more}", table(&HEAD, &rows))
}

/// For the list of EHRs.
pub(super) fn in_words(told: &HeardTold) -> String {
    let what = if told.tells.is_empty() { "nothing any more".to_owned() } else { told.tells.join(", ") };
    let mut said = vec![format!("it is told {what}")];
    for (number, word) in
        [(told.waiting, "to be written"), (told.failed, "could not be written"), (told.skipped, "skipped")]
    {
        if number > 0 {
            said.push(format!("{number} {word}"));
        }
    }
    if told.open_tasks > 0 {
        said.push(format!("{} open there", count(told.open_tasks, "Task")));
    }
    said.extend(told.why.clone());
    said.join("; ")
}
