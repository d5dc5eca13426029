// SPDX-License-Identifier: GPL-2.0

//! What the toolstack asks for: pure, tested on the build machine.

/// A request in `control/shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Shut down and end the domain.
    PowerOff,
    /// The same; the difference matters to the toolstack only.
    Halt,
    /// Shut down and start anew.
    Reboot,
    /// Suspend, to be saved, copied or migrated.
    Suspend,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::PowerOff, Self::Halt, Self::Reboot, Self::Suspend];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Halt => "halt",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
        }
    }

    /// From a node's value; [`None`] if it is none that is known.
    pub fn from_value(value: &[u8]) -> Option<Self> {
        let value = without_end(value);
        Self::ALL
            .into_iter()
            .find(|request| request.name().as_bytes() == value)
    }
}

/// Whether a node's value asks for nothing: that is how a request is acknowledged.
pub fn is_empty(value: &[u8]) -> bool {
    without_end(value).is_empty()
}

/// The key in `control/sysrq`; [`None`] if there is none.
pub fn sysrq_key(value: &[u8]) -> Option<u8> {
    match without_end(value) {
        [key] if key.is_ascii_graphic() => Some(*key),
        _ => None,
    }
}

/// Takes one trailing NUL off.
fn without_end(value: &[u8]) -> &[u8] {
    match value {
        [rest @ .., 0] => rest,
        all => all,
    }
}
