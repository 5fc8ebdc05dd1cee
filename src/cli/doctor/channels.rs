//! `chartseal doctor channels`: whether messages reach patients as they are meant to.
//!
//! Must stay true: nothing is sent without `--to` or `--text-to`; nobody but who is named there is written to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgGroup, Args};

use super::installation::{relay, unopened};
use super::{Report, tell, texts};
use crate::app::start::Ground;
use crate::app::steps::mailer_of;
use crate::base::{ClinicId, EmailAddress, NoticeId, PhoneNumber, UtcMillis, random};
use crate::cli::print::Print;
use crate::cli::{Acts, Common, Outcome, acting};
use crate::config::{Clinic, Config};
use crate::desk::{DeskError, Duty};
use crate::intake::{Finding, patient_address};
use crate::notify::domain::{
    Asked, DkimKey, Dmarc, DnsFault, NameServer, Others, SPF_LOOKUPS_MAX, Spf, dkim_key, dmarc, spf,
};
use crate::notify::{Arrived, Check, DisplayName, LinkThere, SendOutcome, Signed, Trial};

const TRIAL: &str = "trial";
const ARRIVED: &str = "as it arrived";
const DNS_PORT: u16 = 53;
/// Longest message that is read, in bytes.
const RECEIVED_BYTES_MAX: u64 = 10 * 1024 * 1024;

#[derive(Args)]
#[command(group = ArgGroup::new("trial").args(["to", "text_to"]).multiple(true))]
pub(in crate::cli) struct ChannelsArgs {
    /// Send a trial message, about nobody, to this address of a colleague outside: at a provider as patients have one.
    #[arg(long, value_name = "ADDRESS", value_parser = |text: &str| EmailAddress::parse(text))]
    to: Option<EmailAddress>,
    /// Send a trial text, about nobody, to this number of a colleague, written as +12025550123.
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| PhoneNumber::parse(text, None))]
    text_to: Option<PhoneNumber>,
    /// The clinic whose trial it is. Default: the first.
    #[arg(long, value_name = "ID", requires = "trial", value_parser = |text: &str| ClinicId::parse(text))]
    clinic: Option<ClinicId>,
    /// The trial message as it arrived there, with all its headers.
    #[arg(long, value_name = "FILE", conflicts_with = "trial")]
    received: Option<PathBuf>,
    /// The selector that the relay signs with (DKIM); its operator knows it.
    #[arg(long, value_name = "NAME", value_parser = is_label)]
    dkim_selector: Option<String>,
    /// Ask this name server, such as one outside the clinic: `IP` or `IP:PORT`. Default: this machine's.
    #[arg(long, value_name = "ADDRESS", value_parser = name_server)]
    nameserver: Option<SocketAddr>,
}

pub(in crate::cli) async fn run(
    args: ChannelsArgs,
    common: &Common,
    variables: Vec<(String, String)>,
    config: &Config,
    print: Print,
) -> anyhow::Result<Outcome> {
    if let Some(file) = &args.received {
        let found = received(file, config)?;
        return Ok(tell(&Report::new(found, Vec::new()), print));
    }
    let sends = args.to.is_some() || args.text_to.is_some();
    let acts = if sends { Acts::Changes } else { Acts::Looks };
    let (ground, by) = match acting(common, variables, config, acts).await {
        Ok(acting) => acting,
        Err(error) if error.downcast_ref::<DeskError>().is_some() => return Err(error),
        Err(error) => return Ok(tell(&Report::new(vec![unopened(&error)], Vec::new()), print)),
    };
    let now = ground.clock.now();
    let mut found = vec![relay(config).await, patient_address(&config.server.patient_url, now).await];
    found.extend(domains(&args, config).await);
    found.extend(texts::look(config, &ground).await?);
    if sends {
        by.may(Duty::Deliveries).map_err(DeskError::from)?;
    } else {
        let says = "no message was sent";
        let remedy = match &config.sms {
            Some(_) => "send one with --to and a text with --text-to; read the message again with --received",
            None => "send one with --to, and read it again with --received",
        };
        found.push(Finding::note(TRIAL, says).with(remedy));
    }
    if let Some(to) = &args.to {
        found.push(send(to, clinic_of(&args, config)?, config, &ground).await?);
    }
    if let Some(to) = &args.text_to {
        found.push(texts::send(to, clinic_of(&args, config)?, config, &ground).await?);
    }
    Ok(tell(&Report::new(found, Vec::new()), print))
}

/// Every domain that a clinic writes from.
async fn domains(args: &ChannelsArgs, config: &Config) -> Vec<Finding> {
    let domains: BTreeSet<&str> = config.clinics.iter().map(|clinic| clinic.from.domain()).collect();
    let asked = args.nameserver.map_or(Asked::System, Asked::This);
    let server = match NameServer::new(asked) {
        Ok(server) => server,
        Err(fault) => return vec![unasked("DNS", fault)],
    };
    let mut found = Vec::new();
    for domain in domains {
        found.push(spf_of(&server, domain).await);
        found.push(dkim_of(&server, domain, args.dkim_selector.as_deref()).await);
        found.push(dmarc_of(&server, domain).await);
    }
    found
}

