// SPDX-License-Identifier: GPL-2.0

//! A disk as a device of the bus: connecting, suspend and restore, removal.

use crate::{
    connection::{
        self,
        Offered,
        DEPTH, //
    },
    identity::{
        is_emulated,
        virtual_device, //
    },
    module_parameters,
    mq,
    naming::Place,
    negotiate::{
        self,
        Flush,
        Negotiated,
        Offers, //
    },
    offers,
    queue::Queue, //
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
use rxenbus::{
    bus::{
        self,
        action,
        Action,
        Comeback,
        Device,
        Phase,
        State, //
    },
    evtchn::Handler, //
};

/// How long the backend may take to answer what it has. When parked, the rest is issued again after the restore; when
/// the disk goes, it fails.
const DRAIN: Delta = Delta::from_secs(5);
/// How long each step of a close handshake may take.
const CLOSE: Delta = Delta::from_secs(5);

/// One disk.
#[pin_data]
pub(crate) struct Disk {
    place: Place,
    handle: u16,
    queue: Arc<Queue>,
    comeback: Comeback,
    #[pin]
    control: Mutex<Control>,
}

/// Where the connection stands. Only the bus's callbacks use it.
struct Control {
    phase: Phase,
    /// A ring that the backend was told of.
    offered: Option<Offered>,
    /// What users see, from the first connection on until the backend closes.
    disk: Option<mq::Disk<Queue>>,
}

impl Disk {
    /// The phase, with what the queue knows of it.
    fn phase(&self, control: &Control) -> Phase {
        if control.phase == Phase::Live && self.queue.is_failed() {
            Phase::Failed
        } else {
            control.phase
        }
    }

    /// Sets a ring up and offers it to the backend.
    fn connect(&self, device: &Device, control: &mut Control) -> Result {
        self.comeback.end();
        if self.phase(control) == Phase::Failed {
            // A fresh start after an error: what there was goes, users keep their disk.
            if let Some(disk) = &mut control.disk {
                disk.quiesce();
            }
        }
        control.offered = None;
        self.queue.reset();
        let handler: Arc<dyn Handler> = self.queue.clone();
        control.offered = Some(Offered::publish(device, handler)?);
        control.phase = Phase::Offered;
        device.switch_state(State::Initialised)
    }

    /// The backend has connected: goes into operation.
    fn go_live(&self, device: &Device, control: &mut Control, offers: &Offers) -> Result {
        let negotiated = self.negotiate(device, offers)?;
        let offered = control.offered.take().ok_or(ENODEV)?;
        let connected = offered.accept(device, self.handle, negotiated)?;
        let limits = connection::limits(&negotiated);
        match &mut control.disk {
            Some(disk) => {
                disk.set_limits(&limits)?;
                self.queue.attach(connected)?;
                disk.set_capacity(negotiated.sectors);
                disk.set_kind(negotiated.read_only, negotiated.removable);
                device.switch_state(State::Connected)?;
                disk.resume();
            }
            None => {
                let disk = mq::Disk::new(&self.place, DEPTH, &limits, self.queue.clone())?;
                disk.set_capacity(negotiated.sectors);
                disk.set_kind(negotiated.read_only, negotiated.removable);
                self.queue.attach(connected)?;
                device.switch_state(State::Connected)?;
                control.disk.insert(disk).add(device)?;
            }
        }
        control.phase = Phase::Live;
        self.comeback.connected();
        self.announce(device, &negotiated);
        Ok(())
    }

    /// What comes of what the backend offers.
    fn negotiate(&self, device: &Device, offers: &Offers) -> Result<Negotiated> {
        let segments = module_parameters::max_indirect_segments.value();
        negotiate::negotiate(offers, segments).map_err(|refused| {
            dev_err!(
                device.as_ref(),
                "the backend's node {} cannot be used\n",
                refused.node()
            );
            EINVAL
        })
    }

    /// One line about what was agreed on.
    fn announce(&self, device: &Device, negotiated: &Negotiated) {
        let name = self.place.name();
        dev_info!(
            device.as_ref(),
            "{}: {} sectors of 512 bytes, blocks of {}; {} segments a request; flush {}; discard {}\n",
            CStr::from_bytes_until_nul(&name).unwrap_or(c"xvd"),
            negotiated.sectors,
            negotiated.sector_size,
            negotiated.max_segments,
            match negotiated.flush {
                Flush::Cache => "yes",
                Flush::Barrier => "by barriers",
                Flush::None => "not needed",
            },
            if negotiated.discard.is_some() { "yes" } else { "no" },
        );
    }

    /// The backend says Connected again: its size may have changed.
    fn refresh(&self, device: &Device, control: &Control, offers: &Offers) -> Result {
        let negotiated = self.negotiate(device, offers)?;
        if let Some(disk) = &control.disk {
            disk.set_capacity(negotiated.sectors);
        }
        Ok(())
    }

    /// The backend goes down: the disk vanishes, requests end in error.
    fn close(&self, device: &Device, control: &mut Control) {
        control.phase = Phase::Closed;
        self.drop_disk(control);
        self.queue.fail();
        // The backend unmaps the ring when it sees us closed; until it connects anew or the device goes, it stays.
        device.closed();
    }

    /// Takes the disk from its users. The backend gets the time to answer what it has, so that pages are not taken
    /// back under its hands; what it does not answer fails, as does all that waits.
    fn drop_disk(&self, control: &mut Control) {
        if let Some(mut disk) = control.disk.take() {
            disk.mark_dead();
            disk.quiesce();
            self.drain();
            self.queue.fail();
            drop(disk);
        }
    }

    /// Requests end in error from now on.
    fn disable(&self, control: &mut Control) {
        self.queue.fail();
        control.phase = Phase::Failed;
        // What waits in a queue at rest ends in error now.
        if let Some(users) = &mut control.disk {
            users.resume();
        }
    }

    /// The grant references that a connection may need.
    fn references(&self) -> usize {
        connection::references(module_parameters::max_indirect_segments.value())
    }

    /// What was to be done has failed: requests end in error, and the backend is told.
    fn fail(&self, control: &mut Control, action: Action, error: Error) {
        self.disable(control);
        self.comeback.failed(action, error, self.references());
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
            Action::Ignore => Ok(()),
            Action::Connect => self.connect(device, control),
            Action::GoLive => self.go_live(device, control, offers),
            Action::Refresh => self.refresh(device, control, offers),
            Action::Close => {
                self.close(device, control);
                Ok(())
            }
        }
    }

    /// Waits until the backend has answered all, for `DRAIN` at the most; returns how much is left.
    fn drain(&self) -> usize {
        let start = Instant::<Monotonic>::now();
        loop {
            let left = self.queue.in_flight();
            if left == 0 || start.elapsed() >= DRAIN {
                return left;
            }
            fsleep(Delta::from_millis(1));
        }
    }
}

