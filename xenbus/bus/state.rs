// SPDX-License-Identifier: GPL-2.0

//! The device state machine: pure, tested on the build machine.
//!
//! States are numbers that each end writes into its `state` node (`include/xen/interface/io/xenbus.h`). A backend may
//! write any of them at any time, repeat them, or skip some; what a frontend does about it depends only on where its own
//! connection stands.

/// What one end says about its half of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No node, or a number that is none of the others.
    Unknown,
    /// Starting up.
    Initialising,
    /// The backend has said what it offers and waits for the frontend.
    InitWait,
    /// The frontend has published its half; the backend has still to connect.
    Initialised,
    /// In operation.
    Connected,
    /// Going down.
    Closing,
    /// Down.
    Closed,
    /// Changing its set-up.
    Reconfiguring,
    /// Has changed its set-up.
    Reconfigured,
}

impl State {
    /// From a state node's number.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Initialising,
            2 => Self::InitWait,
            3 => Self::Initialised,
            4 => Self::Connected,
            5 => Self::Closing,
            6 => Self::Closed,
            7 => Self::Reconfiguring,
            8 => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }

    /// As a state node's number.
    pub const fn number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Initialising => 1,
            Self::InitWait => 2,
            Self::Initialised => 3,
            Self::Connected => 4,
            Self::Closing => 5,
            Self::Closed => 6,
            Self::Reconfiguring => 7,
            Self::Reconfigured => 8,
        }
    }

    /// Its name in sysfs and in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Initialising => "Initialising",
            Self::InitWait => "InitWait",
            Self::Initialised => "Initialised",
            Self::Connected => "Connected",
            Self::Closing => "Closing",
            Self::Closed => "Closed",
            Self::Reconfiguring => "Reconfiguring",
            Self::Reconfigured => "Reconfigured",
        }
    }
}

/// Where a frontend's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is no connection; a backend that offers one is welcome.
    Disconnected,
    /// Our half is published; the backend has not connected yet.
    Offered,
    /// In operation.
    Live,
    /// Stopped for a save; see `Driver::park`.
    Parked,
    /// Disabled after an error or a broken protocol.
    Failed,
    /// Closed at the backend's wish; only a fresh connection brings it back.
    Closed,
}

/// What a frontend does about a change of the backend's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Ignore,
    /// Read what the backend offers, build a connection, publish it.
    Connect,
    /// The backend has connected: start operation.
    GoLive,
    /// The backend says Connected again: something it publishes, such as the capacity, has changed.
    Refresh,
    /// End operation, end all requests, and say Closed.
    Close,
}

/// Decides.
pub const fn action(phase: Phase, backend: State) -> Action {
    match (phase, backend) {
        (Phase::Disconnected | Phase::Failed | Phase::Closed, State::InitWait) => Action::Connect,
        (Phase::Offered, State::Connected) => Action::GoLive,
        (Phase::Live, State::Connected) => Action::Refresh,
        // The backend's state from before this frontend started; it follows when it sees us initialising.
        (Phase::Disconnected, State::Closed) => Action::Ignore,
        (Phase::Closed, _) => Action::Ignore,
        (_, State::Closing | State::Closed) => Action::Close,
        _ => Action::Ignore,
    }
}