async fn spf_of(server: &NameServer, domain: &str) -> Finding {
    const WHAT: &str = "SPF";
    let texts = match server.texts(domain).await {
        Ok(texts) => texts,
        Err(fault) => return unasked(WHAT, fault),
    };
    let name_relay = "name the relay there as its operator says (\"include:...\"), and end it with -all";
    match spf(&texts) {
        Spf::None => Finding::fails(
            WHAT,
            format!("{domain} says nothing of who may send for it"),
            format!("add one TXT record \"v=spf1 ... -all\" to {domain}: {name_relay}"),
        ),
        Spf::Several => Finding::fails(
            WHAT,
            format!("{domain} has several SPF records, so receivers heed none"),
            "make one of them",
        ),
        Spf::One { lookups, .. } if lookups > SPF_LOOKUPS_MAX => Finding::fails(
            WHAT,
            format!("{domain} costs receivers {lookups} questions; after {SPF_LOOKUPS_MAX} they give up"),
            "write addresses instead of names there, or leave senders out that are no longer used",
        ),
        Spf::One { others: Others::May, .. } => {
            Finding::fails(WHAT, format!("{domain} lets anybody send for it (+all)"), "end the record with -all")
        }
        Spf::One { others: Others::NothingSaid, .. } => {
            Finding::note(WHAT, format!("{domain} says nothing of other senders")).with("end the record with -all")
        }
        Spf::One { others: Others::MayNot | Others::SaidElsewhere, .. } => {
            Finding::works(WHAT, format!("{domain} has one record; whether it names your relay, the trial shows"))
        }
    }
}

async fn dkim_of(server: &NameServer, domain: &str, selector: Option<&str>) -> Finding {
    const WHAT: &str = "DKIM";
    let Some(selector) = selector else {
        return Finding::note(WHAT, format!("the key for {domain} was not looked at: a selector is needed"))
            .with("ask the relay's operator which one it signs with, and name it with --dkim-selector");
    };
    let name = format!("{selector}._domainkey.{domain}");
    let texts = match server.texts(&name).await {
        Ok(texts) => texts,
        Err(fault) => return unasked(WHAT, fault),
    };
    let as_given = "copy the record that the relay's operator gives out, in one piece";
    match dkim_key(&texts) {
        DkimKey::Good => Finding::works(WHAT, format!("{name} holds a key")),
        DkimKey::None => Finding::fails(WHAT, format!("there is no key at {name}"), as_given),
        DkimKey::Several => Finding::fails(WHAT, format!("there are several keys at {name}"), "leave one"),
        DkimKey::Unreadable => Finding::fails(WHAT, format!("the key at {name} cannot be read"), as_given),
        DkimKey::Withdrawn => Finding::fails(
            WHAT,
            format!("the key at {name} is withdrawn: no signature by it counts"),
            "have the relay sign with another selector",
        ),
        DkimKey::Short => Finding::fails(
            WHAT,
            format!("the key at {name} has fewer than 2048 bits, which some receivers refuse"),
            "have the relay's operator make one of 2048 bits",
        ),
    }
}

async fn dmarc_of(server: &NameServer, domain: &str) -> Finding {
    const WHAT: &str = "DMARC";
    // A domain without a record of its own has that of the domain above it.
    let above = domain.split_once('.').map(|(_, above)| above).filter(|above| above.contains('.'));
    let mut last = Dmarc::None;
    for name in [Some(domain), above].into_iter().flatten() {
        match server.texts(&format!("_dmarc.{name}")).await {
            Ok(texts) => last = dmarc(&texts),
            Err(fault) => return unasked(WHAT, fault),
        }
        if last != Dmarc::None {
            break;
        }
    }
    match last {
        Dmarc::Guards => {
            Finding::works(WHAT, format!("receivers refuse or set aside what only claims to be from {domain}"))
        }
        Dmarc::Watches => Finding::note(WHAT, format!("anybody may still write as {domain}: its policy is \"none\""))
            .with("when its reports show that all of yours passes, change it to p=quarantine, then p=reject"),
        Dmarc::None => Finding::fails(
            WHAT,
            format!("{domain} has none: large providers refuse or hide mail without it, and anybody may write as it"),
            format!("add the TXT record _dmarc.{domain} \"v=DMARC1; p=none; rua=mailto:...\" first"),
        ),
        Dmarc::Several => Finding::fails(WHAT, format!("{domain} has several, so receivers heed none"), "leave one"),
        Dmarc::Unreadable => Finding::fails(
            WHAT,
            format!("that of {domain} cannot be read"),
            "write \"v=DMARC1; p=none\" at its beginning",
        ),
    }
}

fn unasked(what: &'static str, fault: DnsFault) -> Finding {
    let remedy =
        "see to this machine's name servers, or name another with --nameserver; the world may hear it all the same";
    Finding::note(what, format!("it was not looked at: {fault}")).with(remedy)
}

