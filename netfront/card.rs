// SPDX-License-Identifier: GPL-2.0

//! The network device: what the network stack and the event channels call.
//!
//! One NAPI context serves both directions. Each direction has its lock, which is also taken in hard interrupt context
//! to find out what an event is worth; frames are freed and handed to the stack without it.

mod batch;
mod events;

pub(crate) use events::Line;

use crate::{
    connection::Connection,
    link::{
        Link,
        Violation, //
    },
    negotiate::Negotiated,
    net::{
        self,
        Features,
        LinkStatistics,
        MacAddress,
        Operations,
        Skb,
        Transmit, //
    },
    rx::{
        self,
        Received,
        Slot, //
    },
    tx, //
};
use batch::Batch;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLockIrq, //
    }, //
};
use rxenbus::bus;

/// Frames that are worked on at once, between two looks at a lock.
const BATCH: usize = 32;
/// Slots that one poll takes at the most, whatever frames they make.
const POLL_SLOTS: usize = 512;
/// When to try again after there was no memory for receive pages.
const NO_MEMORY_MS: u32 = 100;

/// One network card.
#[pin_data]
pub(crate) struct Card {
    pub(crate) device: ARef<bus::Device>,
    pub(crate) net: net::Device<Self>,
    #[pin]
    tx: SpinLockIrq<tx::State>,
    #[pin]
    rx: SpinLockIrq<rx::State>,
    /// Responses taken so far, to tell an event that came late from one that meant nothing.
    taken: Atomic<u64>,
    /// What was negotiated, for the stack: one bit for each feature.
    features: Atomic<u32>,
}

