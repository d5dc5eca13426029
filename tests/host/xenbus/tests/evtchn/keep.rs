// SPDX-License-Identifier: GPL-2.0

//! A reset that keeps the toolstack's ports.

use core::cell::{
    Cell,
    RefCell, //
};
use proptest::prelude::*;
use pure_xenbus::evtchn::keep::{
    reset,
    Failure,
    Hypervisor,
    Kept,
    Status, //
};
use std::collections::BTreeSet;

/// A port as the hypervisor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    status: Status,
    /// Of the device model: a reset leaves it alone, and so must the guest.
    device_model: bool,
}

const FREE: Port = Port {
    status: Status::Closed,
    device_model: false,
};

/// What it does with the ports of one guest.
struct Xen {
    ports: RefCell<Vec<Port>>,
    /// Ports of other domains that are waiting to be bound to.
    offered: RefCell<BTreeSet<(u16, u32)>>,
    limit: usize,
    /// The call that fails, counted from here.
    fails_at: Cell<Option<u32>>,
}

impl Xen {
    fn new(ports: Vec<Port>, limit: usize) -> Self {
        Self {
            ports: RefCell::new(ports),
            offered: RefCell::default(),
            limit,
            fails_at: Cell::new(None),
        }
    }

    fn call(&self) -> Result<(), ()> {
        let left = self.fails_at.get();
        self.fails_at.set(left.and_then(|left| left.checked_sub(1)));
        if left == Some(0) {
            Err(())
        } else {
            Ok(())
        }
    }

    /// Puts something at the lowest free port; port 0 is never used.
    fn allocate(&self, status: Status) -> Result<u32, ()> {
        self.call()?;
        let mut ports = self.ports.borrow_mut();
        let free = ports.iter().skip(1).position(|port| *port == FREE);
        let at = free.map_or(ports.len(), |at| at + 1);
        if at >= self.limit {
            return Err(());
        }
        if at == ports.len() {
            ports.push(FREE);
        }
        ports[at].status = status;
        Ok(at as u32)
    }

    fn close(&self, port: &mut Port) {
        if let Status::Interdomain(domid, remote) = port.status {
            self.offered.borrow_mut().insert((domid, remote));
        }
        *port = FREE;
    }
}

impl Hypervisor for Xen {
    type Error = ();

    fn status(&self, port: u32) -> Result<Option<Status>, ()> {
        self.call()?;
        let ports = self.ports.borrow();
        Ok(ports.get(port as usize).map(|port| port.status))
    }

    fn reset(&self) -> Result<(), ()> {
        self.call()?;
        for port in self.ports.borrow_mut().iter_mut() {
            if !port.device_model {
                self.close(port);
            }
        }
        Ok(())
    }

    fn alloc_unbound(&self, domid: u16) -> Result<u32, ()> {
        self.allocate(Status::Unbound(domid))
    }

    fn bind_interdomain(&self, domid: u16, port: u32) -> Result<u32, ()> {
        if !self.offered.borrow().contains(&(domid, port)) {
            return Err(());
        }
        let at = self.allocate(Status::Interdomain(domid, port))?;
        self.offered.borrow_mut().remove(&(domid, port));
        Ok(at)
    }

    fn close(&self, port: u32) -> Result<(), ()> {
        self.call()?;
        let mut ports = self.ports.borrow_mut();
        match ports.get_mut(port as usize) {
            Some(port) if *port != FREE && !port.device_model => {
                Xen::close(self, port);
                Ok(())
            }
            _ => Err(()),
        }
    }
}

fn port(status: Status) -> Port {
    Port {
        status,
        device_model: false,
    }
}

/// xenstore, console, two of the device model, then those of a guest that was not tidy.
fn usual() -> Vec<Port> {
    let device_model = |remote| Port {
        status: Status::Interdomain(0, remote),
        device_model: true,
    };
    vec![
        FREE,
        port(Status::Interdomain(0, 50)),
        port(Status::Unbound(0)),
        device_model(52),
        device_model(53),
        port(Status::Own),
        FREE,
    ]
}

#[test]
fn xenstore_and_console_are_as_before() {
    let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 16]);
    assert_eq!(reset(&xen, 4096, &mut room), Ok(2));
    let mut expected = usual();
    expected[5] = FREE;
    assert_eq!(*xen.ports.borrow(), expected);
    assert!(xen.offered.borrow().is_empty());
}

