// SPDX-License-Identifier: GPL-2.0

//! What happens when the backend sends an event.

use super::Card;
use crate::{
    link::Violation,
    rx,
    tx, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use rxenbus::evtchn::{
    Channel,
    Handler,
    Outcome, //
};

/// The handler of one event channel of a card.
pub(crate) struct Line {
    card: Arc<Card>,
    /// `Card::taken` at the last event.
    seen: Atomic<u64>,
}

impl Line {
    /// The handler of a channel of `card`.
    pub(crate) fn handler(card: Arc<Card>) -> Result<Arc<dyn Handler>> {
        let line: Arc<dyn Handler> = Arc::new(
            Self {
                card,
                seen: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        Ok(line)
    }
}

impl Handler for Line {
    fn event(&self) -> Outcome {
        let taken = self.card.taken.load(Relaxed);
        let progress = self.seen.xchg(taken, Relaxed) != taken;
        match self.card.has_responses() {
            Ok(true) => {
                self.card.net.poll_soon();
                Outcome::Handled
            }
            // A poll has taken what the event was for.
            Ok(false) if progress => Outcome::Handled,
            Ok(false) => Outcome::Spurious,
            Err(violation) => {
                self.card.fail(violation);
                Outcome::Stop
            }
        }
    }

    fn stopped(&self) {
        let Some(violation) = self.card.violation() else {
            // The backend has connected anew meanwhile.
            return;
        };
        self.card.fail(violation);
        self.card.device.fatal(
            EPROTO,
            fmt!(
                "the backend {}; the card is disabled until it connects anew",
                violation.describe()
            ),
        );
    }
}

impl Card {
    /// Whether there is something to take, in either direction.
    fn has_responses(&self) -> Result<bool, Violation> {
        let tx = match self.tx.lock().link.live() {
            Some(link) => link.ring.has_responses()?,
            None => false,
        };
        if tx {
            return Ok(true);
        }
        match self.rx.lock().link.live() {
            Some(link) => Ok(link.ring.has_responses()?),
            None => Ok(false),
        }
    }
}

/// What a channel has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) port: u32,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) spurious: u64,
}

impl Count {
    /// Of a channel.
    fn of(channel: &Channel) -> Self {
        Self {
            port: channel.port(),
            sent: channel.sent(),
            received: channel.received(),
            spurious: channel.spurious(),
        }
    }
}

/// Of the transmit channel.
pub(super) fn count(link: &mut tx::Connected) -> Count {
    Count::of(&link.channel)
}

/// Of the receive channel.
pub(super) fn count_rx(link: &mut rx::Connected) -> Count {
    Count::of(&link.channel)
}
