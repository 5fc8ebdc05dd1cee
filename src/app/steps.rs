//! The steps, wired from the configuration.

mod clients;
mod mail;
mod texts;
mod workers;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::join_all;

use super::rules_files;
use super::start::Ground;
use crate::audit::{AuditEvent, Chain};
use crate::base::{Bell, ClinicId, Language, OperatorName, SecretText, minutes};
use crate::blobs::BlobStore;
use crate::config::{self, Config};
use crate::desk::{Desk, InterruptedIncidents, Wishes};
use crate::fhir::{EhrClient, TopicForm};
use crate::intake::{
    HeardEhr, Hook, HookAuth, Intake, IntakeError, Numbering, SignatureForm, StartFrom, Subscribe, TopicSettings,
};
use crate::open::{ClinicCard, Open};
use crate::outbox::{Bounces, BreakerLimits, Outbox};
use crate::paper::Letterhead;
use crate::policy::decide::may_be_tagged;
use crate::policy::facts::ADULT_AT_YEARS;
use crate::policy::vocabulary::{CodeElse, Notify};
use crate::policy::{Available, Challenge, Channel, Terms};
use crate::release::{Company, Release, SourceEhr};
use crate::resolve::{ReadEhr, Resolve, Timetable};
use crate::sealing::hmac_sha256;
use crate::sign_in::SignIn;
use crate::store::{self, Mode};
use crate::sweep::{Pace, Retention, Sweep};
use crate::write_back::{CompletedTalk, ToldEhr, WriteBack};
pub use clients::sign_in as sign_in_of;
use mail::senders;
pub use mail::{mailer_of, relay_of};
pub use texts::texts as texts_of;
pub use workers::EHR_WORKERS_MAX;
use workers::workers_of_each;

/// Where no EHR is configured nothing is read again.
const RECHECK_DEFAULT: Duration = minutes(15);
/// Turns that one call of `run_until_idle` makes before it gives up: something keeps making work.
const IDLE_TURNS_MAX: usize = 1000;

/// Every step of the way.
pub struct Steps {
    pub intake: Arc<Intake>,
    pub resolve: Arc<Resolve>,
    pub release: Arc<Release>,
    pub outbox: Arc<Outbox>,
    pub sweep: Arc<Sweep>,
    pub open: Arc<Open>,
    pub incidents: Arc<InterruptedIncidents>,
    pub wishes: Arc<Wishes>,
    pub sign_in: Arc<SignIn>,
    pub write_back: Arc<WriteBack>,
    bells: Bells,
}

#[derive(Clone, Default)]
struct Bells {
    kept: Bell,
    due: Bell,
    decided: Bell,
    queued: Bell,
    sweep: Bell,
    wished: Bell,
}

