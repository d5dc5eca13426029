// SPDX-License-Identifier: GPL-2.0

//! Who looks after one place `device/<type>/<id>`: the device that may be there, and the driver that may be bound to it.
//!
//! An agent works through its orders in a work item of its own, so they never overlap. Drivers are bound and unbound in
//! other threads (a module is loaded, or unloaded); `calls` is held whenever a driver is called.
//!
//! Lock order: `present`, then the driver core's device lock, then `calls`, then `state`.

use super::{
    super::{
        presence::{
            self,
            Known,
            Seen,
            Step, //
        },
        registration::{
            Callbacks,
            Data, //
        },
        State, //
    },
    device::{
        self,
        Body, //
    },
    dialogue::{
        self,
        Otherend, //
    },
    Device,
    POLL, //
};
use crate::store::{
    self,
    native::NoIo, //
};
use kernel::{
    new_mutex,
    new_work,
    prelude::*,
    str::{
        BStr,
        CString, //
    },
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        impl_has_work,
        Queue,
        Work,
        WorkItem, //
    }, //
};
use rxen_bindings as bindings;

/// How long loading or unloading a driver waits for the end of a suspend.
const SUSPEND: Delta = Delta::from_secs(120);
/// How long the machine's way down waits for the backend of one device.
const SHUTDOWN: Delta = Delta::from_secs(2);

/// What an agent can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Find out whether the device is there.
    Look,
    /// Tell the driver of the other end's state.
    Meet,
    /// Bring the device to rest, and begin nothing new.
    Park,
    /// Go on.
    Unpark,
    /// Go on after a restore.
    Restore,
}

impl Order {
    /// What it is called in a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Meet => "meet",
            Self::Park => "park",
            Self::Unpark => "unpark",
            Self::Restore => "restore",
        }
    }

    /// Its bit in [`Orders`].
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The bits of those that are given to all agents.
    const TO_ALL: u32 = Self::Park.bit() | Self::Unpark.bit() | Self::Restore.bit();
}

/// Orders that have not been carried out.
struct Orders(Atomic<u32>);

impl Orders {
    /// Adds some.
    fn add(&self, orders: u32) {
        let mut old = self.0.load(Relaxed);
        while let Err(now) = self.0.cmpxchg(old, old | orders, Full) {
            old = now;
        }
    }

    /// Takes all of them.
    fn take(&self) -> u32 {
        self.0.xchg(0, Full)
    }

    /// Whether there are any.
    fn any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

/// A driver that is bound.
struct Bound {
    callbacks: &'static Callbacks,
    data: Data,
    device: ARef<Device>,
}

// SAFETY: The data is a reference of an `Arc` whose contents are `Send` and `Sync`.
unsafe impl Send for Bound {}

/// What is done with the driver.
struct Calls {
    bound: Option<Bound>,
    /// Between park and unpark or restore.
    parked: bool,
    /// A driver could not be bound, because the other end is not there yet.
    awaited: bool,
    /// The other end, while a driver is bound. The device has a pointer to the path.
    otherend: Option<Otherend>,
    /// A watch on the other end's state.
    watch: Option<store::Watch>,
}

/// See the module.
#[pin_data]
pub(super) struct Agent {
    nodename: CString,
    kind: CString,
    id: CString,
    #[pin]
    work: Work<Agent>,
    orders: Orders,
    /// Orders that were put off because the device is parked.
    put_off: Orders,
    /// The work runs.
    at_work: Atomic<bool>,
    /// An order for all may be being carried out.
    at_order: Atomic<bool>,
    /// The device was connected when it was parked, and is to be so again.
    behind: Atomic<bool>,
    /// This place was found when the devices were listed for the first time.
    first: Atomic<bool>,
    #[pin]
    present: Mutex<Option<ARef<Device>>>,
    #[pin]
    calls: Mutex<Calls>,
    /// Held while our state is read or written in xenstore and noted in the device.
    #[pin]
    pub(super) state: Mutex<()>,
}

impl_has_work! {
    impl HasWork<Self> for Agent { self.work }
}

impl WorkItem for Agent {
    type Pointer = Arc<Agent>;

