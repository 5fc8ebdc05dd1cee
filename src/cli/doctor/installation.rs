//! What stands on this side: database, keys, files, clocks, relay, the patients' address.

use std::time::SystemTime;

use crate::app::start::Ground;
use crate::app::steps::relay_of;
use crate::base::clock::SKEW_MAX;
use crate::base::{UtcMillis, random};
use crate::blobs::BlobStore;
use crate::config::{Clinic, Config, Mode};
use crate::intake::{Finding, patient_address};
use crate::store;

const DATABASE: &str = "database";
const KEYS: &str = "keys";
const FILES: &str = "sealed files";
const CLOCK: &str = "clock";
const RELAY: &str = "relay";
const ZONE: &str = "time zone";
const EHRS: &str = "EHRs";

/// The ground cannot be stood on, so nothing further was looked at.
pub(super) fn unopened(error: &anyhow::Error) -> Finding {
    Finding::fails(
        "database and keys",
        format!("they cannot be used, and nothing else was looked at: {error:#}"),
        "mend that, see that `chartseal check` is content, and run this again",
    )
}

pub(super) async fn look(config: &Config, ground: &Ground) -> Vec<Finding> {
    let mut found = vec![database(ground).await, keys(ground), files(config), clock(ground).await, relay(config).await];
    found.push(patient_address(&config.server.patient_url, ground.clock.now()).await);
    found.extend(config.clinics.iter().map(|clinic| zone(clinic, ground.clock.now())));
    if config.ehrs.is_empty() {
        found.push(Finding::fails(EHRS, "none is configured: no report is heard", "write one with `chartseal setup`"));
    }
    found
}

async fn database(ground: &Ground) -> Finding {
    let (replica, at) = (ground.replica.as_str().to_owned(), ground.clock.now());
    match ground.store.write(move |tx| store::beat(tx, &replica, at)).await {
        Ok(()) => Finding::works(DATABASE, "it can be read and written"),
        Err(error) => Finding::fails(
            DATABASE,
            format!("it can be read and not written: {error}"),
            "see whether its disk is full, or whether it is a standby",
        ),
    }
}

fn keys(ground: &Ground) -> Finding {
    match ground.vault.ring().try_writing(&mut random::system()) {
        Ok(()) => Finding::works(KEYS, "keys can be made in [keys] dir"),
        Err(error) => Finding::fails(
            KEYS,
            format!("keys cannot be made: {error}"),
            "let the service's user write to [keys] dir, and see whether its disk is full",
        ),
    }
}

fn files(config: &Config) -> Finding {
    match BlobStore::open(&config.blobs).and_then(|blobs| blobs.try_writing(&mut random::system())) {
        Ok(()) => Finding::works(FILES, "sealed files can be made in [blobs] url"),
        Err(error) => Finding::fails(
            FILES,
            format!("no sealed file can be made: {error}"),
            "let the service's user write to the folder in [blobs] url, and see whether its disk is full",
        ),
    }
}

/// This machine's clock against the database's, by which everything is decided.
async fn clock(ground: &Ground) -> Finding {
    let machine = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let before = machine();
    let now = match ground.store.now().await {
        Ok(now) => now,
        Err(error) => {
            return Finding::fails(
                CLOCK,
                format!("the database's time cannot be read: {error}"),
                "see to the database",
            );
        }
    };
    let between = i64::try_from(u128::midpoint(before, machine())).unwrap_or(i64::MAX);
    let off_ms = now.0.abs_diff(between);
    if u128::from(off_ms) < SKEW_MAX.as_millis() {
        Finding::works(CLOCK, "this machine's clock and the database's agree")
    } else {
        let says = format!("this machine's clock and the database's are {} s apart", off_ms / 1000);
        Finding::fails(CLOCK, says, "have both machines follow a time server")
    }
}

pub(super) async fn relay(config: &Config) -> Finding {
    match relay_of(config) {
        Ok(None) => match config.mode {
            Mode::Shadow => Finding::note(RELAY, "none is configured, and in shadow mode none is needed"),
            Mode::Live if config.sms.is_some() => Finding::note(RELAY, "none is configured: every message is a text"),
            Mode::Live => Finding::fails(RELAY, "none is configured", "write a [mail] section"),
        },
        Ok(Some(relay)) => match relay.reach().await {
            Ok(()) => Finding::works(
                RELAY,
                "it takes a connection, and what [mail] says of TLS and login; no message was sent",
            ),
            Err(why) => Finding::told(RELAY, &why.to_string(), "compare [mail] with what the relay's operator says"),
        },
        Err(error) => Finding::fails(RELAY, format!("{error:#}"), "mend [mail]"),
    }
}

/// The time there, so that a wrong zone is seen.
fn zone(clinic: &Clinic, now: UtcMillis) -> Finding {
    let there = now.to_datetime().with_timezone(&clinic.timezone);
    let says = format!(
        "at the clinic '{}' ({}) it is {} now",
        clinic.id,
        clinic.timezone.name(),
        there.format("%a %d %b %H:%M, UTC%:z")
    );
    Finding::works(ZONE, says)
}