fn clinic_of<'a>(args: &ChannelsArgs, config: &'a Config) -> anyhow::Result<&'a Clinic> {
    let is_it = |one: &&Clinic| args.clinic.as_ref().is_none_or(|wanted| *wanted == one.id);
    let found = config.clinics.iter().find(is_it);
    found.context("no such clinic is configured: messages come from one of the [[clinic]] sections")
}

async fn send(to: &EmailAddress, clinic: &Clinic, config: &Config, ground: &Ground) -> anyhow::Result<Finding> {
    let trial = Trial {
        id: NoticeId::random(&mut random::system()),
        clinic: DisplayName::parse(&clinic.name)?,
        from: clinic.from.clone(),
        to: to.clone(),
        patient_url: config.server.patient_url.clone(),
        date: trial_date(ground.clock.now()),
    };
    let outcome = mailer_of(config)?.send(&trial.compose()?).await;
    let as_relay_says = "compare [mail] with what the relay's operator says";
    Ok(match outcome {
        SendOutcome::Accepted { .. } => {
            Finding::works(TRIAL, "the relay took it; nothing is known yet of what comes after")
                .with("save it as it arrives, with all its headers, and read it again with --received FILE")
        }
        SendOutcome::Withheld => Finding::fails(
            TRIAL,
            "this installation may not write to that address",
            "name it in [mail] only_to, or take that key away",
        ),
        SendOutcome::Transient { why } | SendOutcome::Misconfigured { why } => {
            Finding::told(TRIAL, &why.to_string(), as_relay_says)
        }
        SendOutcome::Permanent { why } => Finding::told(
            TRIAL,
            &why.to_string(),
            "see whether the address is right, and whether the relay lets this sender through",
        ),
        SendOutcome::Ambiguous { why } => {
            Finding::note(TRIAL, format!("it may have been sent: {why}")).with("look whether it arrives")
        }
    })
}

/// Messages name whole seconds.
const fn trial_date(now: UtcMillis) -> UtcMillis {
    UtcMillis(now.0 - now.0.rem_euclid(1_000))
}

/// What became of a trial that came back.
fn received(file: &std::path::Path, config: &Config) -> anyhow::Result<Vec<Finding>> {
    let unread = || format!("{} cannot be read", file.display());
    let size = std::fs::metadata(file).with_context(unread)?.len();
    anyhow::ensure!(size <= RECEIVED_BYTES_MAX, "the file is larger than any trial message: is it a whole mailbox?");
    let arrived = match Arrived::read(&std::fs::read(file).with_context(unread)?, &config.server.patient_url) {
        Ok(arrived) => arrived,
        Err(error) => return Ok(vec![Finding::told(ARRIVED, &error.to_string(), "save the message anew")]),
    };
    let passed = |what: &'static str, check: Check, remedy: &str| match check {
        Check::Passed => Finding::works(what, "the receiver says that it passed"),
        Check::Failed => Finding::fails(what, "the receiver says that it did not pass", remedy),
        Check::NotSaid => Finding::note(what, "the receiver does not say")
            .with("send the trial to a provider that writes Authentication-Results, as the large ones do"),
    };
    let link = match arrived.link {
        LinkThere::Whole => Finding::works("link", "it arrived as it was sent"),
        LinkThere::Rewritten => Finding::fails(
            "link",
            "it was rewritten on its way: whoever does that can open patients' documents, and links may break",
            "switch click tracking and link protection off for these messages, at the relay and at the receiver",
        ),
        LinkThere::Missing => Finding::fails("link", "it is no longer there", "see what the relay does to plain text"),
    };
    let signed = match arrived.signed {
        Signed::ByOwnDomain => Finding::works("signature", "it is signed by the sender's own domain"),
        Signed::ByAnotherDomain => Finding::fails(
            "signature",
            "it is signed by another domain alone, which DMARC does not count",
            "have the relay sign for the domain of the clinic's From address",
        ),
        Signed::Not => Finding::fails("signature", "it is not signed", "switch DKIM on at the relay"),
    };
    Ok(vec![
        link,
        signed,
        passed("SPF", arrived.spf, "name the relay in the domain's SPF record"),
        passed(
            "DKIM",
            arrived.dkim,
            "compare the key in DNS with the relay's, and see whether anything changes messages behind it",
        ),
        passed("DMARC", arrived.dmarc, "SPF or DKIM must pass for the domain of the From address itself"),
    ])
}

fn is_label(text: &str) -> Result<String, &'static str> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let is_whole = (1..=63).contains(&text.len()) && is_plain;
    if is_whole { Ok(text.to_owned()) } else { Err("expected a selector such as \"s1\": letters, digits, - and _") }
}

fn name_server(text: &str) -> Result<SocketAddr, &'static str> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    text.parse().or_else(|_| alone()).map_err(|_| "expected an address such as 9.9.9.9 or 127.0.0.1:5353")
}
