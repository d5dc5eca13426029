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

impl Card {
    /// Looks for answers that no event has told of, and sends the backend one more event, in case it has missed one.
    pub(super) fn remind(&self) {
        let mut state = self.tx.lock();
        let tx::State {
            link,
            counters,
            parked,
        } = &mut *state;
        counters.timeouts += 1;
        if let (false, Some(link)) = (*parked, link.live()) {
            // An event may have been lost, in either direction.
            link.publish();
            link.channel.notify();
            if link.may_wake() {
                self.net.wake_queue();
            }
        }
        drop(state);
        self.net.poll_soon();
    }

    /// The counters of `ethtool -S`, in the order of their names.
    pub(super) fn own_counters(&self) -> [u64; 8] {
        let (tx, tx_events) = {
            let mut state = self.tx.lock();
            (state.counters, state.link.live().map(count))
        };
        let (rx, rx_events) = {
            let mut state = self.rx.lock();
            (state.counters, state.link.live().map(count_rx))
        };
        let tx_events = tx_events.unwrap_or_default();
        let rx_events = rx_events.unwrap_or_default();
        // Without split channels both directions share one.
        let both = if tx_events.port == rx_events.port {
            Count::default()
        } else {
            rx_events
        };
        [
            tx.copied,
            tx.stops,
            rx.checksum_fixups,
            tx_events.sent,
            both.sent,
            tx_events.received + both.received,
            tx_events.spurious + both.spurious,
            tx.timeouts,
        ]
    }
}

/// What a channel has counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    port: u32,
    sent: u64,
    received: u64,
    spurious: u64,
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
fn count(link: &mut tx::Connected) -> Count {
    Count::of(&link.channel)
}

/// Of the receive channel.
fn count_rx(link: &mut rx::Connected) -> Count {
    Count::of(&link.channel)
}