/// Reads what the backend offers, where an action needs that.
fn read_offers(device: &Device, action: Action) -> Result<Offers> {
    if !matches!(action, Action::GoLive | Action::Refresh) {
        return Ok(Offers::default());
    }
    offers::read(&device.otherend()?)
}

impl bus::Driver for Disk {
    const NAME: &'static CStr = c"rxen_blkfront";
    const KIND: &'static CStr = c"vbd";
    type Data = Self;

    fn probe(device: &ARef<Device>) -> Result<Arc<Self>> {
        let number = virtual_device(device)?;
        if is_emulated(device, number)? {
            dev_info!(device.as_ref(), "left to the emulated device\n");
            return Err(ENODEV);
        }
        let place = Place::of(number).map_err(|bad| {
            device.error(
                ENODEV,
                fmt!("no disk name for number {:#x}; use xvda, xvdb, ...", bad.0),
            );
            ENODEV
        })?;
        let queue = Queue::new(device.clone())?;
        let comeback = Comeback::new(device.clone())?;
        let disk = Arc::pin_init(
            pin_init!(Self {
                place,
                // The protocol's handle is the number of the path, whatever fits of it.
                handle: number as u16,
                queue,
                comeback,
                control <- new_mutex!(Control {
                    phase: Phase::Disconnected,
                    offered: None,
                    disk: None,
                }),
            }),
            GFP_KERNEL,
        )?;
        device.switch_state(State::Initialising)?;
        Ok(disk)
    }

    fn otherend_changed(device: &Device, disk: &Arc<Self>, state: State) {
        let mut control = disk.control.lock();
        disk.queue.note_backend(state);
        let phase = disk.phase(&control);
        let action = action(phase, state);
        if !disk.comeback.admits(phase, action) {
            disk.disable(&mut control);
            disk.comeback.refuse(disk.references());
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
                // A disk in operation goes on as it is, unless the backend has written what makes no sense.
                if action == Action::Refresh && error != EINVAL {
                    return;
                }
                Err(error)
            }
            offers => offers,
        };
        let result = offers.and_then(|offers| disk.act(device, &mut control, action, &offers));
        if let Err(error) = result {
            disk.fail(&mut control, action, error);
        }
        let closed = control.phase == Phase::Closed && state == State::Closed;
        disk.comeback.note(closed);
    }

    fn park(device: &Device, disk: &Arc<Self>) {
        let mut control = disk.control.lock();
        if let Some(users) = &mut control.disk {
            users.quiesce();
        }
        disk.queue.set_quiet(true);
        let left = disk.drain();
        if left > 0 {
            dev_warn!(
                device.as_ref(),
                "{} requests are still with the backend; they are issued again after the restore\n",
                left
            );
        }
        if control.phase == Phase::Live {
            control.phase = Phase::Parked;
        }
    }

    fn unpark(device: &Device, disk: &Arc<Self>) {
        let mut control = disk.control.lock();
        if control.phase == Phase::Parked {
            control.phase = Phase::Live;
        }
        disk.queue.set_quiet(false);
        if let Some(users) = &mut control.disk {
            users.resume();
        }
        drop(control);
        // The backend may have connected meanwhile.
        match device.otherend_state() {
            Ok(State::Connected) => Self::otherend_changed(device, disk, State::Connected),
            Ok(_) => {}
            Err(error) => {
                device.look_again(error);
            }
        }
    }

    fn restored(_device: &Device, disk: &Arc<Self>) -> Result {
        let mut control = disk.control.lock();
        control.offered = None;
        disk.queue.detach();
        disk.queue.set_quiet(false);
        disk.comeback.restored();
        control.phase = Phase::Disconnected;
        Ok(())
    }

    fn remove(device: &Device, disk: Arc<Self>) {
        disk.comeback.end();
        let mut control = disk.control.lock();
        control.phase = Phase::Closed;
        disk.drop_disk(&mut control);
        // The backend unmaps what it has when it closes; then the grants can end.
        device.close(CLOSE);
        control.offered = None;
        disk.queue.close();
    }
}