impl Steps {
    /// Wires the steps.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn wire(config: &Config, ground: &Ground) -> anyhow::Result<Self> {
        let bells = Bells::default();
        let blobs = BlobStore::open(&config.blobs).context("the folder of the sealed files cannot be used")?;
        let sign_in = Arc::new(clients::sign_in(config, ground));
        let clients = clients::all(config, ground, &sign_in)?;
        let rules = Arc::new(Timetable::of_file(rules_files::read_rules(config)?));
        let mode = mode_of(config);
        let available = available(config);
        Ok(Self {
            intake: Arc::new(Intake::new(
                ground.store.clone(),
                ground.clock.clone(),
                ground.vault.clone(),
                heard_ehrs(config, ground, &clients)?,
                bells.kept.clone(),
                bells.due.clone(),
            )),
            resolve: Arc::new(Resolve {
                store: ground.store.clone(),
                clock: ground.clock.clone(),
                vault: ground.vault.clone(),
                ehrs: read_ehrs(config, &clients),
                turns_at_once: workers_of_each(clients.len()),
                rules: Arc::clone(&rules),
                available: available.clone(),
                mode,
                renew_every: store::RENEW_EVERY,
                decided: bells.decided.clone(),
            }),
            release: Arc::new(Release {
                store: ground.store.clone(),
                clock: ground.clock.clone(),
                vault: ground.vault.clone(),
                blobs: blobs.clone(),
                reader: config.reader.clone(),
                malware: config.malware.clone(),
                ehrs: source_ehrs(config, &clients),
                turns_at_once: workers_of_each(clients.len()),
                terms_by_hand: Terms::by_hand(),
                available,
                mode,
                company: Company::default(),
                health_links_at: format!("{}shl/", config.server.patient_url),
                queued: bells.queued.clone(),
                changed: bells.due.clone(),
            }),
            outbox: Arc::new(outbox(config, ground, &bells)?),
            sweep: Arc::new(sweep(config, ground, &blobs, &bells, Arc::clone(&rules))),
            open: Arc::new(Open::new(
                ground.store.clone(),
                ground.clock.clone(),
                ground.vault.clone(),
                blobs,
                clinic_cards(config),
                house(config),
                (bells.queued.clone(), bells.wished.clone()),
            )),
            wishes: Arc::new(wishes(config, ground)?),
            incidents: Arc::new(InterruptedIncidents { store: ground.store.clone(), clock: ground.clock.clone() }),
            sign_in,
            write_back: Arc::new(write_back(config, ground, &clients, &bells)),
            bells,
        })
    }

    /// Learns which rules are in force, before the first report is decided: the file's, noted in the audit, as long as no
    /// version was approved.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn take_up_rules(&self) -> anyhow::Result<()> {
        let (rules, store) = (&self.resolve.rules, &self.resolve.store);
        let now = self.resolve.clock.now();
        rules.keep_up(store, now).await?;
        let (file, in_force) = (rules.file(), rules.at(now));
        let (id, version, rules_hash) = (file.id().to_owned(), file.version().to_owned(), file.rules_hash_hex());
        if in_force.activation.is_none() {
            let event = AuditEvent::RulesOfFile { id, version, rules_hash };
            store.write(move |tx| store::record(tx, Chain::Installation, now, event)).await?;
        } else if rules_hash != in_force.hash {
            tracing::warn!(
                file = rules_hash,
                in_force = in_force.hash,
                "the rules file says something else than the version in force, and counts for nothing: propose it with \
                 `chartseal rules propose`"
            );
        }
        Ok(())
    }

    /// Turns every step until none finds work: how tests move the way along.
    ///
    /// # Errors
    /// The first fault of a step.
    pub async fn run_until_idle(&self) -> anyhow::Result<()> {
        for _ in 0..IDLE_TURNS_MAX {
            let done = self.watch_all().await?
                + self.intake.turn().await?
                + self.resolve.turn().await?
                + self.release.turn().await?
                + self.outbox.turn().await?
                + self.write_back.turn().await?
                + self.sweep.turn().await?
                + self.incidents.turn().await?
                + self.wishes.turn().await?
                + self.sign_in.turn().await?;
            if done == 0 {
                return Ok(());
            }
        }
        bail!("the steps do not come to rest")
    }

    async fn watch_all(&self) -> anyhow::Result<usize> {
        let watched = self.intake.watched();
        let turns = join_all(watched.iter().map(|ehr| async move {
            Ok::<_, IntakeError>(self.intake.watch_turn(ehr).await? + self.intake.look_back_turn(ehr).await?)
        }));
        Ok(turns.await.into_iter().sum::<Result<usize, _>>()?)
    }
}

/// What this installation offers.
#[must_use]
pub fn available(config: &Config) -> Available {
    let sms = config.sms.as_ref().map(|_| Channel::Sms);
    // Before anything is configured reports are decided as if there were mail.
    let email = (config.mail.is_some() || sms.is_none()).then_some(Channel::Email);
    let is_staff_reachable = email.is_some() && config.clinics.iter().all(|clinic| clinic.staff_email.is_some());
    Available {
        channels: email.into_iter().chain(sms).collect(),
        challenges: BTreeSet::from([Challenge::Question, Challenge::Code]),
        ways_out: BTreeSet::from([CodeElse::Staff, CodeElse::Slip, CodeElse::Pickup]),
        told: is_staff_reachable.then_some(Notify::Staff).into_iter().collect(),
    }
}

/// The mode as the steps know it.
#[must_use]
pub const fn mode_of(config: &Config) -> Mode {
    match config.mode {
        config::Mode::Shadow => Mode::Shadow,
        config::Mode::Live => Mode::Live,
    }
}

