// SPDX-License-Identifier: GPL-2.0

//! The bus of the native mode.
//!
//! | module       | what it does                                                                 |
//! |--------------|------------------------------------------------------------------------------|
//! | [`again`]    | has done again what xenstored gave no answer to                              |
//! | [`agent`]    | looks after one place `device/<type>/<id>`: the device there, and its driver |
//! | [`device`]   | a device as the driver core sees it                                          |
//! | [`bus_type`] | the driver core's side of the bus                                            |
//! | [`dialogue`] | states, errors and the other end, in xenstore                                |
//! | [`listing`]  | sees to it that each device has an agent                                     |
//!
//! Watches only say that something has changed; each agent has a work item of its own, in which it finds out what that
//! means and calls the driver. So one device that is slow does not hold up the others, and what happens to one device
//! happens one after the other. Suspend and restore are orders to all agents, which carry them out at the same time.

use super::{
    registration::Entry,
    Device, //
};
use crate::store;
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use rxen_bindings as bindings;

mod again;
mod agent;
mod bus_type;
mod device;
mod dialogue;
mod listing;

pub(super) use dialogue::{
    closed,
    error,
    fatal,
    otherend_state,
    switch_state, //
};

use agent::{
    Agent,
    Order, //
};
use listing::Listing;

/// How long the devices may take to come to rest. A disk waits 5 s for its backend before it goes on without.
const PARK: Delta = Delta::from_secs(15);
/// How long the devices may take to go on, or to drop what they had before a restore.
const UNPARK: Delta = Delta::from_secs(30);
/// How long the end of a restore waits for devices to be connected again. Only the log depends on it.
const RECONNECT: Delta = Delta::from_secs(10);
/// How long the first listing of the devices may hold up loading the module.
const FIRST: Delta = Delta::from_secs(5);
/// How long unloading waits for those who still have a device in hand, such as a reader in sysfs.
const LAST: Delta = Delta::from_secs(10);
/// How often a condition is looked at while waiting for it.
const POLL: Delta = Delta::from_micros(200);

global_lock! {
    // SAFETY: Initialised by `Bus::start`, before anything else can use it.
    unsafe(uninit) static AGENTS: Mutex<Agents> = Agents::NONE;
}

/// Whether [`static@AGENTS`] is initialised, which lasts until the module is unloaded.
static INITIALISED: Atomic<bool> = Atomic::new(false);

/// All agents.
struct Agents {
    list: KVec<Arc<Agent>>,
    /// The devices have been listed once.
    listed: bool,
    /// A suspend is under way: devices that appear now are for later.
    parked: bool,
    /// The bus goes: nobody begins anything.
    ending: bool,
}

impl Agents {
    const NONE: Self = Self {
        list: KVec::new(),
        listed: false,
        parked: false,
        ending: false,
    };

    /// The agent of a place, a new one if need be.
    fn of(&mut self, kind: &[u8], id: &[u8]) -> Result<Arc<Agent>> {
        if let Some(agent) = self.list.iter().find(|agent| agent.is_at(kind, id)) {
            return Ok(agent.clone());
        }
        let agent = Agent::new(kind, id, !self.listed, self.parked)?;
        self.list.push(agent.clone(), GFP_KERNEL)?;
        Ok(agent)
    }

    /// Has the agents of a type find out whether their devices are there; of all types without one.
    fn look(&self, kind: Option<&[u8]>) {
        let concerned = |agent: &&Arc<Agent>| kind.is_none_or(|kind| agent.is_of(kind));
        for agent in self.list.iter().filter(concerned) {
            self.order(agent, Order::Look);
        }
    }

    /// Gives an order.
    fn order(&self, agent: &Arc<Agent>, order: Order) {
        if !self.ending {
            agent.order(order);
        }
    }
}

/// Takes the agent of a place where there is nothing any more off the list, unless it has got a new order.
fn dismiss(idle: &Agent) {
    AGENTS
        .lock()
        .list
        .retain(|agent| !core::ptr::eq(&**agent, idle) || agent.has_orders());
}

/// Registers a driver.
pub(super) fn register(entry: &Entry) -> Result {
    let callbacks = entry.callbacks;
    if !crate::platform::may_drive(callbacks.kind) {
        pr_err!(
            "{}: not loaded: the emulated {} devices stay, for the reason that rxenbus gave; see its parameter unplug\n",
            callbacks.name,
            callbacks.kind
        );
        return Err(ENODEV);
    }
    let driver = entry.driver();
    // SAFETY: The entry is not registered, so nobody else uses it; it stays until `unregister`.
    to_result(unsafe {
        (*driver).driver.name = callbacks.name.as_char_ptr();
        (*driver).driver.bus = bus_type::raw();
        // The callbacks do not expect a device to be taken away and given back behind their back.
        (*driver).driver.suppress_bind_attrs = true;
        bindings::driver_register(&raw mut (*driver).driver)
    })
}

/// Removes a driver from its devices and waits for its callbacks.
pub(super) fn unregister(entry: &Entry) {
    // SAFETY: Registered by `register`. Agents call a driver only while it is bound, under the lock that unbinding
    // takes; so after this nobody calls it.
    unsafe { bindings::driver_unregister(&raw mut (*entry.driver()).driver) }
}

