//! `chartseal messages …`

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Outcome;
use super::print::{Print, count};
use crate::app::rules_files::read_rules;
use crate::base::{ClinicId, EmailAddress, Language, NoticeId, Reference, SecretText, UtcMillis, hours};
use crate::config::{Clinic, Config, SmsFrom, SmsGateway};
use crate::notify::messages::{LeafletFacts, built_in, leaflet, specialty_in};
use crate::notify::{ClinicPhone, DisplayName, LinkNotice, MessageKey, NoticeKind};
use crate::policy::{RuleSet, Wording};

/// Nobody's.
const SAMPLE_LINK: &str = "AbCdEfGhIjKlMnOp#QUJDREVGR0hJSktMTU5PUA";
const SAMPLE_REFERENCE: &str = "K7Q4-MD2X";
const SAMPLE_MOMENT: &str = "2026-11-24T10:00:00Z";

#[derive(Subcommand)]
pub(super) enum MessagesCommand {
    /// Show messages as patients would read them, with a link of nobody's.
    Preview(PreviewArgs),
    /// Look for what is unwise in clinics' own messages, and in the addresses that bare ones show. What is wrong refuses every
    /// command, this one too.
    Lint,
    /// Write our own texts of one language into a folder, for a clinic to change.
    Write {
        folder: PathBuf,
        #[arg(long, value_parser = language)]
        language: Language,
    },
    /// Print a page for patients that says how to know our messages: HTML, to be printed.
    Leaflet {
        /// Default: the only one.
        #[arg(long)]
        clinic: Option<ClinicId>,
        /// Default: the clinic's.
        #[arg(long, value_parser = language)]
        language: Option<Language>,
    },
}

#[derive(Args)]
pub(super) struct PreviewArgs {
    /// Default: every one.
    #[arg(long)]
    clinic: Option<ClinicId>,
    /// Default: the clinic's.
    #[arg(long, value_parser = language)]
    language: Option<Language>,
    /// Default: each of them.
    #[arg(long)]
    kind: Option<Kind>,
    /// As where the rule's wording is `bare`.
    #[arg(long)]
    bare: bool,
    /// Print the HTML part instead of the plain text.
    #[arg(long)]
    html: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    New,
    Updated,
    Reminder,
    Waiting,
}

fn language(text: &str) -> Result<Language, String> {
    let known = Language::ALL.map(Language::as_str).join(", ");
    Language::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| format!("there are {known}"))
}

pub(super) fn run(command: MessagesCommand, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    match command {
        MessagesCommand::Preview(args) => preview(&args, config, print),
        MessagesCommand::Lint => lint(config, print),
        MessagesCommand::Write { folder, language } => write(&folder, language, print),
        MessagesCommand::Leaflet { clinic, language } => {
            let clinic = one_clinic(config, clinic.as_ref())?;
            let (at, from) = (&config.server.patient_url, clinic.from.expose());
            let (link_begins, check) = (at.join("r/")?, at.join("check")?);
            let facts = LeafletFacts {
                clinic: &clinic.name,
                phone: clinic.phone.as_str(),
                from,
                link_begins: link_begins.as_str(),
                check: check.as_str(),
            };
            let html = leaflet(language.unwrap_or_else(|| clinic.language.language()), &facts)?;
            print.done(html.trim_end(), &serde_json::json!({ "html": html }));
            Ok(Outcome::Done)
        }
    }
}

fn one_clinic<'a>(config: &'a Config, id: Option<&ClinicId>) -> anyhow::Result<&'a Clinic> {
    match (id, config.clinics.as_slice()) {
        (Some(id), clinics) => {
            clinics.iter().find(|clinic| clinic.id == *id).with_context(|| format!("there is no clinic '{id}'"))
        }
        (None, [only]) => Ok(only),
        (None, []) => anyhow::bail!("no [[clinic]] is configured"),
        (None, _) => anyhow::bail!("there are several clinics: name one with --clinic"),
    }
}

#[derive(Serialize)]
struct Previewed {
    clinic: String,
    language: &'static str,
    kind: &'static str,
    from: String,
    subject: String,
    plain: String,
    html: String,
}

fn preview(args: &PreviewArgs, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let clinics: Vec<&Clinic> = match &args.clinic {
        Some(id) => vec![one_clinic(config, Some(id))?],
        None => config.clinics.iter().collect(),
    };
    let kinds: Vec<NoticeKind> = match args.kind {
        Some(Kind::New) => vec![NoticeKind::New],
        Some(Kind::Updated) => vec![NoticeKind::Updated],
        Some(Kind::Reminder) => vec![NoticeKind::Reminder],
        Some(Kind::Waiting) => vec![NoticeKind::Waiting],
        None => NoticeKind::ALL.to_vec(),
    };
    let mut shown = Vec::new();
    for clinic in clinics {
        for kind in &kinds {
            shown.push(previewed(clinic, config, args, *kind)?);
        }
    }
    let text: Vec<String> = shown
        .iter()
        .map(|one| {
            let part = if args.html { &one.html } else { &one.plain };
            let Previewed { clinic, language, kind, from, subject, .. } = one;
            format!("## {clinic}, {language}, {kind}\nFrom: {from}\nSubject: {subject}\n\n{}", part.trim_end())
        })
        .collect();
    print.done(&text.join("\n\n"), &shown);
    Ok(Outcome::Done)
}

