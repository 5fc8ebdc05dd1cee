//! The whole way once: a Subscription is asked for where none of ours is active, a report that is none is written to the EHR, and
//! its call is waited for.
//!
//! Must stay true: what will be written is told before; a patient who is nobody and a report of theirs that was "entered in
//! error", nothing else; all of it is removed again, also when a part fails or the person has had enough, and what could not be
//! removed is named.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::audit::{Actor, AuditEvent, Chain, Entry, HeardBy};
use crate::base::{
    EhrId, FhirId, OperatorName, ResourceKey, ResourceType, SecretText, SourceId, UtcMillis, millis, minutes, random,
    seconds,
};
use crate::fhir::{EhrError, HookHeader, SubscriptionStatus, TRIAL_SYSTEM, TopicWish, TrialKind, Wish};
use crate::intake::subscribe::{REASON, status_word};
use crate::intake::{HOOK_HEADER, HeardEhr, Hook, HookAuth, Intake, IntakeError, Subscribe, TopicSettings};
use crate::record::Addressee;
use crate::store::{self, StoreError};

/// No trial waits longer.
pub const TRIAL_WAIT_MAX: Duration = minutes(10);
const LOOK_EVERY: Duration = millis(250);
/// An EHR is not asked more often how its Subscription stands.
const ASK_EVERY: Duration = seconds(2);

const SUBSCRIPTION: &str = "trial subscription";
const TRIP: &str = "round trip";
const LEFT: &str = "left behind";

/// How a trial is made.
pub struct TrialAsked {
    pub by: OperatorName,
    /// For the Subscription to become active, and again for the call.
    pub wait: Duration,
    /// The person has had enough.
    pub stop: CancellationToken,
}

/// How the EHR is to call.
enum Through<'a> {
    /// By the Subscription that this service keeps, which is active.
    Ours,
    /// By one that is made for the trial.
    Made(Asking<'a>, &'a SecretText),
    /// By one that the EHR's staff made: signed calls cannot be asked for.
    Theirs,
}

#[derive(Clone, Copy)]
enum Asking<'a> {
    Classic,
    Topic(&'a TopicSettings),
}

/// What was written so far, the first first.
type Written = Vec<(TrialKind, FhirId)>;

/// How a report was heard of.
enum HeardOf {
    Hook(Duration),
    /// Polling was quicker; the EHR called as well, whatever it said.
    PollAndCall(Duration),
    Poll(Duration),
    Not,
}

impl Intake {
    /// What [`Self::try_whole_way`] will write to `ehr`, in words. `None` where it is not configured or takes no hooks.
    ///
    /// # Errors
    /// [`IntakeError::Store`].
    pub async fn will_write(&self, ehr: &EhrId) -> Result<Option<String>, IntakeError> {
        let Some((heard, hook)) = self.ehr(ehr).and_then(|ehr| Some((ehr, ehr.hook.as_ref()?))) else {
            return Ok(None);
        };
        let subscription = match self.through(heard, hook).await? {
            Through::Ours | Through::Theirs => String::new(),
            Through::Made(Asking::Classic, _) => "one Subscription to DiagnosticReport, ".to_owned(),
            Through::Made(Asking::Topic(_), _) => "one Subscription to the topic, ".to_owned(),
        };
        Ok(Some(format!(
            "To the EHR '{ehr}' will be written, and removed again: {subscription}one Patient who is nobody (inactive, no address), \
             and one DiagnosticReport of theirs with the status entered-in-error and no content. Both bear an identifier of the \
             system {TRIAL_SYSTEM}. No other resource is touched."
        )))
    }

