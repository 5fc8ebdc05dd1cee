//! What became of one attempt to hand over a message.
//!
//! Must stay true: no text of the relay's is kept, only its numbers.

use std::fmt;

/// One attempt's end. Only `Accepted` says that the relay took the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// The relay has taken over responsibility (RFC 5321 §4.2.5).
    Accepted { response_code: u16 },
    /// Certainly not sent; a later attempt may succeed.
    Transient { why: Why },
    /// Certainly not sent; the relay refused this message or recipient for good.
    Permanent { why: Why },
    /// It may have been sent: the whole message was handed over and no answer can be trusted.
    Ambiguous { why: Why },
    /// Certainly not sent, and no message will be until staff or the relay's operator mend something.
    Misconfigured { why: Why },
    /// Not sent: this installation may not write to that recipient.
    Withheld,
}

impl SendOutcome {
    /// Why a connection did not come about.
    pub(super) const fn why(self) -> Why {
        match self {
            Self::Transient { why }
            | Self::Permanent { why }
            | Self::Ambiguous { why }
            | Self::Misconfigured { why } => why,
            Self::Accepted { .. } | Self::Withheld => Why::ours("the relay was not asked"),
        }
    }
}

/// A fixed text of ours and the relay's numbers. Safe to store, log and show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why {
    pub what: &'static str,
    /// Present when the relay answered.
    pub reply: Option<Reply>,
}

/// The numbers of a relay's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Three digits (RFC 5321 §4.2).
    pub code: u16,
    /// Present when the relay sends enhanced status codes.
    pub enhanced: Option<EnhancedStatus>,
}

/// `class.subject.detail` (RFC 3463), e.g. 5.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnhancedStatus {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl Why {
    pub(super) const fn ours(what: &'static str) -> Self {
        Self { what, reply: None }
    }

    pub(super) const fn answered(what: &'static str, reply: Reply) -> Self {
        Self { what, reply: Some(reply) }
    }

    /// True where the relay says for good that there is no such mailbox: it does not exist (5.1.1, 5.1.3), nor does its domain (5.1.2,
    /// 5.1.10), it moved (5.1.6) or is closed (5.2.1). RFC 3463 §3.2 and §3.3, RFC 7505. Not a full mailbox, a policy, a word about the
    /// sender (5.1.7, 5.1.8), or a bare 550, which may be any of these.
    #[must_use]
    pub fn is_no_such_mailbox(&self) -> bool {
        let status = self.reply.and_then(|reply| reply.enhanced);
        status.is_some_and(|status| {
            matches!((status.class, status.subject, status.detail), (5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1))
        })
    }

    /// True for `x.7.y`, security or policy (RFC 3463 §3.8): a matter between clinic and relay, not the patient's address.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.reply.and_then(|reply| reply.enhanced).is_some_and(|status| status.subject == 7)
    }
}

impl EnhancedStatus {
    /// Reads the first word of a reply's text; `None` when it is none.
    pub(super) fn leading(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().next()?.split('.');
        let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if numbers.next().is_some() || !matches!(class, "2" | "4" | "5") || !digits(subject) || !digits(detail) {
            return None;
        }
        Some(Self { class: class.parse().ok()?, subject: subject.parse().ok()?, detail: detail.parse().ok()? })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reply {
            Some(Reply { code, enhanced: Some(status) }) => write!(f, "{} ({code} {status})", self.what),
            Some(Reply { code, enhanced: None }) => write!(f, "{} ({code})", self.what),
            None => f.write_str(self.what),
        }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mailbox_that_does_not_exist_is_told_of_the_address() {
        let said = |code, text: &str| Why::answered("refused", Reply { code, enhanced: EnhancedStatus::leading(text) });
        for text in ["5.1.1 no", "5.1.2 no", "5.1.3 no", "5.1.6 no", "5.1.10 no", "5.2.1 no"] {
            assert!(said(550, text).is_no_such_mailbox(), "{text}");
        }
        for text in
            ["5.2.2 full", "5.7.1 policy", "5.1.7 sender", "5.1.8 sender", "4.1.1 later", "5.4.1 route", "no such user"]
        {
            assert!(!said(550, text).is_no_such_mailbox(), "{text}");
        }
        assert!(!Why::ours("no answer").is_no_such_mailbox());
    }

    #[test]
    fn only_numbers_are_read_out_of_a_reply() {
        let status = EnhancedStatus::leading("5.1.1 <ana@example.test> unknown").unwrap();
        let why = Why::answered("the relay refused the recipient", Reply { code: 550, enhanced: Some(status) });
        assert_eq!(why.to_string(), "the relay refused the recipient (550 5.1.1)");
        for text in ["", "ana@example.test", "5.1", "5.1.1.1", "3.1.1", "5.1.x", "5..1", "5.1.1234"] {
            assert_eq!(EnhancedStatus::leading(text), None, "{text:?}");
        }
    }
}
