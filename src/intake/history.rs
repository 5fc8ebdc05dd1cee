//! What the history of a type tells beside a search: what was deleted.

use super::hearing::{HearAs, Walked};
use super::look::{failed, not_offered, walked};
use super::poll::{OVERLAP, PAGE_COUNT, seen_until};
use super::{HeardEhr, Intake, IntakeError};
use crate::base::{ResourceType, UtcMillis};
use crate::fhir::Sought;
use crate::store::{Look, LookEnd, LookRow, Offered};

const LEFT_OUT: &str = "its history held more at once than is taken: what was deleted longer ago and is out is found when it is read again";

impl Intake {
    pub(super) async fn history_turn(&self, ehr: &HeardEhr, kind: ResourceType) -> Result<usize, IntakeError> {
        let look = |row, now| self.look_at_history(ehr, kind, row, now);
        self.look_turn(ehr, Look::History(kind), look).await
    }

    async fn look_at_history(
        &self,
        ehr: &HeardEhr,
        kind: ResourceType,
        row: LookRow,
        now: UtcMillis,
    ) -> Result<LookEnd, IntakeError> {
        match ehr.client.offers_of_late(now).await {
            Ok(offers) if offers.history(kind) => {}
            Ok(_) => return Ok(not_offered(now)),
            Err(error) => return Ok(failed(&row, &error, ehr, now)),
        }
        let since = row.watermark.minus(OVERLAP);
        let walk = ehr.client.walk(kind, Sought::History { since }, PAGE_COUNT);
        let end = self.hear_walk(ehr, kind, walk, HearAs::Changed, now).await?.0;
        let whole = |date| (seen_until(row.watermark, date, UtcMillis(i64::MAX), now), now.plus(ehr.poll_every));
        if matches!(end, Walked::TooMuch) {
            // The newest came first. To ask for the same again would show the same, and ever more of it, for ever.
            let (watermark, next_at) = whole(None);
            let why = Some(LEFT_OUT.to_owned());
            return Ok(LookEnd { watermark: Some(watermark), offered: Offered::Yes, next_at, why });
        }
        Ok(walked(&row, end, whole, ehr, now))
    }
}
