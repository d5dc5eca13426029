// SPDX-License-Identifier: GPL-2.0

//! Guest and hypervisor at the same words at the same time, in every order that memory allows: no event is lost.

use crate::xen::{
    Bitmap,
    Fifo,
    Lock,
    View,
    Word, //
};
use loom::sync::{
    atomic::{
        fence,
        AtomicBool,
        AtomicU32,
        AtomicU64,
        Ordering::{
            AcqRel,
            Acquire,
            Relaxed,
            Release,
            SeqCst, //
        }, //
    },
    Arc,
    Mutex, //
};
use pure_xenbus::evtchn::{
    bitmap::Scan,
    fifo::{
        Queues,
        Taken,
        QUEUES, //
    },
    port::{
        End,
        Ports,
        Reason,
        State, //
    },
    shared::Shared,
    turn::{
        Flag,
        Turn, //
    }, //
};

/// A word whose accesses are as strong as those of x86: one that changes it is a full barrier.
struct Strong<A>(A);

macro_rules! impl_strong {
    ($atomic:ty, $value:ty) => {
        impl Shared<$value> for Strong<$atomic> {
            fn load(&self) -> $value {
                self.0.load(Acquire)
            }

            fn swap(&self, value: $value) -> $value {
                fence(SeqCst);
                let old = self.0.swap(value, AcqRel);
                fence(SeqCst);
                old
            }

            fn set(&self, bits: $value) -> $value {
                fence(SeqCst);
                let old = self.0.fetch_or(bits, AcqRel);
                fence(SeqCst);
                old
            }

            fn clear(&self, bits: $value) -> $value {
                fence(SeqCst);
                let old = self.0.fetch_and(!bits, AcqRel);
                fence(SeqCst);
                old
            }

            fn exchange(&self, old: $value, new: $value) -> Result<(), $value> {
                fence(SeqCst);
                let outcome = self.0.compare_exchange(old, new, AcqRel, Acquire);
                fence(SeqCst);
                outcome.map(|_| ())
            }
        }

        impl Word<$value> for Strong<$atomic> {
            fn new(value: $value) -> Self {
                Self(<$atomic>::new(value))
            }
        }
    };
}

impl_strong!(AtomicU32, u32);
impl_strong!(AtomicU64, u64);

/// The lock of the hypervisor's queues.
struct Locked(Mutex<[u32; QUEUES]>);

impl Lock for Locked {
    fn new() -> Self {
        Self(Mutex::new([0; QUEUES]))
    }