    /// Tries the whole way from the EHR to here. `None` where it is not configured or takes no hooks.
    ///
    /// # Errors
    /// [`IntakeError::Store`], before anything was written.
    pub async fn try_whole_way(&self, ehr: &EhrId, asked: &TrialAsked) -> Result<Option<Vec<Finding>>, IntakeError> {
        let Some((heard, hook)) = self.ehr(ehr).and_then(|ehr| Some((ehr, ehr.hook.as_ref()?))) else {
            return Ok(None);
        };
        let through = self.through(heard, hook).await?;
        let trial = SourceId::random(&mut random::system()).to_string();
        self.note(ehr, asked, AuditEvent::TrialBegun { trial: trial.clone() }).await?;
        let (mut written, mut findings, mut left) = (Written::new(), Vec::new(), Vec::new());
        self.go(heard, hook, &through, (asked, &trial), &mut written, &mut findings).await;
        while let Some((kind, id)) = written.pop() {
            if let Err(error) = heard.client.remove_trial(kind, &id).await {
                left.push(format!("{}/{id}", kind.as_str()));
                findings.push(Finding::fails(
                    LEFT,
                    format!("{}/{id} stays in the EHR: {error}", kind.as_str()),
                    "have the EHR's staff remove it",
                ));
            }
        }
        if let Err(error) = self.note(ehr, asked, AuditEvent::TrialEnded { trial, left }).await {
            findings.push(Finding::fails(
                TRIP,
                format!("the audit was not told how it ended: {error}"),
                "see to the database",
            ));
        }
        Ok(Some(findings))
    }

    async fn note(&self, ehr: &EhrId, asked: &TrialAsked, event: AuditEvent) -> Result<(), IntakeError> {
        let (chain, at, actor) = (Chain::Ehr(ehr.clone()), self.clock.now(), Actor::Operator(asked.by.clone()));
        let entry = Entry { chain, at, clinic: None, actor, event };
        Ok(self.store.write(move |tx| store::append(tx, &entry)).await?)
    }

    async fn through<'a>(&self, ehr: &'a HeardEhr, hook: &'a Hook) -> Result<Through<'a>, IntakeError> {
        let id = ehr.client.id().clone();
        let (classic, topic) = self
            .store
            .read(move |conn| {
                let row = store::subscriptions(conn)?
                    .into_iter()
                    .find(|row| row.ehr == id && row.kind == ResourceType::DiagnosticReport);
                Ok((row.map(|row| row.status), store::topic_of(conn, &id)?.map(|row| row.status)))
            })
            .await?;
        let is_active = |status: Option<String>| status.as_deref() == Some(status_word(SubscriptionStatus::Active));
        Ok(match (&hook.auth, &hook.subscribe) {
            (HookAuth::Signature { .. }, _) => Through::Theirs,
            (HookAuth::Secret(_), Subscribe::R4) if is_active(classic) => Through::Ours,
            (HookAuth::Secret(_), Subscribe::Topic(_)) if is_active(topic) => Through::Ours,
            (HookAuth::Secret(secret), Subscribe::Topic(settings)) => Through::Made(Asking::Topic(settings), secret),
            (HookAuth::Secret(secret), Subscribe::R4 | Subscribe::Off) => Through::Made(Asking::Classic, secret),
        })
    }

    async fn go(
        &self,
        ehr: &HeardEhr,
        hook: &Hook,
        through: &Through<'_>,
        (asked, trial): (&TrialAsked, &str),
        written: &mut Written,
        findings: &mut Vec<Finding>,
    ) {
        if let Through::Made(asking, secret) = through {
            match subscribe(ehr, hook, *asking, secret).await {
                Ok(id) => {
                    written.push((TrialKind::Subscription, id.clone()));
                    findings.push(activated(ehr, &id, asked).await);
                }
                Err(error) => {
                    findings.extend(unsure(TrialKind::Subscription, &error, "a Subscription to this server's address"));
                    findings.push(Finding::fault(SUBSCRIPTION, &error).with(
                        "have its staff allow system/Subscription.cruds, or set subscribe = \"off\" and let polling do",
                    ));
                    return;
                }
            }
        }
        let called_before = self.last_call(ehr.client.id()).await;
        let report = match write(ehr, trial, written).await {
            Ok(report) => report,
            Err((kind, error)) => {
                let remedy = format!(
                    "have its staff allow system/{}.cud for the time of the trial; or write a test patient's report there by \
                     hand, and look at `chartseal ehrs list`",
                    kind.as_str()
                );
                findings.extend(unsure(kind, &error, &format!("the identifier {TRIAL_SYSTEM}|{trial}")));
                findings.push(Finding::fault(TRIP, &error).with(remedy));
                return;
            }
        };
        let key = ResourceKey { ehr: ehr.client.id().clone(), kind: ResourceType::DiagnosticReport, id: report };
        findings.push(match self.heard_of(&key, called_before, asked).await {
            Ok(heard) => trip(&heard, hook, asked.wait),
            Err(error) => {
                Finding::fails(TRIP, format!("whether it was heard of cannot be told: {error}"), "see to the database")
            }
        });
    }

