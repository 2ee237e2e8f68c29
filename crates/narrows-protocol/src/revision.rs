//! Revisions of the protocol, oldest first.

use std::fmt;

/// A revision that we speak. Ordered by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// HTTP+SSE.
    V2024_11_05,
    /// Streamable HTTP, batches.
    V2025_03_26,
    /// Structured output, elicitation, the version header.
    V2025_06_18,
    /// URL elicitation, experimental tasks.
    V2025_11_25,
    /// Stateless: the modern era.
    V2026_07_28,
}

impl Revision {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// The newest that opens with `initialize`.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// The newest of all.
    pub const LATEST: Self = Self::V2026_07_28;

    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that name, if we speak it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }

    /// Whether it is of the stateless era.
    pub fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// Those of the stateless era, oldest first.
    pub fn modern() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|r| r.is_modern())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