    fn with<R>(&self, work: impl FnOnce(&mut [u32; QUEUES]) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

/// Runs a test in all orders with so many preemptions at most.
fn in_all_orders(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}

/// The flag of a turn, as strong as it is in the module.
struct Passed(AtomicBool);

impl Flag for Passed {
    fn set(&self) -> bool {
        self.0.swap(true, Acquire)
    }

    fn clear(&self) {
        self.0.store(false, Release);
    }
}

/// A bound port as the module has it: the state under a lock, and a turn that keeps a second CPU out while one is at it.
struct Line {
    state: Mutex<State>,
    turn: Turn<Passed>,
    /// What the other end has published, and what was seen of it.
    data: AtomicU32,
    seen: AtomicU32,
}

impl Line {
    /// Bound to a port and enabled.
    fn new(ports: &impl Ports, port: u32) -> Self {
        let mut state = State::new();
        state.bind(port);
        state.unmask(ports, Reason::Disabled);
        Self {
            state: Mutex::new(state),
            turn: Turn::new(Passed(AtomicBool::new(false))),
            data: AtomicU32::new(0),
            seen: AtomicU32::new(0),
        }
    }

    /// An event has come out of the queue or the bitmap.
    fn event(&self, ports: &impl Ports) {
        if !self.turn.begin() {
            return;
        }
        self.state
            .lock()
            .unwrap()
            .acknowledge(ports, Reason::Handling);
        self.seen.store(self.data.load(Relaxed), Relaxed);
        let mut state = self.state.lock().unwrap();
        assert_eq!(state.end(false, 0, 100), End::Now);
        self.turn.end(&mut state, ports);
    }

    /// The port moves to another virtual CPU.
    fn move_by(&self, ports: &impl Ports, bind: impl FnOnce()) {
        let mut state = self.state.lock().unwrap();
        state.mask(ports, Reason::Moving);
        bind();
        state.unmask(ports, Reason::Moving);
    }

    /// The other end publishes and sends an event.
    fn send(&self, value: u32, raise: impl FnOnce()) {
        self.data.store(value, Relaxed);
        raise();
    }
}

type XenFifo = Fifo<Strong<AtomicU32>, Locked>;

/// Serves the queues until they are empty.
fn serve(queues: &mut Queues, xen: &XenFifo, lines: &[Line]) {
    while let Some(taken) = queues.take(xen) {
        match taken {
            Taken::Event(port) => lines[port as usize - 1].event(xen),
            Taken::Idle(_) => {}
            Taken::Bad(port) => panic!("{port} is a port"),
        }
    }
}

/// The other end sends while the guest serves its queues.
fn fifo(preemptions: usize, sent: &'static [(u32, u32)]) {
    in_all_orders(preemptions, move || {
        let xen = XenFifo::new(3);
        let lines = [1, 2].map(|port| Line::new(&xen, port));
        let shared = Arc::new((xen, lines));
        let other = shared.clone();
        let sender = loom::thread::spawn(move || {
            let (xen, lines) = &*other;
            for (port, value) in sent {
                lines[*port as usize - 1].send(*value, || _ = xen.raise(*port));
            }
        });
        let (xen, lines) = &*shared;
        let mut queues = Queues::new();
        serve(&mut queues, xen, lines);
        sender.join().unwrap();
        // The upcall that the last event has caused, if the first one did not see it.
        serve(&mut queues, xen, lines);
        for line in lines {
            assert_eq!(line.seen.load(Relaxed), line.data.load(Relaxed));
        }
    });
}

#[test]
fn fifo_loses_no_event_of_one_port() {
    fifo(4, &[(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn fifo_loses_no_event_of_two_ports() {
    fifo(3, &[(1, 1), (2, 1), (1, 2)]);
}

#[test]
fn fifo_loses_no_event_when_the_port_is_masked_and_unmasked_meanwhile() {
    in_all_orders(3, || {
        let xen = XenFifo::new(2);
        let lines = [Line::new(&xen, 1)];
        let shared = Arc::new((xen, lines));
        let (other, third) = (shared.clone(), shared.clone());
        let sender = loom::thread::spawn(move || {
            let (xen, lines) = &*other;
            lines[0].send(1, || _ = xen.raise(1));
            lines[0].send(2, || _ = xen.raise(1));
        });
        let masker = loom::thread::spawn(move || {
            let (xen, lines) = &*third;
            lines[0].move_by(xen, || ());
        });
        let (xen, lines) = &*shared;
        let mut queues = Queues::new();
        serve(&mut queues, xen, lines);
        sender.join().unwrap();
        masker.join().unwrap();
        serve(&mut queues, xen, lines);
        assert_eq!(lines[0].seen.load(Relaxed), 2);
    });
}

type XenBitmap = Bitmap<Strong<AtomicU64>>;

/// One scan of a virtual CPU.
fn scan(scan: &mut Scan, xen: &XenBitmap, cpu: usize, line: &Line) {
    scan.all(&View { bitmap: xen, cpu }, |port| {
        assert_eq!(port, 1);
        line.event(xen);
    });
}

#[test]
fn the_bitmap_loses_no_event() {
    in_all_orders(3, || {
        let xen = XenBitmap::new(1, 1);
        let line = Line::new(&xen, 1);
        let shared = Arc::new((xen, line));
        let other = shared.clone();
        let sender = loom::thread::spawn(move || {
            let (xen, line) = &*other;
            line.send(1, || _ = xen.raise(1));
            line.send(2, || _ = xen.raise(1));
        });
        let (xen, line) = &*shared;
        let mut state = Scan::new();
        scan(&mut state, xen, 0, line);
        sender.join().unwrap();
        // Each scan that handles an event may be followed by one more that its unmasking has raised.
        scan(&mut state, xen, 0, line);
        scan(&mut state, xen, 0, line);
        assert_eq!(line.seen.load(Relaxed), 2);
    });
}

#[test]
fn the_bitmap_loses_no_event_of_a_port_that_moves_to_another_cpu() {
    in_all_orders(2, || {
        let xen = XenBitmap::new(1, 2);
        let line = Line::new(&xen, 1);
        let shared = Arc::new((xen, line));
        let (other, third) = (shared.clone(), shared.clone());
        let sender = loom::thread::spawn(move || {
            let (xen, line) = &*other;
            line.send(1, || _ = xen.raise(1));
        });
        let mover = loom::thread::spawn(move || {
            let (xen, line) = &*third;
            line.move_by(xen, || _ = xen.bound[1].swap(1));
        });
        let (xen, line) = &*shared;
        let mut states = [Scan::new(), Scan::new()];
        scan(&mut states[0], xen, 0, line);
        sender.join().unwrap();
        mover.join().unwrap();
        for cpu in [0, 1, 0, 1] {
            scan(&mut states[cpu], xen, cpu, line);
        }
        assert_eq!(line.seen.load(Relaxed), 1);
    });
}