    /// Waits until the report was heard of by a hook, for as long as was asked.
    async fn heard_of(
        &self,
        key: &ResourceKey,
        called_before: Option<UtcMillis>,
        asked: &TrialAsked,
    ) -> Result<HeardOf, StoreError> {
        let started = Instant::now();
        let mut polled = None;
        while started.elapsed() < asked.wait && !asked.stop.is_cancelled() {
            match self.heard_by(key.clone()).await? {
                Some(HeardBy::Hook) => return Ok(HeardOf::Hook(started.elapsed())),
                // What is known already leaves no trace of a call that names it.
                Some(HeardBy::Poll) if self.last_call(&key.ehr).await > called_before => {
                    return Ok(HeardOf::PollAndCall(started.elapsed()));
                }
                Some(HeardBy::Poll) => polled = polled.or(Some(started.elapsed())),
                None => {}
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = asked.stop.cancelled() => {}
            }
        }
        Ok(polled.map_or(HeardOf::Not, HeardOf::Poll))
    }

    /// A database that is away shows in the next question.
    async fn last_call(&self, ehr: &EhrId) -> Option<UtcMillis> {
        let ehr = ehr.clone();
        self.store.read(move |conn| store::last_hook_at(conn, &ehr)).await.ok().flatten()
    }

    async fn heard_by(&self, key: ResourceKey) -> Result<Option<HeardBy>, StoreError> {
        let lines = self
            .store
            .read(move |conn| match store::source_of(conn, &key, Addressee::Patient)? {
                Some(source) => store::chain_lines(conn, &Chain::Source(source.id).to_string()),
                None => Ok(Vec::new()),
            })
            .await?;
        let ways = lines.iter().filter_map(|line| match serde_json::from_str(&line.body) {
            Ok(AuditEvent::Heard { by, .. }) => Some(by),
            Ok(_) | Err(_) => None,
        });
        let mut seen = None;
        for by in ways {
            match by {
                HeardBy::Hook => return Ok(Some(HeardBy::Hook)),
                HeardBy::Poll => seen = Some(HeardBy::Poll),
            }
        }
        Ok(seen)
    }
}

/// Asks for a Subscription beside those that the service looks after: its address differs by a query, so that the service
/// neither takes it for its own nor misses it afterwards.
async fn subscribe(ehr: &HeardEhr, hook: &Hook, asking: Asking<'_>, secret: &SecretText) -> Result<FhirId, EhrError> {
    let mut endpoint = hook.endpoint.clone();
    endpoint.set_query(Some("trial"));
    let header = HookHeader { name: HOOK_HEADER.to_owned(), secret: secret.clone() };
    match asking {
        Asking::Classic => {
            let wish = Wish {
                kind: ResourceType::DiagnosticReport,
                endpoint: &endpoint,
                header: &header,
                reason: REASON,
                known: None,
            };
            Ok(ehr.client.create_subscription(&wish).await?.id)
        }
        Asking::Topic(settings) => {
            let wish = TopicWish {
                form: settings.form,
                topic: &settings.topic,
                filters: &settings.filters,
                content: settings.content,
                heartbeat: settings.heartbeat,
                events_max: settings.events_max,
                endpoint: &endpoint,
                header: &header,
                reason: REASON,
                known: None,
                asked: None,
            };
            Ok(ehr.client.create_topic(&wish).await?.id)
        }
    }
}

