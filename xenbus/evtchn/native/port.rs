// SPDX-License-Identifier: GPL-2.0

//! The state of a bound port: pure, tested on the build machine.
//!
//! A port is masked for reasons that come and go independently of each other, and unmasked when none is left. All
//! changes are made under one lock, together with what they do to the port.

use super::pace::Backoff;

/// Why a port is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The interrupt is disabled or masked.
    Disabled = 1,
    /// It is being moved to another CPU, or raised by hand.
    Moving = 2,
    /// Its event is being handled, or the end of that is put off.
    Handling = 4,
    /// The hypervisor has refused to unmask it, and is to be asked again.
    Refused = 8,
}

/// The hypervisor does not unmask a port, which still is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What can be done to a port, by whichever ABI.
pub trait Ports {
    /// No event is raised from now on.
    fn mask(&self, port: u32);

    /// Events are raised again, at once if one has come in meanwhile.
    ///
    /// # Errors
    ///
    /// [`Refused`], where only the hypervisor could do that.
    fn unmask(&self, port: u32) -> Result<(), Refused>;

    /// Forgets an event that has come in.
    fn clear(&self, port: u32);

    /// Makes it look as if an event had come in. The port must be masked, so that unmasking raises it.
    fn pretend(&self, port: u32);
}

/// When the interrupt of an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum End {
    /// Now.
    Now,
    /// After so many ticks.
    After(u32),
    /// That was decided already.
    Decided,
}

/// The state of a port that an interrupt is bound to, or of an interrupt without one: then nothing happens.
#[derive(Debug)]
pub struct State {
    // 0: none.
    port: u32,
    reasons: u8,
    put_off: bool,
    // Refused, and nobody knows.
    refusal: bool,
    backoff: Backoff,
}

impl State {
    /// An interrupt without a port.
    pub const fn new() -> Self {
        Self {
            port: 0,
            reasons: Reason::Disabled as u8,
            put_off: false,
            refusal: false,
            backoff: Backoff::new(),
        }
    }

    /// The port; 0 if there is none.
    pub const fn port(&self) -> u32 {
        self.port
    }

    /// Binds the interrupt to a port, which must be masked. It stays masked until the interrupt is enabled.
    pub fn bind(&mut self, port: u32) {
        *self = Self {
            port,
            ..Self::new()
        };
    }

    /// Takes the port away, masked if it is still this guest's; returns it.
    pub fn unbind(&mut self, ports: &impl Ports) -> u32 {
        let port = self.forget();
        if port != 0 {
            ports.mask(port);
        }
        port
    }

    /// Takes the port away without touching it: after a restore it may be another's. Returns it.
    pub fn forget(&mut self) -> u32 {
        let port = self.port;
        *self = Self {
            reasons: self.reasons & Reason::Disabled as u8,
            ..Self::new()
        };
        port
    }

    /// Binds the interrupt to another port, which must be masked, after [`Self::forget`] and with nothing in between.
    /// Events come unless the interrupt is disabled.
    pub fn rebind(&mut self, ports: &impl Ports, port: u32) {
        self.port = port;
        if self.reasons == 0 {
            self.reasons = Reason::Moving as u8;
            self.unmask(ports, Reason::Moving);
        }
    }

    /// Adds a reason to be masked.
    pub fn mask(&mut self, ports: &impl Ports, reason: Reason) {
        if self.port == 0 {
            return;
        }
        if self.reasons == 0 {
            ports.mask(self.port);
        }
        self.reasons |= reason as u8;
    }

    /// Removes a reason to be masked.
    pub fn unmask(&mut self, ports: &impl Ports, reason: Reason) {
        if self.port == 0 || self.reasons & reason as u8 == 0 {
            return;
        }
        self.reasons &= !(reason as u8);
        if self.reasons == 0 && ports.unmask(self.port).is_err() {
            self.reasons = Reason::Refused as u8;
            self.refusal = true;
        }
    }

    /// Whether the hypervisor has refused to unmask the port since this was last asked. Then [`Reason::Refused`] is to be
    /// taken away after a while, which tries it again.
    pub fn take_refusal(&mut self) -> bool {
        core::mem::take(&mut self.refusal)
    }

    /// Begins the handling of an event: events that come in from here on are new ones.
    pub fn acknowledge(&mut self, ports: &impl Ports, reason: Reason) {
        self.mask(ports, reason);
        if self.port != 0 {
            ports.clear(self.port);
        }
    }

    /// Raises the interrupt as if an event had come in; false if there is no port.
    pub fn retrigger(&mut self, ports: &impl Ports) -> bool {
        if self.port == 0 {
            return false;
        }
        self.mask(ports, Reason::Moving);
        ports.pretend(self.port);
        self.unmask(ports, Reason::Moving);
        true
    }

    /// Says when the interrupt of a handled event ends. `busy` is the least delay, for a CPU that has been at events for
    /// too long; `second` is how many ticks that has.
    pub fn end(&mut self, spurious: bool, busy: u32, second: u32) -> End {
        if self.put_off {
            return End::Decided;
        }
        match self.backoff.judge(spurious, second).max(busy) {
            0 => End::Now,
            ticks => {
                self.put_off = true;
                End::After(ticks)
            }
        }
    }

    /// The time of an interrupt that was put off has come; false if it is no longer put off.
    pub fn ripe(&mut self) -> bool {
        core::mem::replace(&mut self.put_off, false)
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
