// SPDX-License-Identifier: GPL-2.0

//! Who looks after one place `device/<type>/<id>`: the device that may be there, and the driver that may be bound to it.
//!
//! An agent works through its orders in a work item of its own, so they never overlap. Drivers are bound and unbound in
//! other threads (a module is loaded, or unloaded); `calls` is held whenever a driver is called.
//!
//! | module       | what it does                                                        |
//! |--------------|---------------------------------------------------------------------|
//! | [`orders`]   | what an agent is told to do                                         |
//! | [`place`]    | finds out whether the device is there, has it registered            |
//! | [`calls`]    | tells the driver of the other end's states, of suspend and restore  |
//! | [`otherend`] | knows who the other end is, and watches its state                   |
//! | [`binding`]  | binds and unbinds drivers for the driver core                       |
//!
//! Lock order: `present`, then the driver core's device lock, then `calls`, then `state`; the list of all agents is the
//! last.

use super::{
    again,
    Device, //
};
use crate::store::native::NoIo;
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
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        Queue,
        Work,
        WorkItem, //
    }, //
};
use rxen_bindings as bindings;

mod binding;
mod calls;
mod orders;
mod otherend;
mod place;

pub(super) use orders::Order;

use calls::{
    Bound,
    Calls, //
};
use orders::Orders;

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
    /// Orders that are given again after a while, because they could not be carried out.
    later: Orders,
    /// The log has a line about that.
    told: Atomic<bool>,
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

impl Agent {
    /// An agent for a place. `kind` and `id` must be names (see `presence::is_device`).
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
                orders: Orders::none(),
                put_off: Orders::none(),
                later: Orders::none(),
                told: Atomic::new(false),
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
        self.orders.any() || self.put_off.any() || self.later.any()
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_orders() && !self.at_work.load(Acquire)
    }

    /// Whether an order for all has not been carried out. With the list of all agents locked.
    pub(super) fn is_busy(&self) -> bool {
        let is_ordered = self.orders.has(Order::TO_ALL) || self.later.has(Order::TO_ALL);
        is_ordered || self.at_order.load(Acquire)
    }

    /// Whether the device was connected before a restore and is not yet so again.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    /// Gives an order. Does not sleep.
    pub(super) fn order(self: &Arc<Self>, order: Order) {
        self.orders.add(order.bit());
        self.start();
    }

    /// Gives an order that [`Self::order_put_off`] gives again.
    pub(super) fn order_later(&self, order: Order) {
        self.later.add(order.bit());
    }

    /// Gives the orders again that could not be carried out. With the list of all agents locked.
    pub(super) fn order_put_off(self: &Arc<Self>) {
        let orders = self.later.take();
        if orders != 0 {
            self.orders.add(orders);
            self.start();
        }
    }

    /// Has the work run.
    fn start(self: &Arc<Self>) {
        // SAFETY: The queue exists as long as the bus, and what gives orders is gone before.
        let queue = unsafe { Queue::from_raw(bindings::rxen_bus_queue()) };
        // If it is queued already, it sees the order when it runs.
        let _ = queue.enqueue(self.clone());
    }

    /// Gives an order again that could not be carried out because xenstored gave no answer, or for want of memory. False
    /// where that is not the reason, or where the bus goes.
    pub(super) fn again(self: &Arc<Self>, order: Order, reason: Error) -> bool {
        let ordered = again::order_again(self, order, reason);
        // A request without an answer is in the log already.
        if ordered && reason != ETIMEDOUT && !self.told.xchg(true, Relaxed) {
            pr_warn!(
                "bus: {}: cannot {} now ({:?}); trying again\n",
                &*self.nodename,
                order.name(),
                reason
            );
        }
        ordered
    }

    /// Carries out all orders.
    fn carry_out(self: &Arc<Self>) {
        loop {
            // Before they are taken, so that they are never neither here nor there.
            self.at_order.store(true, Relaxed);
            let orders = self.orders.take();
            if orders == 0 {
                self.at_order.store(false, Release);
                if !self.later.any() {
                    self.told.store(false, Relaxed);
                }
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
}