/// Waits until the EHR calls the Subscription active.
async fn activated(ehr: &HeardEhr, id: &FhirId, asked: &TrialAsked) -> Finding {
    let started = Instant::now();
    loop {
        let status = match ehr.client.subscription_status(id).await {
            Ok(status) => status,
            Err(error) => return Finding::fault(SUBSCRIPTION, &error),
        };
        match status {
            SubscriptionStatus::Active => {
                return Finding::works(SUBSCRIPTION, "the EHR accepts a Subscription and calls it active");
            }
            SubscriptionStatus::Error | SubscriptionStatus::Off => {
                return Finding::fails(
                    SUBSCRIPTION,
                    format!("the EHR accepts a Subscription and then puts it to \"{}\"", status_word(status)),
                    "see that the EHR reaches the hook's address while the service runs, trusts its certificate, and knows the topic",
                );
            }
            SubscriptionStatus::Requested | SubscriptionStatus::Unrecognised => {}
        }
        if started.elapsed() >= asked.wait || asked.stop.is_cancelled() {
            return Finding::note(
                SUBSCRIPTION,
                format!("the EHR stores a Subscription and leaves it at \"{}\"", status_word(status)),
            )
            .with("some servers store Subscriptions and never send: see whether the round trip comes");
        }
        tokio::select! {
            () = sleep(ASK_EVERY) => {}
            () = asked.stop.cancelled() => {}
        }
    }
}

/// Writes the patient and their report; each that was written is noted at once.
async fn write(ehr: &HeardEhr, trial: &str, written: &mut Written) -> Result<FhirId, (TrialKind, EhrError)> {
    let patient = ehr.client.make_trial_patient(trial).await.map_err(|error| (TrialKind::Patient, error))?;
    written.push((TrialKind::Patient, patient.clone()));
    let made = ehr.client.make_trial_report(trial, &patient).await;
    let report = made.map_err(|error| (TrialKind::DiagnosticReport, error))?;
    written.push((TrialKind::DiagnosticReport, report.clone()));
    Ok(report)
}

/// What was asked for and not answered may have been written.
fn unsure(kind: TrialKind, error: &EhrError, known_by: &str) -> Option<Finding> {
    let is_unsure =
        matches!(error, EhrError::TimedOut | EhrError::CutShort | EhrError::Unreachable | EhrError::Malformed(_));
    let says = format!("whether the EHR wrote the {} cannot be told", kind.as_str());
    is_unsure
        .then(|| Finding::note(LEFT, says).with(format!("have the EHR's staff look for {known_by}, and remove it")))
}

fn trip(heard: &HeardOf, hook: &Hook, wait: Duration) -> Finding {
    let in_seconds = |span: &Duration| format!("{}.{} s", span.as_secs(), span.subsec_millis() / 100);
    match heard {
        HeardOf::Hook(after) => Finding::works(
            TRIP,
            format!("the EHR's call of a new report was here {} after it was written", in_seconds(after)),
        ),
        // A heartbeat, or another patient's report, is a call too.
        HeardOf::PollAndCall(after) => Finding::note(
            TRIP,
            format!("polling found a new report first; the EHR called within {} too, and nobody can tell of what", in_seconds(after)),
        )
        .with("try once more, or look at `chartseal ehrs list` after the next report"),
        HeardOf::Poll(_) | HeardOf::Not if matches!(hook.subscribe, Subscribe::Topic(_)) => Finding::note(
            TRIP,
            format!("no call of a report that was entered in error came within {} s", wait.as_secs()),
        )
        .with(
            "that is right where the topic speaks of final reports alone; if it speaks of all, see that the EHR reaches the hook's \
             address",
        ),
        HeardOf::Poll(after) => Finding::fails(
            TRIP,
            format!("the EHR did not call; polling found the report after {}", in_seconds(after)),
            "see that the EHR reaches the hook's address, and ask its staff what became of the call; what is written is found by \
             polling meanwhile",
        ),
        HeardOf::Not => Finding::fails(
            TRIP,
            format!("a new report was not heard of within {} s, neither by a call nor by polling", wait.as_secs()),
            "see that the service runs, and that the EHR reaches the hook's address",
        ),
    }
}