fn heard_ehrs(config: &Config, ground: &Ground, clients: &[Arc<EhrClient>]) -> anyhow::Result<Vec<HeardEhr>> {
    let one = |(ehr, client): (&config::Ehr, &Arc<EhrClient>)| {
        let endpoint = ehr.hook_base.join(&format!("fhir/hook/{}", ehr.id)).context("hook_base takes no path here")?;
        let hook = Hook {
            auth: match &ehr.hook_auth {
                config::HookAuth::Secret(secret) => {
                    HookAuth::Secret(secret.clone().unwrap_or_else(|| derived_secret(ground, ehr)))
                }
                config::HookAuth::Medplum(key) => {
                    HookAuth::Signature { form: SignatureForm::Medplum, key: key.clone() }
                }
                config::HookAuth::WebSub(key) => HookAuth::Signature { form: SignatureForm::WebSub, key: key.clone() },
            },
            endpoint,
            subscribe: match &ehr.subscribe {
                config::Subscribe::R4 => Subscribe::R4,
                config::Subscribe::Topic(settings) => Subscribe::Topic(topic_settings(settings)),
                config::Subscribe::Off => Subscribe::Off,
            },
            numbering: match ehr.events {
                config::Events::Strict => Numbering::Strict,
                config::Events::Resetting => Numbering::Resetting,
                config::Events::None => Numbering::None,
            },
        };
        Ok(HeardEhr {
            client: Arc::clone(client),
            hook: Some(hook),
            poll_every: ehr.poll_every,
            start_from: match ehr.start_from {
                config::StartFrom::Now => StartFrom::Now,
                config::StartFrom::At(at) => StartFrom::At(at),
            },
            seeks: clients::seeks(ehr),
            by_date_every: ehr.by_date_every,
            report_age_max: ehr.report_age_max,
            tells: ehr.write_back.clone(),
        })
    };
    config.ehrs.iter().zip(clients).map(one).collect()
}

fn topic_settings(settings: &config::Topic) -> TopicSettings {
    TopicSettings {
        form: match settings.form {
            config::TopicForm::R4 | config::TopicForm::R4b => TopicForm::Backport,
            config::TopicForm::R5 => TopicForm::Native,
        },
        topic: settings.topic.clone(),
        filters: settings.filters.clone(),
        content: settings.content,
        heartbeat: settings.heartbeat,
        events_max: settings.events_max,
    }
}

/// A secret of this EHR's own, the same on every replica, that nobody had to write down.
fn derived_secret(ground: &Ground, ehr: &config::Ehr) -> SecretText {
    let mac = hmac_sha256(ground.vault.pepper(), &[b"chartseal/1/hook", ehr.id.as_str().as_bytes()]);
    crate::base::Key256::new(mac).to_base64url()
}

fn read_ehrs(config: &Config, clients: &[Arc<EhrClient>]) -> Vec<ReadEhr> {
    let one = |(ehr, client): (&config::Ehr, &Arc<EhrClient>)| ReadEhr {
        client: Arc::clone(client),
        clinic: ehr.clinic.clone(),
        zone: zone_of(config, ehr.clinic.as_ref()),
        adult_at_years: adult_at_years(config, ehr.clinic.as_ref()),
        letterhead: letterhead_of(config, ehr),
        report_age_max: ehr.report_age_max,
        recheck_every: ehr.recheck_every,
        called: Bell::default(),
        alarmed: Bell::default(),
    };
    config.ehrs.iter().zip(clients).map(one).collect()
}

fn source_ehrs(config: &Config, clients: &[Arc<EhrClient>]) -> Vec<SourceEhr> {
    let one = |(ehr, client): (&config::Ehr, &Arc<EhrClient>)| SourceEhr {
        client: Arc::clone(client),
        letterhead: letterhead_of(config, ehr),
        identity: ehr.attachment_identity,
        zone: zone_of(config, ehr.clinic.as_ref()),
        adult_at_years: adult_at_years(config, ehr.clinic.as_ref()),
        called: Bell::default(),
    };
    config.ehrs.iter().zip(clients).map(one).collect()
}

fn adult_at_years(config: &Config, clinic: Option<&ClinicId>) -> u16 {
    let clinic = clinic.and_then(|id| config.clinics.iter().find(|clinic| clinic.id == *id));
    clinic.map_or(ADULT_AT_YEARS, |clinic| clinic.adult_at_years)
}

fn letterhead_of(config: &Config, ehr: &config::Ehr) -> Option<Letterhead> {
    let clinic = config.clinics.iter().find(|clinic| Some(&clinic.id) == ehr.clinic.as_ref())?;
    let (name, phone) = (clinic.name.clone(), clinic.phone.as_str().to_owned());
    Some(Letterhead { clinic: name, phone, zone: clinic.timezone })
}

/// Days are counted in the clinic's zone, in UTC where there is no clinic.
fn zone_of(config: &Config, clinic: Option<&ClinicId>) -> chrono_tz::Tz {
    let clinic = clinic.and_then(|id| config.clinics.iter().find(|clinic| clinic.id == *id));
    clinic.map_or(chrono_tz::Tz::UTC, |clinic| clinic.timezone)
}