    fn run(agent: Arc<Agent>) {
        // While a disk connects anew, memory must not wait for that disk.
        let _memory = NoIo::begin();
        agent.at_work.store(true, Release);
        agent.carry_out();
        agent.at_work.store(false, Release);
    }
}

/// Tells an agent that the other end's state node was written.
struct Otherends(Arc<Agent>);

impl store::WatchHandler for Otherends {
    fn changed(&self, _path: &CStr) {
        self.0.order(Order::Meet);
    }
}

impl Agent {
    /// An agent for a place. `kind` and `id` must be names (see [`presence::is_device`]).
    pub(super) fn new(kind: &[u8], id: &[u8], first: bool, parked: bool) -> Result<Arc<Self>> {
        let (kind, id) = (BStr::from_bytes(kind), BStr::from_bytes(id));
        let nodename = CString::try_from_fmt(fmt!("device/{kind}/{id}"))?;
        let kind = CString::try_from_fmt(fmt!("{kind}"))?;
        let id = CString::try_from_fmt(fmt!("{id}"))?;
        Arc::pin_init(
            pin_init!(Self {
                nodename,
                kind,
                id,
                work <- new_work!("Agent::work"),
                orders: Orders(Atomic::new(0)),
                put_off: Orders(Atomic::new(0)),
                at_work: Atomic::new(false),
                at_order: Atomic::new(false),
                behind: Atomic::new(false),
                first: Atomic::new(first),
                present <- new_mutex!(None),
                calls <- new_mutex!(Calls {
                    bound: None,
                    parked,
                    awaited: false,
                    otherend: None,
                    watch: None,
                }),
                state <- new_mutex!(()),
            }),
            GFP_KERNEL,
        )
    }

    /// The path in xenstore.
    pub(super) fn nodename(&self) -> &CStr {
        &self.nodename
    }

    /// The type.
    pub(super) fn kind(&self) -> &CStr {
        &self.kind
    }

    /// The id.
    pub(super) fn id(&self) -> &CStr {
        &self.id
    }

    /// Whether the devices here are of this type.
    pub(super) fn is_of(&self, kind: &[u8]) -> bool {
        self.kind.to_bytes() == kind
    }

    /// Whether this is its place.
    pub(super) fn is_at(&self, kind: &[u8], id: &[u8]) -> bool {
        self.is_of(kind) && self.id.to_bytes() == id
    }

    /// Whether it has something to do that it has not begun.
    pub(super) fn has_orders(&self) -> bool {
        self.orders.any() || self.put_off.any()
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_orders() && !self.at_work.load(Acquire)
    }

    /// Whether an order for all has not been carried out.
    pub(super) fn is_busy(&self) -> bool {
        self.orders.0.load(Acquire) & Order::TO_ALL != 0 || self.at_order.load(Acquire)
    }

    /// Whether the device was connected before a restore and is not yet so again.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    /// Gives an order. Does not sleep.
    pub(super) fn order(self: &Arc<Self>, order: Order) {
        self.orders.add(order.bit());
        // SAFETY: The queue exists as long as the bus, and what gives orders is gone before.
        let queue = unsafe { Queue::from_raw(bindings::rxen_bus_queue()) };
        // If it is queued already, it sees the order when it runs.
        let _ = queue.enqueue(self.clone());
    }

    /// Carries out all orders.
    fn carry_out(self: &Arc<Self>) {
        loop {
            // Before they are taken, so that they are never neither here nor there.
            self.at_order.store(true, Relaxed);
            let orders = self.orders.take();
            if orders == 0 {
                self.at_order.store(false, Release);
                return;
            }
            let is_ordered = |order: Order| orders & order.bit() != 0;
            if is_ordered(Order::Park) {
                self.park();
            }
            if is_ordered(Order::Unpark) {
                self.go_on(|bound| {
                    // SAFETY: Of the driver that is bound.
                    unsafe { (bound.callbacks.unpark)(&bound.device, bound.data) }
                });
            }
            if is_ordered(Order::Restore) {
                self.restore();
            }
            self.at_order.store(false, Release);
            if self.calls.lock().parked {
                self.put_off
                    .add(orders & (Order::Look.bit() | Order::Meet.bit()));
                continue;
            }
            if is_ordered(Order::Look) {
                self.look();
            }
            if is_ordered(Order::Meet) {
                self.meet();
            }
        }
    }

    /// Finds out whether the device is there, and has it registered or unregistered.
    fn look(self: &Arc<Self>) {
        let mut present = self.present.lock();
        let (step, state) = match self.compare(present.as_ref()) {
            Ok(found) => found,
            Err(error) => {
                pr_warn!(
                    "bus: cannot tell whether {} is there ({:?})\n",
                    &*self.nodename,
                    error
                );
                return;
            }
        };
        if matches!(step, Step::Remove | Step::Replace) {
            self.destroy(&mut present);
        }
        if matches!(step, Step::Add | Step::Replace) {
            self.create(&mut present, state);
        }
        if step == Step::Keep && self.calls.lock().awaited {
            // Its other end may be there now.
            self.order(Order::Meet);
        }
        let idle = present.is_none();
        drop(present);
        if idle {
            super::dismiss(self);
        }
    }

