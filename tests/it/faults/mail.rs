//! What a relay says when it goes wrong once.

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fails.
    Later,
    Never,
    /// Hangs.
    Silent,
    SilentAfter,
    /// Lies.
    Garbage,
    /// Is cut.
    CutBefore,
    CutAfter,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Later, Self::Never, Self::Silent, Self::SilentAfter, Self::Garbage, Self::CutBefore, Self::CutAfter];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Later => "451",
            Self::Never => "550",
            Self::Silent => "hang",
            Self::SilentAfter => "hang-after",
            Self::Garbage => "garbage",
            Self::CutBefore => "cut",
            Self::CutAfter => "cut-after",
        }
    }
}
