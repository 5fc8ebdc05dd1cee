//! What became of one attempt to hand over a text message, and what its gateway says of it later.
//!
//! Must stay true: no text of the gateway's is kept (it may repeat the number), only its numbers; every refusal says whose fault
//! it is.

use std::fmt;

/// One attempt's end. Only `Accepted` says that the gateway took the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextOutcome {
    Accepted,
    /// Certainly not sent; a later attempt may succeed.
    Transient {
        why: TextWhy,
    },
    /// Certainly not sent; the gateway refused this message or number for good.
    Permanent {
        why: TextWhy,
    },
    /// It may have been sent. Never tried again: the gateway says later what became of it, or a person asks.
    Ambiguous {
        why: TextWhy,
    },
    /// Certainly not sent, and no message will be until staff or the gateway's operator mend something.
    Misconfigured {
        why: TextWhy,
    },
    /// Not sent: this installation may not write to that number.
    Withheld,
}

/// What a gateway reports of a message that it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextReport {
    /// It is on its way.
    Taken,
    /// It is there.
    Arrived,
    /// It did not arrive, and will not.
    Failed { why: TextWhy },
    /// Nothing that changes anything: still waiting, or a word that nobody knows.
    Nothing,
}

/// Who must do something so that a message gets through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The number takes no texts: it does not exist, or is a landline. Nothing more is sent there.
    Number,
    /// Whoever has the number asked for no more texts.
    OptedOut,
    /// The number may be right, and was not reached: switched off, blocked, out of reach.
    Reach,
    /// The account at the gateway: its password, sender, registration, money, or what the networks hold against it.
    Account,
    /// The gateway or a network.
    Gateway,
    /// Chartseal.
    Ours,
}

/// A fixed text of ours and the gateway's number. Safe to store, log and show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextWhy {
    pub fault: Fault,
    pub what: &'static str,
    /// The gateway's own code, else the status of its answer.
    pub code: Option<u32>,
}

impl TextWhy {
    #[must_use]
    pub const fn new(fault: Fault, what: &'static str) -> Self {
        Self { fault, what, code: None }
    }

    #[must_use]
    pub const fn with(self, code: u32) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The number can receive no texts: nothing more is sent there until a person says so.
    #[must_use]
    pub const fn is_no_such_number(&self) -> bool {
        matches!(self.fault, Fault::Number)
    }

    #[must_use]
    pub const fn is_opt_out(&self) -> bool {
        matches!(self.fault, Fault::OptedOut)
    }
}

impl Fault {
    const fn whose(self) -> &'static str {
        match self {
            Self::Number => "the number's",
            Self::OptedOut => "the recipient's wish",
            Self::Reach => "the recipient's phone",
            Self::Account => "the account at the gateway",
            Self::Gateway => "the gateway's",
            Self::Ours => "Chartseal's",
        }
    }
}

impl fmt::Display for TextWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.code {
            Some(code) => write!(f, " ({code}; {})", self.fault.whose()),
            None => write!(f, " ({})", self.fault.whose()),
        }
    }
}