fn write_back(config: &Config, ground: &Ground, clients: &[Arc<EhrClient>], bells: &Bells) -> WriteBack {
    let one = |(ehr, client): (&config::Ehr, &Arc<EhrClient>)| ToldEhr {
        client: Arc::clone(client),
        tells: ehr.write_back.clone(),
        completed_talk: match ehr.completed_talk {
            config::CompletedTalk::Noted => CompletedTalk::Noted,
            config::CompletedTalk::Counts => CompletedTalk::Counts,
        },
    };
    WriteBack {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        ehrs: config.ehrs.iter().zip(clients).map(one).collect(),
        mode: mode_of(config),
        renew_every: store::RENEW_EVERY,
        decided: bells.decided.clone(),
    }
}

fn outbox(config: &Config, ground: &Ground, bells: &Bells) -> anyhow::Result<Outbox> {
    Ok(Outbox {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        journal: ground.journal.clone(),
        mailer: mailer_of(config)?,
        texts: texts::texts(config)?,
        senders: senders(config)?,
        link_base: config.server.patient_url.join("r/").context("[server] patient_url takes no path")?,
        recheck_every: config.ehrs.iter().map(|ehr| ehr.recheck_every).min().unwrap_or(RECHECK_DEFAULT),
        limits: BreakerLimits {
            hour_multiple: config.limits.breaker_hour_multiple,
            per_address_day_max: config.limits.notices_per_address_day_max,
            per_patient_day_max: config.limits.notices_per_patient_day_max,
        },
        bounce_address: config.mail.as_ref().and_then(|mail| mail.bounce_address.clone()),
        mode: mode_of(config),
        changed: bells.due.clone(),
    })
}

/// Who hears reports of messages that did not arrive, where there is an address for them.
#[must_use]
pub fn bounces(config: &Config, ground: &Ground) -> Option<Bounces> {
    let mail = config.mail.as_ref()?;
    Some(Bounces {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        address: mail.bounce_address.clone()?,
        secret: mail.bounce_secret.clone(),
    })
}

fn wishes(config: &Config, ground: &Ground) -> anyhow::Result<Wishes> {
    let desk = Desk {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        // What it does is noted as the holder's doing.
        operator: OperatorName::parse("chartseal")?,
        mode: mode_of(config),
    };
    Ok(Wishes { desk })
}

fn sweep(config: &Config, ground: &Ground, blobs: &BlobStore, bells: &Bells, rules: Arc<Timetable>) -> Sweep {
    Sweep {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        blobs: blobs.clone(),
        journal: ground.journal.clone(),
        rechecks: config.ehrs.iter().map(|ehr| (ehr.id.clone(), ehr.recheck_every)).collect(),
        retention: retention(config),
        reminders: config.clinics.iter().map(|clinic| (clinic.id.clone(), clinic.reminders)).collect(),
        sensitive: Box::new(move |facts, now| may_be_tagged(&rules.at(now).rules, facts, now)),
        queued: bells.queued.clone(),
        due: bells.due.clone(),
        pace: tokio::sync::Mutex::new(Pace::default()),
    }
}

fn clinic_cards(config: &Config) -> HashMap<ClinicId, ClinicCard> {
    config.clinics.iter().map(|clinic| (clinic.id.clone(), clinic_card(clinic))).collect()
}

fn clinic_card(clinic: &config::Clinic) -> ClinicCard {
    ClinicCard {
        name: clinic.name.clone(),
        phone: clinic.phone.as_str().to_owned(),
        zone: clinic.timezone.name().to_owned(),
        language: clinic.language,
    }
}

/// What pages show before anything is proved: the only clinic, or the house as a whole.
fn house(config: &Config) -> ClinicCard {
    let only = config.clinics.first().filter(|_| config.clinics.len() == 1).map(clinic_card);
    let mut card = only.unwrap_or_else(|| ClinicCard {
        name: String::new(),
        phone: String::new(),
        zone: "UTC".to_owned(),
        language: config.clinics.first().map_or_else(|| Language::English.into(), |clinic| clinic.language),
    });
    if let Some(name) = &config.server.display_name {
        card.name.clone_from(name);
    }
    card
}

const fn retention(config: &Config) -> Retention {
    let keep = config.retention;
    Retention {
        raw_events: keep.raw_events,
        quarantine: keep.quarantine,
        contacts: keep.contacts,
        facts: keep.facts,
        tombstones: keep.tombstones,
        audit: keep.audit,
    }
}
