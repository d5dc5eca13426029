// SPDX-License-Identifier: GPL-2.0

//! One direction of a connection.

/// How the backend broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It claims responses that cannot be.
    Index,
    /// A response for no request.
    Response,
    /// It keeps pages mapped that it has answered for.
    Grant,
}

impl Violation {
    /// For the log.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Index => "claims responses that it cannot have produced",
            Self::Response => "answered a request that it was not sent",
            Self::Grant => "keeps pages mapped that it has answered for",
        }
    }
}

impl From<rxenbus::ring::Corrupt> for Violation {
    fn from(_: rxenbus::ring::Corrupt) -> Self {
        Self::Index
    }
}

/// One direction of a connection, or none. Under the lock of its direction.
pub(crate) enum Link<L> {
    /// There is no connection.
    Absent,
    /// In operation.
    Live(L),
    /// The backend broke the protocol: kept until it connects anew, but not used.
    Failed(L, Violation),
    /// The connection ends: kept until the backend has let go of what was lent to it, but not used.
    Retired(L),
}

impl<L> Link<L> {
    /// The link, if it is in operation.
    pub(crate) fn live(&mut self) -> Option<&mut L> {
        match self {
            Self::Live(link) => Some(link),
            Self::Absent | Self::Failed(..) | Self::Retired(_) => None,
        }
    }

    /// How the backend broke the protocol, if it did.
    pub(crate) fn violation(&self) -> Option<Violation> {
        match self {
            Self::Failed(_, violation) => Some(*violation),
            Self::Absent | Self::Live(_) | Self::Retired(_) => None,
        }
    }

    /// Ends operation.
    pub(crate) fn fail(&mut self, violation: Violation) {
        *self = match core::mem::replace(self, Self::Absent) {
            Self::Live(link) => Self::Failed(link, violation),
            other => other,
        };
    }

    /// Ends operation in an orderly way.
    pub(crate) fn retire(&mut self) {
        *self = match self.take() {
            Self::Live(link) | Self::Failed(link, _) => Self::Retired(link),
            other => other,
        };
    }

    /// Takes the link out. To be dropped without the lock, in process context.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::Absent)
    }
}
