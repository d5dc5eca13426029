// SPDX-License-Identifier: GPL-2.0

//! A frontend for the made-up device type `ping`: it sends numbers, and the backend sends them back.

#![deny(unsafe_code)]

use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use rxenbus::{
    bus::{
        self,
        action,
        Action,
        Device,
        Phase,
        State, //
    },
    evtchn::{
        self,
        Outcome, //
    },
    ring,
    store, //
};

/// How long each step of a close handshake may take.
const CLOSE: Delta = Delta::from_secs(5);

/// What travels on the ring: a number each way.
struct Protocol;

impl ring::Protocol for Protocol {
    type Request = [u64; 1];
    type Response = [u64; 1];
}

/// What both ends agreed on.
#[derive(Clone, Copy)]
struct Negotiated {
    /// The largest number that the backend takes.
    largest: u64,
}

/// Settles a connection. Pure, so that it can be tested on the build machine.
fn negotiate(offered: Option<u64>) -> Negotiated {
    Negotiated {
        largest: offered.unwrap_or(1),
    }
}

/// A ring that the backend was told of. Dropping it ends everything.
struct Connection {
    // The channel goes first: its handler uses the ring.
    channel: evtchn::Channel,
    ring: ring::Front<Protocol>,
    negotiated: Negotiated,
}

impl Connection {
    /// Sets a ring and a channel up and publishes them. May sleep.
    fn publish(device: &Device, handler: Arc<dyn evtchn::Handler>) -> Result<Self> {
        let offered = store::read_number(&device.otherend()?, c"largest", 1..=u64::MAX)?;
        let ring = ring::Front::new(device)?;
        let channel = evtchn::Channel::bind(device, "ring", handler)?;
        let node = device.nodename();
        store::transaction(|open| {
            store::write(Some(open), node, c"ring-ref", fmt!("{}", ring.gref()))?;
            store::write(
                Some(open),
                node,
                c"event-channel",
                fmt!("{}", channel.port()),
            )
        })?;
        Ok(Self {
            channel,
            ring,
            negotiated: negotiate(offered),
        })
    }

    /// Sends a number.
    fn send(&mut self, number: u64) -> Result {
        self.ring.push(&[number.min(self.negotiated.largest)])?;
        if self.ring.publish() {
            self.channel.notify();
        }
        Ok(())
    }

    /// Takes all responses; how many there were.
    fn take(&mut self) -> Result<u64, ring::Corrupt> {
        let mut count = 0;
        loop {
            while let Some((_, [number])) = self.ring.next_response()? {
                // A frontend with requests of its own checks here that it is waiting for this one.
                pr_info!("{} came back\n", number);
                count += 1;
            }
            if !self.ring.rearm()? {
                return Ok(count);
            }
        }
    }
}

/// One device.
#[pin_data]
struct Ping {
    device: ARef<Device>,
    /// Taken by the interrupt handler too.
    #[pin]
    link: SpinLockIrq<Option<Connection>>,
    /// Where the connection stands. Taken by callbacks of the bus only.
    #[pin]
    phase: Mutex<Phase>,
}

impl Ping {
    /// Exchanges the connection. The former one is dropped without the lock: that waits for the handler.
    fn exchange(&self, connection: Option<Connection>) {
        let former = core::mem::replace(&mut *self.link.lock(), connection);
        drop(former);
    }

    /// What a change of the backend's state asks for, and the phase that follows.
    fn act(self: &Arc<Self>, device: &Device, phase: Phase, action: Action) -> Result<Phase> {
        match action {
            Action::Ignore | Action::Refresh => Ok(phase),
            Action::Connect => {
                self.exchange(None);
                self.exchange(Some(Connection::publish(device, self.clone())?));
                device.switch_state(State::Initialised)?;
                Ok(Phase::Offered)
            }
            Action::GoLive => {
                device.switch_state(State::Connected)?;
                if let Some(connection) = &mut *self.link.lock() {
                    connection.send(42)?;
                }
                Ok(Phase::Live)
            }
            Action::Close => {
                self.exchange(None);
                device.closed();
                Ok(Phase::Closed)
            }
        }
    }
}

impl evtchn::Handler for Ping {
    fn event(&self) -> Outcome {
        let mut link = self.link.lock();
        let Some(connection) = &mut *link else {
            return Outcome::Spurious;
        };
        match connection.take() {
            Ok(0) => Outcome::Spurious,
            Ok(_) => Outcome::Handled,
            Err(_) => Outcome::Stop,
        }
    }

    fn stopped(&self) {
        self.device
            .fatal(EPROTO, fmt!("the backend claims responses that cannot be"));
    }
}

impl bus::Driver for Ping {
    const NAME: &'static CStr = c"pingfront";
    const KIND: &'static CStr = c"ping";
    type Data = Self;

    fn probe(device: &ARef<Device>) -> Result<Arc<Self>> {
        let ping = Arc::pin_init(
            pin_init!(Self {
                device: device.clone(),
                link <- new_spinlock_irq!(None),
                phase <- new_mutex!(Phase::Disconnected),
            }),
            GFP_KERNEL,
        )?;
        device.switch_state(State::Initialising)?;
        Ok(ping)
    }

    fn otherend_changed(device: &Device, ping: &Arc<Self>, state: State) {
        let mut phase = ping.phase.lock();
        let action = action(*phase, state);
        match ping.act(device, *phase, action) {
            Ok(next) => *phase = next,
            Err(error) => {
                *phase = Phase::Failed;
                device.fatal(error, fmt!("cannot connect to the backend ({:?})", action));
            }
        }
    }

    fn park(_device: &Device, ping: &Arc<Self>) {
        let mut phase = ping.phase.lock();
        if *phase == Phase::Live {
            // A frontend with a queue stops it here, and waits a while for what is in flight.
            *phase = Phase::Parked;
        }
    }

    fn unpark(_device: &Device, ping: &Arc<Self>) {
        let mut phase = ping.phase.lock();
        if *phase == Phase::Parked {
            *phase = Phase::Live;
        }
    }

    fn restored(_device: &Device, ping: &Arc<Self>) -> Result {
        ping.exchange(None);
        *ping.phase.lock() = Phase::Disconnected;
        Ok(())
    }

    fn remove(device: &Device, ping: Arc<Self>) {
        *ping.phase.lock() = Phase::Closed;
        // The backend unmaps the ring when it closes; then its grant can end.
        device.close(CLOSE);
        ping.exchange(None);
    }
}

rxenbus::module_frontend_driver! {
    type: Ping,
    name: "pingfront",
    authors: ["The rxen developers"],
    description: "Example of a Xen frontend in Rust",
    license: "GPL",
    alias: ["xen:ping"],
}
