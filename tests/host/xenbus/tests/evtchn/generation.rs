// SPDX-License-Identifier: GPL-2.0

//! A port number that has become another's is neither sent to nor closed nor published.

use core::cell::Cell;
use proptest::prelude::*;
use pure_xenbus::evtchn::{
    generation::{
        Claim,
        Restores, //
    },
    port::{
        Ports,
        Refused,
        State, //
    }, //
};

#[test]
fn a_port_is_given_up_once_and_then_not_sent_to() {
    let restores = Restores::new();
    let mut claim = Claim::new(5, true, &restores);
    assert_eq!((claim.number(), claim.port(&restores)), (5, Some(5)));
    assert_eq!(claim.give_up(&restores), Some(5));
    // Another has it now.
    assert_eq!(claim.port(&restores), None);
    assert_eq!(claim.give_up(&restores), None);
}

#[test]
fn a_port_from_before_a_restore_is_nobodys_and_its_number_can_be_had_again() {
    let restores = Restores::new();
    let mut old = Claim::new(5, true, &restores);
    restores.add();
    let mut new = Claim::new(5, true, &restores);
    assert_eq!(old.port(&restores), None);
    assert_eq!(old.give_up(&restores), None);
    assert_eq!(new.port(&restores), Some(5));
    assert_eq!(new.give_up(&restores), Some(5));
}

#[test]
fn a_port_that_a_restore_has_replaced_is_closed_by_its_new_number() {
    let restores = Restores::new();
    let mut claim = Claim::new(5, true, &restores);
    restores.add();
    claim.renew(3, &restores);
    assert_eq!((claim.number(), claim.port(&restores)), (3, Some(3)));
    assert_eq!(claim.give_up(&restores), Some(3));
    assert_eq!(claim.give_up(&restores), None);
}

#[test]
fn a_port_of_the_toolstack_is_used_but_not_closed() {
    let restores = Restores::new();
    let mut claim = Claim::new(1, false, &restores);
    assert_eq!(claim.port(&restores), Some(1));
    assert_eq!(claim.give_up(&restores), None);
    assert_eq!(claim.port(&restores), None);
}

/// Who has each port of the hypervisor; port 0 is never used.
struct Xen {
    owners: Vec<Option<usize>>,
    /// Whom the guest may touch a port for.
    acting: Cell<usize>,
}

impl Xen {
    fn touch(&self, port: u32) {
        assert_eq!(
            self.owners[port as usize],
            Some(self.acting.get()),
            "port {port} is another's"
        );
    }

    /// The lowest that is free.
    fn open(&mut self, owner: usize) -> u32 {
        let free = self.owners.iter().skip(1).position(Option::is_none);
        let port = free.unwrap() + 1;
        self.owners[port] = Some(owner);
        port as u32
    }
}

impl Ports for Xen {
    fn mask(&self, port: u32) {
        self.touch(port);
    }

    fn unmask(&self, port: u32) -> Result<(), Refused> {
        self.touch(port);
        Ok(())
    }

    fn clear(&self, port: u32) {
        self.touch(port);
    }

    fn pretend(&self, port: u32) {
        self.touch(port);
    }
}

/// A binding as the module has it.
struct Binding {
    claim: Claim,
    state: State,
    /// Of the time before the restore.
    stale: bool,
}

/// The guest: its bindings, and which of them upcalls find for a port.
struct Guest {
    xen: Xen,
    restores: Restores,
    bindings: Vec<Option<Binding>>,
    table: Vec<Option<usize>>,
}

const PORTS: usize = 40;

impl Guest {
    fn new() -> Self {
        Self {
            xen: Xen {
                owners: vec![None; PORTS],
                acting: Cell::new(0),
            },
            restores: Restores::new(),
            bindings: Vec::new(),
            table: vec![None; PORTS],
        }
    }

    fn open(&mut self) -> Claim {
        let port = self.xen.open(self.bindings.len());
        Claim::new(port, true, &self.restores)
    }

    /// A restore: the hypervisor's ports are gone, and the guest forgets which it had.
    fn restore(&mut self) {
        self.xen.owners.fill(None);
        self.restores.add();
        for owner in self.table.iter_mut().filter_map(Option::take) {
            self.bindings[owner].as_mut().unwrap().state.forget();
        }
        for binding in self.bindings.iter_mut().flatten() {
            binding.stale = true;
        }
    }

    /// Makes it findable, if it still is the owner's.
    fn publish(&mut self, claim: Claim) {
        let owner = self.bindings.len();
        self.bindings.push(None);
        self.xen.acting.set(owner);
        let Some(port) = claim.port(&self.restores) else {
            return self.close(claim);
        };
        self.xen.touch(port);
        let mut state = State::new();
        state.bind(port);
        assert_eq!(self.table[port as usize].replace(owner), None);
        self.bindings[owner] = Some(Binding {
            claim,
            state,
            stale: false,
        });
    }

    fn close(&mut self, mut claim: Claim) {
        if let Some(port) = claim.give_up(&self.restores) {
            self.xen.touch(port);
            self.xen.owners[port as usize] = None;
        }
    }

    fn notify(&self, owner: usize) {
        let Some(binding) = &self.bindings[owner] else {
            return;
        };
        self.xen.acting.set(owner);
        let port = binding.claim.port(&self.restores);
        assert_eq!(port.is_none(), binding.stale);
        if let Some(port) = port {
            self.xen.touch(port);
        }
    }

    fn drop(&mut self, owner: usize) {
        let Some(mut binding) = self.bindings[owner].take() else {
            return;
        };
        self.xen.acting.set(owner);
        let port = binding.state.unbind(&self.xen);
        if port != 0 {
            assert_eq!(self.table[port as usize].take(), Some(owner));
        }
        self.close(binding.claim);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Bind { restored_meanwhile: bool },
    Notify(usize),
    Drop(usize),
    Restore,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::bool::weighted(0.1).prop_map(|restored_meanwhile| Step::Bind { restored_meanwhile }),
        4 => any::<usize>().prop_map(Step::Notify),
        3 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #[test]
    fn nobody_touches_the_port_of_another(
        steps in proptest::collection::vec(any_step(), 0..PORTS - 1),
    ) {
        let mut guest = Guest::new();
        for step in steps {
            let made = guest.bindings.len();
            match step {
                Step::Bind { restored_meanwhile } => {
                    let claim = guest.open();
                    if restored_meanwhile {
                        guest.restore();
                    }
                    guest.publish(claim);
                }
                Step::Notify(owner) if made > 0 => guest.notify(owner % made),
                Step::Drop(owner) if made > 0 => guest.drop(owner % made),
                Step::Restore => guest.restore(),
                Step::Notify(_) | Step::Drop(_) => {}
            }
        }
        // All are dropped in the end, those from before a restore too: nothing is left open.
        (0..guest.bindings.len()).for_each(|owner| guest.drop(owner));
        prop_assert!(guest.xen.owners.iter().all(Option::is_none));
        prop_assert!(guest.table.iter().all(Option::is_none));
    }
}
