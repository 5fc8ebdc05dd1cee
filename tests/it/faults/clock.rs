//! A clock that jumps once, before one of its readings.

use std::sync::Arc;
use std::time::Duration;

use chartseal::base::Clock;

use super::plan::Trigger;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    AnHourAhead,
    AnHourBack,
    ADayAhead,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::AnHourAhead, Self::AnHourBack, Self::ADayAhead];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AnHourAhead => "an-hour-ahead",
            Self::AnHourBack => "an-hour-back",
            Self::ADayAhead => "a-day-ahead",
        }
    }

    fn millis(self) -> i64 {
        let hour = i64::try_from(Duration::from_hours(1).as_millis()).expect("an hour is short");
        match self {
            Self::AnHourAhead => hour,
            Self::AnHourBack => -hour,
            Self::ADayAhead => 24 * hour,
        }
    }
}

pub fn arrange(clock: &Clock, kind: Kind, trigger: Arc<Trigger>) {
    clock.jump(move || if trigger.pulled(|| "a reading".to_owned()) { kind.millis() } else { 0 });
}
