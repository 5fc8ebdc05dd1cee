//! What happens by itself: the sample reports arrive one after another; one is corrected, one withdrawn.

use std::sync::Arc;
use std::time::Duration;

use super::lab::Lab;
use super::mail_catcher::Caught;
use super::sample::Sample;
use crate::base::millis;

/// How often it looks whether a message came.
const LOOK_EVERY: Duration = millis(100);

pub(super) struct Script {
    pub(super) lab: Arc<Lab>,
    pub(super) caught: Caught,
    pub(super) pause: Duration,
}

impl Script {
    pub(super) async fn play(self) {
        for sample in [Sample::BloodCount, Sample::Letter, Sample::HivTest] {
            self.file(sample).await;
        }
        let corrected = self.file(Sample::LongTermSugar).await;
        let withdrawn = self.file(Sample::Lipids).await;
        for id in [&corrected, &withdrawn].into_iter().flatten() {
            self.until_told(id).await;
        }
        tokio::time::sleep(self.pause).await;
        if let Some(id) = corrected {
            // Whoever was quicker at the page did it by hand.
            let _ = self.lab.correct(&id).await;
        }
        tokio::time::sleep(self.pause).await;
        if let Some(id) = withdrawn {
            let _ = self.lab.withdraw(&id).await;
        }
        self.lab.script_is_over();
    }

    async fn file(&self, sample: Sample) -> Option<String> {
        tokio::time::sleep(self.pause).await;
        self.lab.file(sample).await.ok()
    }

    /// A correction is told to those who were told before, so their message comes first.
    async fn until_told(&self, report: &str) {
        let Some(address) = self.lab.address_of(report) else { return };
        while !self.caught.all().iter().any(|mail| mail.to == address) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