    /// Compares what xenstore says with what is known.
    fn compare(&self, device: Option<&ARef<Device>>) -> Result<(Step, State)> {
        let same_otherend = self.is_same_otherend();
        // Whether the state was set back can only be told while it is not written.
        let _state = self.state.lock();
        let exists = dialogue::exists(&self.nodename)?;
        let state = dialogue::state_of(&self.nodename);
        let known = device.map(|device| Known {
            state: Body::of(device).state(),
        });
        let seen = exists.then_some(Seen {
            state,
            same_otherend,
        });
        let first = self.first.xchg(false, Relaxed);
        Ok((presence::step(known, seen, first), state))
    }

    /// Whether xenstore names the other end that is known, if one is.
    fn is_same_otherend(&self) -> bool {
        match &self.calls.lock().otherend {
            Some(known) => Otherend::read(&self.nodename).map_or(true, |now| *known == now),
            None => true,
        }
    }

    /// Registers the device.
    fn create(self: &Arc<Self>, present: &mut Option<ARef<Device>>, state: State) {
        let state = dialogue::reset(&self.nodename, state);
        match device::create(self.clone(), state) {
            Ok(device) => *present = Some(device),
            Err(error) => pr_err!("bus: cannot register {} ({:?})\n", &*self.nodename, error),
        }
    }

    /// Unregisters the device.
    fn destroy(&self, present: &mut Option<ARef<Device>>) {
        let Some(device) = present.take() else {
            return;
        };
        let body = Body::of(&device);
        if body.state() != State::Closed && self.calls.lock().bound.is_some() {
            dev_warn!(
                device.as_ref(),
                "taken away by the toolstack while in state {}\n",
                body.state().name()
            );
        }
        body.set_vanished();
        device::destroy(device);
        self.forget_otherend();
    }

    /// Forgets the other end of a device that has no driver.
    pub(super) fn forget_otherend(&self) {
        let mut calls = self.calls.lock();
        if calls.bound.is_none() {
            calls.awaited = false;
            calls.watch = None;
            calls.otherend = None;
        }
    }

    /// Unregisters the device when the bus goes. The work must not run any more.
    pub(super) fn end(&self) {
        if let Some(device) = self.present.lock().take() {
            device::destroy(device);
        }
    }

    /// Tells the driver of the other end's state.
    fn meet(&self) {
        let calls = self.calls.lock();
        let Some(bound) = &calls.bound else {
            let awaited = calls.awaited;
            drop(calls);
            if awaited {
                self.bind_again();
            }
            return;
        };
        let state = dialogue::otherend_state(&bound.device);
        // SAFETY: Reads a variable.
        if unsafe { bindings::rxen_is_going_down() } {
            // Work that may fail, for instance because the root is gone, is not begun any more.
            if matches!(state, State::Closing | State::Closed) {
                dialogue::closed(&bound.device);
            }
            return;
        }
        // SAFETY: Of the driver that is bound.
        unsafe { (bound.callbacks.otherend_changed)(&bound.device, bound.data, state) };
        if Body::of(&bound.device).state() == State::Connected {
            self.behind.store(false, Relaxed);
        }
    }

    /// Has the driver core try the drivers again.
    fn bind_again(&self) {
        let present = self.present.lock();
        if let Some(device) = &*present {
            // SAFETY: The device is registered, and stays so while `present` is held.
            let _ = unsafe { bindings::device_attach(device.as_device_ptr()) };
        }
    }

    /// Brings the device to rest.
    fn park(&self) {
        let mut calls = self.calls.lock();
        if calls.parked {
            return;
        }
        calls.parked = true;
        if let Some(bound) = &calls.bound {
            let connected = Body::of(&bound.device).state() == State::Connected;
            self.behind.store(connected, Relaxed);
            // SAFETY: Of the driver that is bound.
            unsafe { (bound.callbacks.park)(&bound.device, bound.data) };
        }
    }

    /// Goes on after a park: lets the driver know by `tell`, and carries out what was put off.
    fn go_on(self: &Arc<Self>, tell: impl FnOnce(&Bound)) {
        let mut calls = self.calls.lock();
        if !calls.parked {
            return;
        }
        calls.parked = false;
        if let Some(bound) = &calls.bound {
            tell(bound);
        }
        drop(calls);
        self.orders.add(self.put_off.take());
    }

    /// Goes on after a restore: there may be another backend, and nothing that was shared with the old one is left.
    fn restore(self: &Arc<Self>) {
        let mut calls = self.calls.lock();
        // The old watch would say nothing new.
        calls.watch = None;
        if let Some(Bound { device, .. }) = &calls.bound {
            let device = device.clone();
            let _state = self.state.lock();
            // The toolstack has made the folder anew.
            Body::of(&device).set_state(dialogue::state_of(&self.nodename));
        }
        let found = self.find_otherend(&mut calls);
        if let (Err(error), Some(bound)) = (found, &calls.bound) {
            dialogue::error(&bound.device, error, fmt!("no backend after the restore"));
        }
        drop(calls);
        self.go_on(|bound| {
            // SAFETY: Of the driver that is bound.
            let result = unsafe { (bound.callbacks.restored)(&bound.device, bound.data) };
            if let Err(error) = result {
                dialogue::fatal(&bound.device, error, fmt!("cannot go on after the restore"));
            }
        });
        self.watch_otherend(&mut self.calls.lock());
    }

