//! The token that is held, and when another one is asked for. Pure: the time is given.
//!
//! Must stay true: a token endpoint that fails or refuses is left alone for a while, however many requests wait; a token that
//! the EHR refuses before its time is replaced at most once a minute.

use std::time::Duration;

use reqwest::header::HeaderValue;

use crate::base::{UtcMillis, minutes, seconds};
use crate::fhir::error::{EhrError, FaultClass};

/// A token is not renewed early more often than this: EHRs throttle who asks too often.
const RENEWED_EVERY_MIN: Duration = minutes(1);
/// Of its life, in hundredths, after which it is renewed early.
const RENEWED_AT_PERCENT: u32 = 80;
/// Before its end it is no longer used, since it must still be good when it arrives; never more than half of its life.
const MARGIN_MAX: Duration = seconds(5);
/// A token endpoint that could not be reached is asked again after this.
const AFTER_OUTAGE: Duration = seconds(10);
/// One that refused us, after this: somebody must change something first.
const AFTER_REFUSAL: Duration = minutes(1);

pub(super) struct Token {
    header: HeaderValue,
    asked_at: UtcMillis,
    life: Duration,
}

impl Token {
    pub(super) const fn new(header: HeaderValue, asked_at: UtcMillis, life: Duration) -> Self {
        Self { header, asked_at, life }
    }

    fn usable_for(&self) -> Duration {
        self.life.saturating_sub(MARGIN_MAX.min(self.life / 2))
    }
}

#[derive(Default)]
pub(super) struct Held {
    token: Option<Token>,
    fault: Option<Fault>,
    /// When the EHR last refused a token before its time.
    refused_at: Option<UtcMillis>,
}

struct Fault {
    error: EhrError,
    until: UtcMillis,
}

/// What to do for a request.
pub(super) enum Plan {
    Use(HeaderValue),
    /// It is good, and old enough to be replaced.
    UseAndRenew(HeaderValue),
    Ask,
    /// The token endpoint is left alone.
    Refuse(EhrError),
}

/// What is left after a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhir) enum Dropped {
    /// Another token may do.
    TryAgain,
    /// So was the one before, a moment ago: it is not the token's age.
    InVain,
}

impl Held {
    pub(super) fn plan(&self, now: UtcMillis) -> Plan {
        let fault = self.fault.as_ref().filter(|fault| now < fault.until);
        if let Some(token) = &self.token {
            let age = now.since(token.asked_at);
            if age < token.usable_for() {
                let is_old = age >= (token.life * RENEWED_AT_PERCENT / 100).max(RENEWED_EVERY_MIN);
                let header = token.header.clone();
                return if is_old && fault.is_none() { Plan::UseAndRenew(header) } else { Plan::Use(header) };
            }
        }
        match fault {
            Some(fault) => Plan::Refuse(fault.error.clone()),
            None => Plan::Ask,
        }
    }

    pub(super) fn keep(&mut self, token: Token) {
        self.token = Some(token);
        self.fault = None;
    }

    pub(super) fn failed(&mut self, error: &EhrError, now: UtcMillis) {
        let pause = match (error, error.class()) {
            (EhrError::Overloaded { retry_after: Some(pause) }, _) => *pause,
            (EhrError::Overloaded { retry_after: None }, _) | (_, FaultClass::Settings | FaultClass::Permanent) => {
                AFTER_REFUSAL
            }
            (_, FaultClass::Transient) => AFTER_OUTAGE,
        };
        self.fault = Some(Fault { error: error.clone(), until: now.plus(pause) });
    }

    pub(super) fn refused(&mut self, header: &HeaderValue, now: UtcMillis) -> Dropped {
        let is_held = self.token.as_ref().is_some_and(|token| token.header == *header);
        if !is_held {
            // Somebody else was refused with it, too, and has asked or is about to ask for another.
            return Dropped::TryAgain;
        }
        if self.refused_at.is_some_and(|last| now.since(last) < RENEWED_EVERY_MIN) {
            return Dropped::InVain;
        }
        self.refused_at = Some(now);
        self.token = None;
        Dropped::TryAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::SignInFault;

    const START: UtcMillis = UtcMillis(1_000_000);

    fn at(s: u64) -> UtcMillis {
        START.plus(seconds(s))
    }

    fn holding(life: Duration) -> Held {
        let mut held = Held::default();
        held.keep(Token::new(HeaderValue::from_static("Bearer a"), START, life));
        held
    }

    fn word(plan: &Plan) -> &'static str {
        match plan {
            Plan::Use(_) => "use",
            Plan::UseAndRenew(_) => "renew",
            Plan::Ask => "ask",
            Plan::Refuse(_) => "refuse",
        }
    }

    fn words(held: &Held, seconds: &[u64]) -> Vec<&'static str> {
        seconds.iter().map(|s| word(&held.plan(at(*s)))).collect()
    }

    #[test]
    fn event_13_a_token_is_renewed_at_80_percent_of_its_life_and_asked_for_when_it_ends() {
        assert_eq!(words(&Held::default(), &[0]), ["ask"]);
        assert_eq!(words(&holding(seconds(300)), &[0, 239, 240, 294, 295]), ["use", "use", "renew", "renew", "ask"]);
    }

    #[test]
    fn event_13_a_token_of_a_moment_is_never_renewed_early_and_not_used_to_its_very_end() {
        assert_eq!(words(&holding(seconds(5)), &[0, 2, 3, 4]), ["use", "use", "ask", "ask"]);
        assert_eq!(words(&holding(seconds(70)), &[56, 59, 60, 64, 65]), ["use", "use", "renew", "renew", "ask"]);
    }

    #[test]
    fn event_13_a_token_endpoint_that_failed_is_left_alone_for_as_long_as_it_asks() {
        for (error, pause) in [
            (EhrError::Overloaded { retry_after: Some(seconds(120)) }, 120),
            (EhrError::Overloaded { retry_after: None }, 60),
            (EhrError::SignIn(SignInFault::Unreachable), 10),
            (EhrError::SignIn(SignInFault::NotAllowed), 60),
        ] {
            let mut held = Held::default();
            held.failed(&error, START);
            assert_eq!(words(&held, &[0, pause - 1, pause]), ["refuse", "refuse", "ask"], "{error}");
        }
    }

    #[test]
    fn event_13_an_early_renewal_that_fails_leaves_the_token_in_use() {
        let mut held = holding(seconds(300));
        held.failed(&EhrError::SignIn(SignInFault::Unreachable), at(240));
        assert_eq!(words(&held, &[240, 249, 250, 295]), ["use", "use", "renew", "ask"]);
    }

    #[test]
    fn event_13_a_refused_token_is_replaced_once_a_minute_at_most() {
        let (first, second) = (HeaderValue::from_static("Bearer a"), HeaderValue::from_static("Bearer b"));
        let mut held = holding(seconds(300));
        assert_eq!(held.refused(&first, at(1)), Dropped::TryAgain);
        assert_eq!(held.refused(&first, at(1)), Dropped::TryAgain, "another request had the same one");
        assert_eq!(words(&held, &[1]), ["ask"]);
        held.keep(Token::new(second.clone(), at(1), seconds(300)));
        assert_eq!(held.refused(&first, at(2)), Dropped::TryAgain, "there is a newer one already");
        assert_eq!(held.refused(&second, at(2)), Dropped::InVain);
        assert_eq!(words(&held, &[2]), ["use"]);
        assert_eq!(held.refused(&second, at(61)), Dropped::TryAgain);
    }
}
