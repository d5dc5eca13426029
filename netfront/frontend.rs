// SPDX-License-Identifier: GPL-2.0

//! A network card as a device of the bus: connecting, suspend and restore, removal.

use crate::{
    card::Card,
    connection::Connection,
    negotiate::{
        self,
        Negotiated,
        Offers,
        PLAIN_MTU, //
    },
    net::Registration,
    offers, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use rxenbus::bus::{
    self,
    action,
    Action,
    Comeback,
    Device,
    Phase,
    State, //
};

/// How long a park waits for the backend to answer what it has. Frames may be lost, so this is short.
const DRAIN: Delta = Delta::from_millis(500);
/// How long each step of a close handshake may take.
const CLOSE: Delta = Delta::from_secs(5);

/// One network card.
#[pin_data]
pub(crate) struct Vif {
    card: Arc<Card>,
    comeback: Comeback,
    /// The MTU at first.
    mtu: u32,
    #[pin]
    control: Mutex<Control>,
}

/// Where the connection stands. Only the bus's callbacks use it.
struct Control {
    phase: Phase,
    /// The phase to go back to when a suspend is cancelled.
    parked: Option<Phase>,
    /// What users see, from the first connection on until the device goes.
    registration: Option<Registration<Card>>,
}

impl Vif {
    /// The phase, with what the card knows of it.
    fn phase(&self, control: &Control) -> Phase {
        let connected = matches!(control.phase, Phase::Offered | Phase::Live);
        if connected && self.card.violation().is_some() {
            Phase::Failed
        } else {
            control.phase
        }
    }

    /// Sets a connection up, and publishes it.
    fn connect(&self, device: &Device, control: &mut Control, offers: &Offers) -> Result {
        let negotiated = negotiate(device, offers)?;
        self.comeback.end();
        // What is left of a connection that failed or was closed.
        self.card.detach();
        let connection = Connection::publish(device, &self.card, &negotiated)?;
        self.card.attach(connection, &negotiated);
        self.show(control, &negotiated)?;
        control.phase = Phase::Offered;
        device.switch_state(State::Connected)?;
        self.announce(device, &negotiated);
        Ok(())
    }

    /// Shows users the card, or that it has other features now.
    fn show(&self, control: &mut Control, negotiated: &Negotiated) -> Result {
        if control.registration.is_some() {
            self.card.net.update_features(negotiated.max_mtu());
            self.card.net.attach();
            return Ok(());
        }
        self.card.net.set_first_mtu(self.mtu, negotiated.max_mtu());
        control.registration = Some(Registration::new(self.card.clone(), Card::net)?);
        Ok(())
    }

    /// The backend has connected: the link is up.
    fn go_live(&self, control: &mut Control) {
        control.phase = Phase::Live;
        self.comeback.connected();
        self.card.net.carrier_on();
        self.card.net.notify_peers();
        if self.card.net.is_running() {
            // A former connection may have left the queue stopped.
            self.card.net.wake_queue();
            self.card.net.poll_now();
        }
    }

    /// The backend goes down: the link is down until it connects anew.
    fn close(&self, device: &Device, control: &mut Control) {
        control.phase = Phase::Closed;
        // The backend unmaps the rings when it sees us closed; until it connects anew or the device goes, they stay.
        self.card.retire();
        device.closed();
    }

    /// One line about what was agreed on.
    fn announce(&self, device: &Device, negotiated: &Negotiated) {
        let Ok(name) = self.card.net.name() else {
            return;
        };
        let yes_no = |flag| if flag { "yes" } else { "no" };
        dev_info!(
            device.as_ref(),
            "{}: {} event channels; scatter-gather {}; TSO {}; TSO6 {}; IPv6 checksums {}\n",
            &*name,
            if negotiated.split_event_channels {
                2
            } else {
                1
            },
            yes_no(negotiated.scatter_gather),
            yes_no(negotiated.tso),
            yes_no(negotiated.tso6),
            yes_no(negotiated.ipv6_checksum),
        );
    }

    /// The link is down.
    fn disable(&self, control: &mut Control) {
        control.phase = Phase::Failed;
        self.card.net.carrier_off();
        self.card.detach();
    }

    /// What was to be done has failed: the link is down, and the backend is told.
    fn fail(&self, control: &mut Control, action: Action, error: Error) {
        self.disable(control);
        self.comeback.failed(action, error, Connection::REFERENCES);
    }

    /// What a change of the backend's state asks for.
    fn act(
        &self,
        device: &Device,
        control: &mut Control,
        action: Action,
        offers: &Offers,
    ) -> Result {
        match action {
            Action::Ignore | Action::Refresh => Ok(()),
            Action::Connect => self.connect(device, control, offers),
            Action::GoLive => {
                self.go_live(control);
                Ok(())
            }
            Action::Close => {
                self.close(device, control);
                Ok(())
            }
        }
    }

    /// Waits until the backend has answered all frames, for `DRAIN` at the most.
    fn drain(&self) {
        let start = Instant::<Monotonic>::now();
        while !self.card.is_idle() && start.elapsed() < DRAIN {
            fsleep(Delta::from_millis(1));
        }
    }
}

/// Reads what the backend offers, where an action needs that.
fn read_offers(device: &Device, action: Action) -> Result<Offers> {
    if action != Action::Connect {
        return Ok(Offers::default());
    }
    offers::read(&device.otherend()?)
}

/// What comes of what the backend offers.
fn negotiate(device: &Device, offers: &Offers) -> Result<Negotiated> {
    negotiate::negotiate(offers).map_err(|refused| {
        dev_err!(
            device.as_ref(),
            "the backend does not offer {}, which is needed\n",
            refused.node()
        );
        EOPNOTSUPP
    })
}

impl bus::Driver for Vif {
    const NAME: &'static CStr = c"rxen_netfront";
    const KIND: &'static CStr = c"vif";
    type Data = Self;

    fn probe(device: &ARef<Device>) -> Result<Arc<Self>> {
        let address = offers::mac(device).inspect_err(|error| {
            let what = if *error == EINVAL {
                "holds no usable address"
            } else {
                "cannot be read"
            };
            device.error(*error, fmt!("the node mac {}", what));
        })?;
        let mtu = offers::mtu(device)?.unwrap_or(PLAIN_MTU);
        let card = Card::new(device.clone(), address)?;
        let vif = Arc::pin_init(
            try_pin_init!(Self {
                card,
                comeback: Comeback::new(device.clone())?,
                mtu,
                control <- new_mutex!(Control {
                    phase: Phase::Disconnected,
                    parked: None,
                    registration: None,
                }),
            }),
            GFP_KERNEL,
        )?;
        device.switch_state(State::Initialising)?;
        Ok(vif)
    }

    fn otherend_changed(device: &Device, vif: &Arc<Self>, state: State) {
        let mut control = vif.control.lock();
        let phase = vif.phase(&control);
        let action = action(phase, state);
        if !vif.comeback.admits(phase, action) {
            vif.disable(&mut control);
            vif.comeback.refuse(Connection::REFERENCES);
            return;
        }
        let offers = match read_offers(device, action) {
            Err(error) if device.look_again(error) => return,
            Err(error) => {
                dev_err!(
                    device.as_ref(),
                    "cannot read what the backend offers ({:?})\n",
                    error
                );
                Err(error)
            }
            offers => offers,
        };
        let result = offers.and_then(|offers| vif.act(device, &mut control, action, &offers));
        if let Err(error) = result {
            vif.fail(&mut control, action, error);
        }
        let closed = control.phase == Phase::Closed && state == State::Closed;
        vif.comeback.note(closed);
    }

    fn park(_device: &Device, vif: &Arc<Self>) {
        let mut control = vif.control.lock();
        if control.registration.is_some() {
            vif.card.park();
        }
        vif.drain();
        let phase = vif.phase(&control);
        if phase != Phase::Parked {
            control.parked = Some(phase);
            control.phase = Phase::Parked;
        }
    }

    fn unpark(device: &Device, vif: &Arc<Self>) {
        let mut control = vif.control.lock();
        if let Some(phase) = control.parked.take() {
            control.phase = phase;
        }
        if control.registration.is_some() {
            vif.card.unpark();
        }
        if control.phase != Phase::Offered {
            return;
        }
        // The backend may have connected meanwhile.
        match device.otherend_state() {
            Ok(State::Connected) => vif.go_live(&mut control),
            Ok(_) => {}
            Err(error) => {
                device.look_again(error);
            }
        }
    }

    fn restored(_device: &Device, vif: &Arc<Self>) -> Result {
        let mut control = vif.control.lock();
        vif.card.net.carrier_off();
        vif.card.detach();
        control.parked = None;
        control.phase = Phase::Disconnected;
        vif.comeback.restored();
        Ok(())
    }

    fn remove(device: &Device, vif: Arc<Self>) {
        vif.comeback.end();
        let mut control = vif.control.lock();
        control.phase = Phase::Closed;
        control.registration = None;
        vif.card.retire();
        // The backend unmaps what it has when it closes; then the grants can end.
        device.close(CLOSE);
        vif.card.detach();
    }
}