impl Card {
    /// A card without a connection, which users do not see yet. May sleep.
    pub(crate) fn new(device: ARef<bus::Device>, address: MacAddress) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(&this in Self {
                net: net::Device::init_in(&device, address, this.as_ptr())?,
                device,
                tx <- new_spinlock_irq!(tx::State::new()),
                rx <- new_spinlock_irq!(rx::State::new()),
                taken: Atomic::new(0),
                features: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// The network device, for its registration.
    pub(crate) fn net(&self) -> &net::Device<Self> {
        &self.net
    }

    /// Goes into operation on a connection. There must be none. May sleep.
    pub(crate) fn attach(&self, connection: Connection, negotiated: &Negotiated) {
        self.features.store(negotiated.bits(), Relaxed);
        let Connection { tx, mut rx } = connection;
        if !rx.fill() {
            // The poll that comes when the card is up, or has its link, tries again.
            dev_warn!(
                (*self.device).as_ref(),
                "not all receive pages can be lent now; trying again\n"
            );
        }
        self.rx.lock().link = Link::Live(rx);
        let mut state = self.tx.lock();
        state.link = Link::Live(tx);
        state.parked = false;
    }

    /// Drops the connection; frames that the backend has are lost. Process context.
    pub(crate) fn detach(&self) {
        let mut tx = self.tx.lock();
        let former_tx = tx.link.take();
        // Under the lock, as everything that counts frames for the byte limit.
        self.net.reset_queue();
        drop(tx);
        let former_rx = self.rx.lock().link.take();
        drop((former_tx, former_rx));
    }

    /// Ends operation after a violation; the connection stays until `detach`.
    fn fail(&self, violation: Violation) {
        self.tx.lock().link.fail(violation);
        self.rx.lock().link.fail(violation);
        self.net.carrier_off();
    }

    /// Ends operation in an orderly way; the connection stays until `detach`.
    pub(crate) fn retire(&self) {
        self.net.carrier_off();
        self.tx.lock().link.retire();
        self.rx.lock().link.retire();
    }

    /// How the backend broke the protocol, if it did.
    pub(crate) fn violation(&self) -> Option<Violation> {
        let tx = self.tx.lock().link.violation();
        tx.or_else(|| self.rx.lock().link.violation())
    }

    /// Takes no frames any more. May sleep.
    pub(crate) fn park(&self) {
        self.net.detach();
        self.tx.lock().parked = true;
    }

    /// Takes frames again. May sleep.
    pub(crate) fn unpark(&self) {
        self.tx.lock().parked = false;
        self.net.attach();
    }

    /// Whether the backend has answered all frames that it was sent.
    pub(crate) fn is_idle(&self) -> bool {
        match self.tx.lock().link.live() {
            Some(link) => link.is_idle(),
            None => true,
        }
    }

    /// Takes what the backend has answered of the frames that were sent.
    fn clean_tx(&self) {
        loop {
            let mut done = Batch::<Skb, BATCH>::new();
            let mut state = self.tx.lock();
            let result = self.take_done(&mut state, &mut done);
            if let Err(violation) = result {
                if let Some(link) = state.link.live() {
                    link.channel.stop();
                }
                state.link.fail(violation);
            }
            drop(state);
            self.taken.add(done.len() as u64, Relaxed);
            let full = done.is_full();
            done.for_each(Skb::consume);
            if !full || result.is_err() {
                return;
            }
        }
    }

    /// The part of `clean_tx` under the lock.
    fn take_done(
        &self,
        state: &mut tx::State,
        done: &mut Batch<Skb, BATCH>,
    ) -> Result<(), Violation> {
        let tx::State {
            link,
            counters,
            parked,
        } = state;
        let Some(link) = link.live() else {
            return Ok(());
        };
        while !done.is_full() {
            let Some(answered) = link.next_done()? else {
                break;
            };
            answered.count(counters, &self.net);
            done.push(answered.frame);
        }
        if !*parked && !done.is_empty() && link.may_wake() {
            self.net.wake_queue();
        }
        Ok(())
    }

    /// Takes up to a batch of frames, and lends new pages. Returns how many slots that took.
    fn take_received(&self, frames: &mut Batch<Received, BATCH>, most: usize) -> usize {
        let mut state = self.rx.lock();
        let rx::State { link, counters } = &mut *state;
        let Some(live) = link.live() else {
            return 0;
        };
        let mut slots = 0;
        let result = loop {
            if frames.len() >= most || frames.is_full() || slots >= POLL_SLOTS {
                break Ok(());
            }
            match live.next_slot(&self.net, counters) {
                Ok(None) => break Ok(()),
                Ok(Some(Slot::Part)) => slots += 1,
                Ok(Some(Slot::Frame(frame))) => {
                    slots += 1;
                    frames.push(frame);
                }
                Err(violation) => break Err(violation),
            }
        };
        match result {
            Ok(()) if slots > 0 || live.is_starved() => {
                if !live.fill() {
                    self.net.poll_later(NO_MEMORY_MS);
                }
            }
            Ok(()) => {}
            Err(violation) => {
                live.channel.stop();
                link.fail(violation);
            }
        }
        drop(state);
        self.taken.add(slots as u64, Relaxed);
        slots
    }

    /// The part of `transmit` under the lock.
    fn send(&self, frame: Skb, layout: &tx::Layout, copied: bool, more: bool) -> Transmit {
        let mut state = self.tx.lock();
        let tx::State {
            link,
            counters,
            parked,
        } = &mut *state;
        let Some(link) = link.live() else {
            counters.dropped += 1;
            return Transmit::Done;
        };
        if *parked || !link.has_room() {
            self.net.stop_queue();
            link.publish();
            return Transmit::Busy(frame);
        }
        let bytes = frame.length();
        frame.timestamp();
        counters.copied += u64::from(copied);
        let mut now = !more;
        match link.send(frame, layout) {
            Ok(()) => now |= self.net.sent(bytes, more),
            Err(_) => counters.errors += 1,
        }
        if !link.has_room() {
            self.net.stop_queue();
            counters.stops += 1;
            now = true;
        }
        if now {
            link.publish();
        }
        Transmit::Done
    }

    /// A frame that cannot be sent. The frames before it must not wait for it.
    fn refuse(&self, more: bool) {
        let mut state = self.tx.lock();
        state.counters.errors += 1;
        if let (false, Some(link)) = (more, state.link.live()) {
            link.publish();
        }
    }
}

impl Operations for Card {
    const STATISTICS: &'static [&'static CStr] = &[
        c"tx_copied",
        c"tx_queue_stops",
        c"rx_gso_checksum_fixup",
        c"tx_notifications",
        c"rx_notifications",
        c"events",
        c"events_spurious",
        c"tx_timeouts",
    ];

    fn open(&self) {
        self.net.poll_now();
    }

    fn stop(&self) {}

    fn transmit(&self, mut frame: Skb, more: bool) -> Transmit {
        let slots = if self.features().scatter_gather {
            crate::wire::MAX_SLOTS
        } else {
            1
        };
        match tx::lay_out(&mut frame, slots) {
            Ok((layout, copied)) => self.send(frame, &layout, copied, more),
            Err(_) => {
                self.refuse(more);
                Transmit::Done
            }
        }
    }

    fn poll(&self, budget: usize) -> usize {
        self.clean_tx();
        let (mut received, mut slots) = (0, 0);
        let mut counters = rx::Counters::default();
        while received < budget && slots < POLL_SLOTS {
            let mut frames = Batch::new();
            let taken = self.take_received(&mut frames, budget - received);
            if taken == 0 {
                break;
            }
            slots += taken;
            received += frames.len();
            frames.for_each(|frame| frame.deliver(&self.net, &mut counters));
        }
        self.rx.lock().counters += counters;
        if slots >= POLL_SLOTS {
            // There may be more, although there were few frames.
            return budget;
        }
        received
    }

    fn rearm(&self) -> bool {
        let tx = match self.tx.lock().link.live() {
            Some(link) => link.ring.rearm(),
            None => Ok(false),
        };
        let rx = match self.rx.lock().link.live() {
            Some(link) => link.ring.rearm(),
            None => Ok(false),
        };
        // A broken index is found again, and reported, by the poll.
        tx.unwrap_or(true) | rx.unwrap_or(true)
    }

    fn stalled(&self) {
        self.remind();
    }

    fn features(&self) -> Features {
        let bits = self.features.load(Relaxed);
        Features {
            scatter_gather: bits & 1 != 0,
            ipv6_checksum: bits & 2 != 0,
            tso: bits & 4 != 0,
            tso6: bits & 8 != 0,
        }
    }

    fn link_statistics(&self) -> LinkStatistics {
        let tx = self.tx.lock().counters;
        let rx = self.rx.lock().counters;
        LinkStatistics {
            rx_packets: rx.packets,
            rx_bytes: rx.bytes,
            rx_errors: rx.errors,
            rx_dropped: rx.dropped,
            tx_packets: tx.packets,
            tx_bytes: tx.bytes,
            tx_errors: tx.errors,
            tx_dropped: tx.dropped,
        }
    }

    fn statistics(&self, put: impl FnMut(u64)) {
        self.own_counters().into_iter().for_each(put)
    }
}