    /// Reads who the other end is, for the device that is bound.
    fn find_otherend(&self, calls: &mut Calls) -> Result {
        let Some(bound) = &calls.bound else {
            return Ok(());
        };
        let device = bound.device.clone();
        self.set_otherend(&device, calls, Otherend::read(&self.nodename).ok());
        match &calls.otherend {
            Some(otherend) if otherend.exists() => Ok(()),
            _ => Err(ENOENT),
        }
    }

    /// Notes the other end, here and in the device.
    fn set_otherend(&self, device: &Device, calls: &mut Calls, otherend: Option<Otherend>) {
        let old = core::mem::replace(&mut calls.otherend, otherend);
        let (path, domid) = match &calls.otherend {
            Some(otherend) => (Some(&*otherend.path), otherend.domid),
            None => (None, bindings::DOMID_INVALID as u16),
        };
        // SAFETY: The path is kept in `calls`, which is locked, until it is replaced here.
        unsafe { Body::of(device).set_otherend(path, domid) };
        drop(old);
    }

    /// Watches the other end's state, if it is known who that is.
    fn watch_otherend(self: &Arc<Self>, calls: &mut Calls) {
        calls.watch = None;
        let Some(otherend) = &calls.otherend else {
            return;
        };
        let watch = otherend.state_path().and_then(|path| {
            store::Watch::new(&path, Arc::new(Otherends(self.clone()), GFP_KERNEL)?)
        });
        match watch {
            Ok(watch) => calls.watch = Some(watch),
            Err(error) => pr_err!(
                "bus: {}: cannot watch the backend ({:?})\n",
                &*self.nodename,
                error
            ),
        }
    }

    /// Waits until the device is not parked, and locks. After `SUSPEND` it locks in any case, and says so.
    fn calls_at_rest(&self) -> (Guard<'_, Calls, MutexBackend>, bool) {
        let start = Instant::<Monotonic>::now();
        loop {
            let calls = self.calls.lock();
            let late = start.elapsed() >= SUSPEND;
            if !calls.parked || late {
                return (calls, !late);
            }
            drop(calls);
            fsleep(POLL);
        }
    }

    /// Binds a driver; called by the driver core.
    pub(super) fn bind(self: &Arc<Self>, device: &Device, callbacks: &'static Callbacks) -> Result {
        let (mut calls, in_time) = self.calls_at_rest();
        if !in_time {
            return Err(EBUSY);
        }
        calls.awaited = false;
        let otherend = Otherend::read(&self.nodename);
        let missing = match &otherend {
            Ok(otherend) => !otherend.exists(),
            Err(_) => true,
        };
        self.set_otherend(device, &mut calls, otherend.ok());
        if missing {
            dialogue::error(device, ENOENT, fmt!("there is no backend yet"));
            calls.awaited = true;
            self.watch_otherend(&mut calls);
            return Err(ENODEV);
        }
        let device: ARef<Device> = device.into();
        let data = (callbacks.probe)(&device).inspect_err(|_| {
            self.set_otherend(&device, &mut calls, None);
        })?;
        calls.bound = Some(Bound {
            callbacks,
            data,
            device,
        });
        self.watch_otherend(&mut calls);
        drop(calls);
        self.order(Order::Meet);
        Ok(())
    }

    /// Unbinds the driver; called by the driver core.
    pub(super) fn unbind(&self, device: &Device) {
        let (mut calls, in_time) = self.calls_at_rest();
        if !in_time {
            dev_err!(device.as_ref(), "removed in the middle of a suspend\n");
        }
        calls.watch = None;
        if let Some(bound) = calls.bound.take() {
            // SAFETY: Of the driver that was bound; it is not called with this data any more.
            unsafe { (bound.callbacks.remove)(device, bound.data) };
        }
        self.behind.store(false, Relaxed);
        self.set_otherend(device, &mut calls, None);
        drop(calls);
        crate::grant::forget_device(&self.nodename);
    }

    /// Takes leave of the backend when the machine goes down; called by the driver core.
    pub(super) fn shut_down(&self, device: &Device) {
        if Body::of(device).state() != State::Connected {
            return;
        }
        let _ = dialogue::switch_state(device, State::Closing);
        let start = Instant::<Monotonic>::now();
        while Body::of(device).state() != State::Closed {
            if start.elapsed() >= SHUTDOWN {
                dev_warn!(device.as_ref(), "the backend does not answer to Closing\n");
                return;
            }
            fsleep(POLL);
        }
    }
}