/// Waits until a condition holds, for `limit` at the most; false if it does not by then.
fn wait(limit: Delta, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::<Monotonic>::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        fsleep(POLL);
    }
}

/// Gives an order to all agents and waits until all have carried it out. Allocates nothing: while disks are at rest,
/// memory may have to wait for one.
///
/// # Errors
///
/// `ETIME`, after a line in the log for each device that has not within `limit`.
fn order_all(order: Order, limit: Delta, parked: bool) -> Result {
    {
        let mut agents = AGENTS.lock();
        agents.parked = parked;
        for agent in &agents.list {
            agents.order(agent, order);
        }
    }
    wait_for_all(order, limit)
}

/// Waits until all agents have carried out what all were ordered; the log names the last order.
///
/// # Errors
///
/// As for [`order_all`].
fn wait_for_all(order: Order, limit: Delta) -> Result {
    // An agent that goes off the list meanwhile has no orders.
    let is_done = || AGENTS.lock().list.iter().all(|agent| !agent.is_busy());
    if wait(limit, is_done) {
        return Ok(());
    }
    for agent in AGENTS.lock().list.iter().filter(|agent| agent.is_busy()) {
        pr_err!(
            "bus: {} has not finished to {} within {} s\n",
            agent.nodename(),
            order.name(),
            limit.as_millis() / 1000
        );
    }
    Err(ETIME)
}

/// Has all devices come to rest, before a suspend. May sleep.
///
/// # Errors
///
/// `ETIME`, after a line in the log, where a device does not; then all go on.
pub(crate) fn park_all() -> Result {
    // One that is still to go on after the last suspend would do so after this order, and be saved in operation.
    wait_for_all(Order::Unpark, PARK)?;
    order_all(Order::Park, PARK, true).inspect_err(|_| {
        let _ = unpark_all();
    })
}

/// Has all devices go on as before, after a suspend that was cancelled. May sleep.
pub(crate) fn unpark_all() -> Result {
    order_all(Order::Unpark, UNPARK, false)
}

/// Has all devices drop what they had and connect anew, after a restore. May sleep.
///
/// Waits a moment for those that were connected to be so again. That they are not is no error: a backend may be slow.
pub(crate) fn restore_all() -> Result {
    order_all(Order::Restore, UNPARK, false)?;
    let behind = || AGENTS.lock().list.iter().any(|agent| agent.is_behind());
    if !wait(RECONNECT, || !behind()) {
        for agent in AGENTS.lock().list.iter().filter(|agent| agent.is_behind()) {
            pr_warn!(
                "bus: {} is not connected again yet, {} s after the restore\n",
                agent.nodename(),
                RECONNECT.as_millis() / 1000
            );
        }
    }
    Ok(())
}

/// The bus in operation. Dropping it unregisters all devices and the bus.
pub(crate) struct Bus {
    // In this order: first nobody says any more that something has changed.
    watch: Option<store::Watch>,
    _bus_type: bus_type::Registration,
}

impl Bus {
    /// Registers the bus, lists the devices, and looks out for others. May sleep.
    pub(crate) fn start() -> Result<Self> {
        if !INITIALISED.xchg(true, Relaxed) {
            // SAFETY: Called once, and nobody uses it before.
            unsafe { AGENTS.init() };
        }
        *AGENTS.lock() = Agents::NONE;
        let mut bus = Self {
            _bus_type: bus_type::Registration::new()?,
            watch: None,
        };
        // SAFETY: The queue is destroyed in `drop`, and there is none yet.
        to_result(unsafe { bindings::rxen_bus_queue_create() })?;
        bus.watch = Some(store::Watch::new(
            c"device",
            Arc::new(Listing, GFP_KERNEL)?,
        )?);
        let is_listed = || {
            let agents = AGENTS.lock();
            agents.listed && agents.list.iter().all(|agent| agent.is_idle())
        };
        if !wait(FIRST, is_listed) {
            pr_warn!("bus: the devices are not listed yet; they may appear later\n");
        }
        // SAFETY: Called in process context.
        unsafe { bindings::rxen_bus_request_suspend() };
        Ok(bus)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        AGENTS.lock().ending = true;
        self.watch = None;
        let list = core::mem::take(&mut AGENTS.lock().list);
        for agent in &list {
            agent.forget_otherend();
        }
        // SAFETY: There is a queue if `start` came that far, and it takes null as well. Waits for all agents; none gets
        // an order any more, and none has one for later.
        unsafe {
            bindings::rxen_bus_later_cancel();
            bindings::rxen_bus_queue_destroy();
        }
        for agent in &list {
            agent.end();
        }
        if !wait(LAST, || device::live() == 0) {
            pr_err!(
                "bus: {} devices are still in use elsewhere; the next use of one will fault\n",
                device::live()
            );
        }
    }
}

/// Has the driver of a device told of the other end's state once more; see `Device::look_again`.
pub(super) fn look_again(device: &Device, reason: Error) -> bool {
    agent_of(device).again(Order::Meet, reason)
}

/// The agent of a device of this bus.
fn agent_of(device: &Device) -> &Arc<Agent> {
    device::Body::of(device).agent()
}
