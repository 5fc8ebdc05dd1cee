//! The workers that turn the steps.
//!
//! Must stay true: each EHR has workers of its own in every step that asks it, as many as any other; while nothing of it is due
//! they wait for their bell, and all but leave the database alone.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Steps;
use crate::base::{Bell, EhrId, millis, seconds};
use crate::intake::Intake;
use crate::release::Release;
use crate::resolve::Resolve;
use crate::write_back::WriteBack;

/// How often each worker looks by itself, rung or not: another replica may have left work.
const LOOK_EVERY: Duration = millis(500);
/// How often a worker looks whether there is something to do that nobody waits for.
const LOOK_BACK_EVERY: Duration = seconds(2);
/// How often a worker looks that is called when there is work: in case the one who calls does not.
const LOOK_UNCALLED_EVERY: Duration = seconds(30);
/// Workers of the step that waits for the relay.
const OUTBOX_WORKERS: usize = 4;
/// Workers of one EHR in each step that asks it, at most: one that hangs takes these places and no other's.
pub const EHR_WORKERS_MAX: usize = 4;
/// Workers of all EHRs together in one such step, shared out equally, as long as that leaves each EHR one.
const EHR_WORKERS_IN_ALL: usize = 64;
/// The pause after a turn that failed.
const AFTER_FAULT: Duration = seconds(1);

impl Steps {
    /// Starts the workers; they end after their current turn when `stop` is cancelled. Each EHR is watched, read and fetched
    /// from by workers of its own, so that one that hangs holds up no other; one more of each step asks no EHR, and calls them.
    pub fn spawn(&self, workers: &TaskTracker, stop: &CancellationToken) {
        let (bells, crew) = (&self.bells, Crew { workers, stop });
        crew.join("intake", &bells.kept, LOOK_EVERY, &self.intake, |step| async move { step.turn().await });
        for ehr in self.intake.watched() {
            let turn = of(ehr.clone(), |step: Arc<Intake>, ehr| async move { step.watch_turn(&ehr).await });
            // Nobody rings: subscriptions and polls come due by the clock.
            crew.join(&format!("watch {ehr}"), &Bell::default(), LOOK_EVERY, &self.intake, turn);
            let turn = of(ehr.clone(), |step: Arc<Intake>, ehr| async move { step.look_back_turn(&ehr).await });
            crew.join(&format!("look back {ehr}"), &Bell::default(), LOOK_BACK_EVERY, &self.intake, turn);
        }
        crew.join(
            "resolve",
            &bells.due,
            LOOK_EVERY,
            &self.resolve,
            |step| async move { step.turn_without_ehr().await },
        );
        for ehr in &self.resolve.ehrs {
            let turn = of(ehr.client.id().clone(), |step: Arc<Resolve>, ehr| async move { step.turn_of(&ehr).await });
            // One is for what may take back a link alone: it waits behind no other reading.
            let alarm =
                of(ehr.client.id().clone(), |step: Arc<Resolve>, ehr| async move { step.alarm_turn_of(&ehr).await });
            let name = format!("recalls {}", ehr.client.id());
            crew.join(&name, &ehr.alarmed, LOOK_UNCALLED_EVERY, &self.resolve, alarm);
            for _ in 0..self.resolve.turns_at_once {
                let name = format!("resolve {}", ehr.client.id());
                crew.join(&name, &ehr.called, LOOK_UNCALLED_EVERY, &self.resolve, turn.clone());
            }
        }
        crew.join(
            "release",
            &bells.decided,
            LOOK_EVERY,
            &self.release,
            |step| async move { step.turn_without_ehr().await },
        );
        for ehr in &self.release.ehrs {
            let turn = of(ehr.client.id().clone(), |step: Arc<Release>, ehr| async move { step.turn_of(&ehr).await });
            for _ in 0..self.release.turns_at_once {
                let name = format!("release {}", ehr.client.id());
                crew.join(&name, &ehr.called, LOOK_UNCALLED_EVERY, &self.release, turn.clone());
            }
        }
        for ehr in &self.write_back.ehrs {
            let turn = of(ehr.client.id().clone(), |step: Arc<WriteBack>, ehr| async move { step.turn_of(&ehr).await });
            let name = format!("write back {}", ehr.client.id());
            crew.join(&name, &Bell::default(), LOOK_BACK_EVERY, &self.write_back, turn);
        }
        for _ in 0..OUTBOX_WORKERS {
            crew.join("outbox", &bells.queued, LOOK_EVERY, &self.outbox, |step| async move { step.turn().await });
        }
        crew.join("sweep", &bells.sweep, LOOK_EVERY, &self.sweep, |step| async move { step.turn().await });
        let sign_in = &self.sign_in;
        crew.join("keys", &Bell::default(), LOOK_UNCALLED_EVERY, sign_in, |step| async move { step.turn().await });
        crew.join("incidents", &Bell::default(), LOOK_EVERY, &self.incidents, |step| async move { step.turn().await });
        crew.join("wishes", &bells.wished, LOOK_EVERY, &self.wishes, |step| async move { step.turn().await });
    }
}

/// `turn`, always of this EHR.
fn of<S, R>(ehr: EhrId, turn: impl Fn(Arc<S>, EhrId) -> R + Clone) -> impl Fn(Arc<S>) -> R + Clone {
    move |step| turn(step, ehr.clone())
}

/// Those who turn the steps.
struct Crew<'a> {
    workers: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Crew<'_> {
    /// One more worker: it takes its turns until nothing is left to do, then waits for its bell, and looks by itself
    /// every so often.
    fn join<S, F, R, E>(&self, name: &str, bell: &Bell, look_every: Duration, step: &Arc<S>, turn: F)
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>) -> R + Send + 'static,
        R: Future<Output = Result<usize, E>> + Send + 'static,
        E: Into<anyhow::Error> + Send + 'static,
    {
        let step = Arc::clone(step);
        let turns = move || turn(Arc::clone(&step));
        self.workers.spawn(work(name.to_owned(), bell.clone(), look_every, self.stop.clone(), turns));
    }
}

async fn work<F, R, E>(name: String, bell: Bell, look_every: Duration, stop: CancellationToken, turn: F)
where
    F: Fn() -> R,
    R: Future<Output = Result<usize, E>>,
    E: Into<anyhow::Error>,
{
    while !stop.is_cancelled() {
        let pause = match turn().await {
            Ok(0) => look_every,
            Ok(_) => continue,
            Err(error) => {
                let error: anyhow::Error = error.into();
                tracing::error!(step = name, error = format!("{error:#}"), "a step failed; it goes on in a moment");
                AFTER_FAULT
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = bell.wait(pause) => {}
        }
    }
}

/// How many workers each EHR has in each step that asks it.
pub(super) fn workers_of_each(ehrs: usize) -> usize {
    (EHR_WORKERS_IN_ALL / ehrs.max(1)).clamp(1, EHR_WORKERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ehrs_share_the_workers_and_each_keeps_one() {
        let each = [0, 1, 16, 17, 32, 33, 64, 65, 1000].map(workers_of_each);
        assert_eq!(each, [4, 4, 4, 3, 2, 1, 1, 1, 1]);
    }
}