#[test]
fn nothing_is_changed_where_there_is_no_room() {
    let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 3]);
    assert_eq!(reset(&xen, 4096, &mut room), Err(Failure::TooMany));
    assert_eq!(*xen.ports.borrow(), usual());
}

/// How many calls it takes to list [`usual`]: one for each port but the first, and one beyond the last.
const LISTED: u32 = 7;

#[test]
fn nothing_is_changed_where_it_is_unknown_what_a_port_is() {
    for fails_at in 0..LISTED {
        let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 16]);
        xen.fails_at.set(Some(fails_at));
        let outcome = reset(&xen, 4096, &mut room);
        assert_eq!(outcome, Err(Failure::Unknown(fails_at + 1, ())));
        assert_eq!(*xen.ports.borrow(), usual());
    }
}

#[test]
fn a_port_of_which_nothing_is_known_after_the_reset_is_bound_again() {
    let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 16]);
    // The status of port 1, after the reset.
    xen.fails_at.set(Some(LISTED + 1));
    assert_eq!(reset(&xen, 4096, &mut room), Ok(2));
    let mut expected = usual();
    expected[5] = FREE;
    assert_eq!(*xen.ports.borrow(), expected);
}

#[test]
fn a_refused_reset_is_reported() {
    let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 16]);
    xen.fails_at.set(Some(LISTED));
    assert_eq!(reset(&xen, 4096, &mut room), Err(Failure::Reset(())));
    assert_eq!(*xen.ports.borrow(), usual());
}

#[test]
fn a_port_that_cannot_be_bound_again_does_not_cost_the_others() {
    let (xen, mut room) = (Xen::new(usual(), 4096), [Kept::NONE; 16]);
    // The reset, then the status, the allocation and the closing of port 1, then its binding.
    xen.fails_at.set(Some(LISTED + 4));
    let outcome = reset(&xen, 4096, &mut room);
    assert!(matches!(outcome, Err(Failure::Lost(kept)) if kept.port() == 1));
    let ports = xen.ports.borrow();
    assert_eq!(ports[1], FREE);
    assert_eq!(ports[2], port(Status::Unbound(0)));
}

/// Any port, with those that are kept more often.
fn any_port() -> impl Strategy<Value = Port> {
    let status = prop_oneof![
        Just(Status::Closed),
        Just(Status::Own),
        (0u16..3).prop_map(Status::Unbound),
        (0u16..3).prop_map(|domid| Status::Interdomain(domid, 0)),
    ];
    (status, any::<bool>()).prop_map(|(status, device_model)| Port {
        status,
        device_model: device_model
            && matches!(status, Status::Unbound(_) | Status::Interdomain(..)),
    })
}

proptest! {
    #[test]
    fn all_that_others_know_is_as_before_and_the_rest_is_free(
        mut ports in proptest::collection::vec(any_port(), 1..60),
    ) {
        ports[0] = FREE;
        for (at, port) in ports.iter_mut().enumerate() {
            if let Status::Interdomain(domid, _) = port.status {
                port.status = Status::Interdomain(domid, 1000 + at as u32);
            }
        }
        let mut room = vec![Kept::NONE; ports.len()];
        let xen = Xen::new(ports.clone(), 4096);
        let kept = |port: &&Port| {
            !port.device_model && matches!(port.status, Status::Unbound(_) | Status::Interdomain(..))
        };
        prop_assert_eq!(reset(&xen, 4096, &mut room), Ok(ports.iter().filter(kept).count()));
        for (at, before) in ports.iter().enumerate() {
            let expected = if kept(&before) || before.device_model { *before } else { FREE };
            prop_assert_eq!(xen.ports.borrow()[at], expected, "port {}", at);
        }
        prop_assert!(xen.offered.borrow().is_empty());
    }

    #[test]
    fn it_comes_to_an_end_whatever_fails(
        mut ports in proptest::collection::vec(any_port(), 1..30),
        fails_at in 0u32..200,
        limit in 1usize..40,
    ) {
        ports[0] = FREE;
        let mut room = vec![Kept::NONE; ports.len()];
        let xen = Xen::new(ports, limit);
        xen.fails_at.set(Some(fails_at));
        let _ = reset(&xen, 4096, &mut room);
    }
}
