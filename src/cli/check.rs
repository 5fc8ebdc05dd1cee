//! `chartseal check`

use anyhow::Context as _;

use super::messages::telling_addresses;
use super::print::{self, Print, count};
use super::{Outcome, ground};
use crate::app::start::{Ground, LOST_KEYS_REMEDY};
use crate::app::{rules_files, steps};
use crate::base::{DeliveryId, random};
use crate::blobs::BlobStore;
use crate::config::Config;
use crate::policy::RuleSet;
use crate::store::Store;

/// Everything that a start would refuse, told without starting.
pub(super) async fn check(config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let rules = rules_files::read_rules(config)?;
    Store::migrate(&crate::app::start::store_url(&config.store)?).context("the database cannot be used")?;
    let ground = ground(config).await?;
    steps::Steps::wire(config, &ground)?;
    ground.store.write(|_| Ok(())).await.context("the database cannot be written")?;
    let mut rng = random::system();
    ground.vault.ring().try_writing(&mut rng).context("keys cannot be made")?;
    BlobStore::open(&config.blobs)?.try_writing(&mut rng).context("no sealed file can be made")?;
    let mode = steps::mode_of(config).as_str();
    let lacking = match (config.clinics.is_empty(), config.ehrs.is_empty()) {
        (false, false) => "",
        (true, false) => "\nWithout a [[clinic]] nothing can be sent: every report goes to review.",
        (false, true) => "\nWithout an [[ehr]] no report is heard.",
        (true, true) => "\nWithout a [[clinic]] and an [[ehr]] nothing is heard and nothing sent.",
    };
    let people = ground.store.read(crate::store::operators).await?;
    let (in_force, versions) = against_versions(&ground, &rules).await?;
    let unproven = if people.is_empty() {
        "\nNobody has a key yet: whoever runs a command may act under any name (`chartseal staff add`)."
    } else {
        ""
    };
    let (reads, unread) = print::reading(config.reader.prove().await);
    let (scans, scanned) = print::scanning(config.malware.prove().await);
    let telling = telling_addresses(config, &rules);
    let told: Vec<String> = telling.iter().map(|one| format!("\nLook at {}: {}.", one.key, one.remark())).collect();
    let told = told.concat();
    let text = format!(
        "Configuration, rules '{}' {} ({}), keys and database can be used. Mode: {mode}. Clinics: {}. EHRs: {}.{lacking}{unproven}{unread}{scanned}{told}{versions}",
        rules.id(),
        rules.version(),
        count(rules.profiles().len(), "profile"),
        config.clinics.len(),
        config.ehrs.len()
    );
    let lost = ground.lost_deliveries().await?;
    let value = serde_json::json!({
        "mode": mode, "lost": lost,
        "rules": {"id": rules.id(), "version": rules.version(), "hash": rules.rules_hash_hex()},
        "clinics": config.clinics.len(), "ehrs": config.ehrs.len(),
        "rules_in_force": in_force, "documents_read_apart": reads, "malware_scanner": scans,
        "telling_addresses": telling.iter().map(|one| &one.key).collect::<Vec<_>>(),
        "people": people.iter().filter(|person| person.ended_at.is_none()).count(),
    });
    if lost.is_empty() {
        print.done(&text, &value);
        return Ok(Outcome::Done);
    }
    let ids: Vec<&str> = lost.iter().map(DeliveryId::as_str).collect();
    let (links, ids) = (count(ids.len(), "live link"), ids.join("\n"));
    let told = format!("But epoch keys are missing, so nobody can open {links}: {LOST_KEYS_REMEDY}:\n{ids}");
    print.done(&format!("{text}\n{told}"), &value);
    Ok(Outcome::No)
}

/// The version in force, if one is, and what the rules file is to it.
async fn against_versions(ground: &Ground, file: &RuleSet) -> anyhow::Result<(Option<String>, String)> {
    let now = ground.clock.now();
    let in_force = ground.store.read(move |conn| crate::store::rules_in_force(conn, now)).await?.map(|row| row.hash);
    let told = match &in_force {
        Some(hash) if *hash == file.rules_hash_hex() => {
            format!("\nThe version {hash} of the rules is in force; the file says the same.")
        }
        Some(hash) => format!(
            "\nThe version {hash} of the rules is in force, and the file counts for nothing: propose it with `chartseal \
             rules propose`."
        ),
        None => String::new(),
    };
    Ok((in_force, told))
}
