//! `chartseal doctor channels`, of texts: the gateway, as whom they come, who hears what becomes of them, and a trial.
//!
//! Must stay true: nothing is sent without `--text-to`, and to nobody else.

use std::collections::BTreeSet;

use crate::app::start::Ground;
use crate::app::steps::texts_of;
use crate::base::{PhoneNumber, Region};
use crate::config::{Clinic, Config, SmsFrom, SmsGateway};
use crate::fhir::Knock;
use crate::intake::{Finding, text_address};
use crate::notify::text::{CallsBy, Plus, SenderShape, TextOutcome, TextReach};
use crate::outbox::Texts;

const GATEWAY: &str = "text gateway";
const SENDER: &str = "text sender";
const STOP: &str = "STOP";
const TRIAL: &str = "trial text";

/// What works of texts; nothing where none are configured.
pub(super) async fn look(config: &Config, ground: &Ground) -> anyhow::Result<Vec<Finding>> {
    let (Some(sms), Some(texts)) = (&config.sms, texts_of(config)?) else { return Ok(Vec::new()) };
    let mut found = vec![gateway(&texts, &sms.gateway).await];
    found.extend(senders(&sms.gateway, &config.clinics));
    found.extend(stop(&sms.gateway));
    let knock = match texts.texter.calls_by() {
        CallsBy::Get => Knock::Get,
        CallsBy::Post => Knock::Post,
    };
    found.push(text_address(&texts.foreign_address(), knock, ground.clock.now()).await);
    Ok(found)
}

/// Sends the trial.
pub(super) async fn send(
    to: &PhoneNumber,
    clinic: &Clinic,
    config: &Config,
    ground: &Ground,
) -> anyhow::Result<Finding> {
    let (Some(texts), Some(name)) = (texts_of(config)?, &clinic.text_name) else {
        anyhow::bail!("no texts are sent here: there is no [sms] section")
    };
    let sent = texts.send_trial(&ground.vault, (to, name), &config.server.patient_url, ground.clock.now()).await;
    let by_gateway = "compare [sms] with what the gateway's operator says";
    Ok(match sent? {
        TextOutcome::Accepted => Finding::works(TRIAL, "the gateway took it; nothing is known yet of what comes after")
            .with("look whether it arrives, in one piece, from the sender that you expect, with a link that can be pressed"),
        TextOutcome::Withheld => Finding::fails(
            TRIAL,
            "this installation may not write to that number",
            "name it in [sms] only_to, or take that key away",
        ),
        TextOutcome::Transient { why } | TextOutcome::Misconfigured { why } => {
            Finding::fails(TRIAL, why.to_string(), by_gateway)
        }
        TextOutcome::Permanent { why } => Finding::fails(
            TRIAL,
            why.to_string(),
            "see whether the number is right and takes texts, and whether the gateway lets this sender through",
        ),
        TextOutcome::Ambiguous { why } => {
            Finding::note(TRIAL, format!("it may have been sent: {why}")).with("look whether it arrives")
        }
    })
}

async fn gateway(texts: &Texts, kind: &SmsGateway) -> Finding {
    let (key, remedy) = match kind {
        SmsGateway::Twilio { .. } => {
            ("account", "compare [sms] base_url, account and token with the gateway's console")
        }
        SmsGateway::Kannel { .. } => {
            ("user", "compare [sms] url, user and password with the group sendsms-user of Kannel")
        }
        SmsGateway::Webhook { .. } => {
            ("url", "compare [sms] url with where the gateway listens, and see whether it runs")
        }
    };
    match texts.texter.reach().await {
        TextReach::SignedIn => {
            Finding::works(GATEWAY, format!("it answers, and knows [sms] {key} and its password; no text was sent"))
        }
        TextReach::Answers { status } => Finding::note(
            GATEWAY,
            format!("somebody answers at [sms] url (status {status}); nothing more can be asked"),
        )
        .with("send a trial with --text-to: whether it believes our signature, only a text shows"),
        TextReach::Fails { why } => Finding::fails(GATEWAY, why.to_string(), remedy),
    }
}

/// As whom texts come, by each country that has a clinic.
fn senders(kind: &SmsGateway, clinics: &[Clinic]) -> Vec<Finding> {
    let (sender, plus) = match kind {
        SmsGateway::Twilio { from: SmsFrom::Sender(from), .. } => (from, Plus::Needed),
        SmsGateway::Kannel { from, .. } => (from, Plus::MayLack),
        SmsGateway::Twilio { from: SmsFrom::Service(_), .. } => {
            return vec![
                Finding::note(SENDER, "the messaging service chooses as whom texts come")
                    .with("see that it has a number which patients can answer, or nobody can say STOP"),
            ];
        }
        SmsGateway::Webhook { .. } => {
            return vec![
                Finding::note(SENDER, "whoever takes our calls chooses as whom texts come")
                    .with("have them use a number which patients can answer, and post the answers to /sms/incoming"),
            ];
        }
    };
    let mut seen = BTreeSet::new();
    let regions: Vec<Option<Region>> = clinics
        .iter()
        .map(|clinic| clinic.region)
        .filter(|region| seen.insert(region.map(|region| region.as_str().to_owned())))
        .collect();
    regions.into_iter().map(|region| of_sender(sender, plus, region)).collect()
}

fn of_sender(sender: &str, plus: Plus, region: Option<Region>) -> Finding {
    let there = region.map_or_else(String::new, |region| format!(" in {}", region.as_str()));
    let take_a_number =
        "take a number of that country which the gateway rents out, and register it there for texts to patients";
    match SenderShape::of(sender, plus, region) {
        SenderShape::Number => Finding::works(SENDER, format!("{sender} is a number at home{there}")),
        SenderShape::NumberAbroad => {
            Finding::note(SENDER, format!("{sender} is a number of another country than patients{there} have"))
                .with("networks often replace or refuse senders from abroad: take a number of that country, or try it")
        }
        SenderShape::ShortCode => Finding::note(SENDER, format!("{sender} is a short code, which one country has"))
            .with("see that it is rented for the country of your patients"),
        SenderShape::Name => Finding::note(
            SENDER,
            format!("'{sender}' is a name: nobody can answer it, so nobody can say STOP to it"),
        )
        .with("tell patients how else they get no more texts, or take a number; some countries want names registered"),
        SenderShape::NameInNamelessCountry => {
            Finding::fails(SENDER, format!("'{sender}' is a name, and networks{there} take none"), take_a_number)
        }
        SenderShape::NameTooLong => Finding::fails(
            SENDER,
            format!("'{sender}' is longer than the 11 letters that a name may have"),
            "write a shorter one, or a number",
        ),
        SenderShape::NumberWithoutPlus => Finding::fails(
            SENDER,
            format!("{sender} lacks the + and the country with which this gateway knows numbers"),
            "write it as +12025550123",
        ),
        SenderShape::Neither => Finding::fails(
            SENDER,
            format!("'{sender}' is neither a whole number (E.164) nor a name"),
            "write a number as +12025550123, without blanks and dashes; or a name of up to 11 letters",
        ),
    }
}

/// Kannel brings what people write back only where it was given an address for that.
fn stop(kind: &SmsGateway) -> Option<Finding> {
    match kind {
        SmsGateway::Kannel { incoming_token: None, .. } => Some(
            Finding::note(STOP, "nobody hears what people write back: who says STOP gets more texts")
                .with("write [sms] incoming_token_file, and name the address in Kannel's group sms-service"),
        ),
        SmsGateway::Kannel { incoming_token: Some(_), .. } | SmsGateway::Twilio { .. } | SmsGateway::Webhook { .. } => {
            None
        }
    }
}