fn previewed(clinic: &Clinic, config: &Config, args: &PreviewArgs, kind: NoticeKind) -> anyhow::Result<Previewed> {
    let language = args.language.unwrap_or_else(|| clinic.language.language());
    let link = format!("{}{SAMPLE_LINK}", config.server.patient_url.join("r/")?);
    let now = UtcMillis::parse_rfc3339(SAMPLE_MOMENT).context("the sample's moment is none")?;
    let notice = LinkNotice {
        notice: NoticeId::parse("AAAAAAAAAAAAAAAA")?,
        clinic_name: DisplayName::parse(&clinic.name)?,
        clinic_phone: ClinicPhone::parse(clinic.phone.as_str())?,
        from: clinic.from.clone(),
        to: EmailAddress::parse("patient@example.org")?,
        link: match kind {
            NoticeKind::New | NoticeKind::Updated | NoticeKind::Reminder => Some(SecretText::new(link)),
            NoticeKind::Waiting => None,
        },
        expires_at: now.plus(hours(72)),
        sent_at: now,
        zone: clinic.timezone,
        reference: Reference::parse(SAMPLE_REFERENCE)?,
        language,
        wording: if args.bare { Wording::Bare } else { Wording::Generic },
        kind,
        date: now,
    };
    let words = notice.words(&clinic.messages)?;
    let address = clinic.from.expose();
    let from = if args.bare { address.to_owned() } else { format!("{} <{address}>", clinic.name) };
    Ok(Previewed {
        clinic: clinic.id.to_string(),
        language: language.as_str(),
        kind: kind.as_str(),
        from,
        subject: words.subject,
        plain: words.plain,
        html: words.html,
    })
}

fn lint(config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let mut remarks = Vec::new();
    let mut texts = 0;
    let remark =
        |clinic: &str, at: &str, remark: String| serde_json::json!({ "clinic": clinic, "file": at, "remark": remark });
    for clinic in &config.clinics {
        texts += clinic.messages.own_keys().count();
        for (key, said) in clinic.messages.remarks(&clinic.name) {
            remarks.push(remark(clinic.id.as_str(), &key.file(), said.to_string()));
        }
    }
    for telling in telling_addresses(config, &read_rules(config)?) {
        remarks.push(remark(&telling.clinic, &telling.key, telling.remark()));
    }
    let lines: Vec<String> = remarks
        .iter()
        .map(|one| {
            let field = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            format!("{}: {}: {}", field("clinic"), field("file"), field("remark"))
        })
        .collect();
    let texts = count(texts, "text of a clinic's own");
    let told = format!("{} on {texts}.", count(remarks.len(), "remark"));
    let text = lines.into_iter().chain([told]).collect::<Vec<_>>().join("\n");
    print.done(&text, &remarks);
    Ok(if remarks.is_empty() { Outcome::Done } else { Outcome::No })
}

/// An address that every message shows, and that names a specialty.
pub(super) struct TellingAddress {
    /// Whose; `every clinic` for what all have in common.
    clinic: String,
    /// Where it is written.
    pub(super) key: String,
    pub(super) word: &'static str,
}

impl TellingAddress {
    pub(super) fn remark(&self) -> String {
        format!(
            "\"{}\" tells what the clinic is for, also to whoever sees a message whose wording is bare: take an address that names \
             no specialty, on a domain of its own",
            self.word
        )
    }
}

/// What a bare message shows all the same; nothing where the rules make none.
pub(super) fn telling_addresses(config: &Config, rules: &RuleSet) -> Vec<TellingAddress> {
    if !rules.may_be_bare() {
        return Vec::new();
    }
    let of_all = || "every clinic".to_owned();
    let mut shown: Vec<(String, &str, &str)> = Vec::new();
    shown.extend(config.clinics.iter().map(|clinic| (clinic.id.to_string(), "from", clinic.from.expose())));
    shown.extend(config.server.patient_url.host_str().map(|host| (of_all(), "[server] patient_url", host)));
    let bounces = config.mail.as_ref().and_then(|mail| mail.bounce_address.as_ref());
    shown.extend(bounces.map(|address| (of_all(), "[mail] bounce_address", address.domain())));
    shown.extend(config.sms.as_ref().and_then(|sms| match &sms.gateway {
        SmsGateway::Twilio { from: SmsFrom::Sender(from), .. } | SmsGateway::Kannel { from, .. } => {
            Some((of_all(), "[sms] from", from.as_str()))
        }
        SmsGateway::Twilio { from: SmsFrom::Service(_), .. } | SmsGateway::Webhook { .. } => None,
    }));
    let telling = |(clinic, key, address): (String, &str, &str)| {
        specialty_in(address).map(|word| TellingAddress { clinic, key: key.to_owned(), word })
    };
    shown.into_iter().filter_map(telling).collect()
}

fn write(folder: &Path, language: Language, print: Print) -> anyhow::Result<Outcome> {
    let mut written = Vec::new();
    for key in MessageKey::all().filter(|key| key.language == language) {
        let file = folder.join(key.file());
        let into = file.parent().unwrap_or(folder);
        fs::create_dir_all(into).with_context(|| format!("the folder {} cannot be made", into.display()))?;
        let mut new = fs::File::create_new(&file).with_context(|| format!("{} cannot be written", file.display()))?;
        new.write_all(built_in(key).as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
        written.push(key.file());
    }
    let text = format!(
        "Wrote {} into {}. Change them, remove those that stay as they are, and set [[clinic]] messages.",
        written.join(", "),
        folder.display()
    );
    print.done(&text, &written);
    Ok(Outcome::Done)
}
