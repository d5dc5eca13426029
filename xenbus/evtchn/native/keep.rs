// SPDX-License-Identifier: GPL-2.0

//! Getting rid of the FIFO ABI: pure, tested on the build machine.
//!
//! The hypervisor forgets the frames of the FIFO ABI only with `EVTCHNOP_reset`, which also closes every port of the
//! guest but those of its device model. The toolstack made two of them, for xenstore and the console, and both ends know
//! each other by number. So they are bound again, to the same ports of the other domain, under the same numbers.

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Free.
    Closed,
    /// Waiting for a domain to bind to it.
    Unbound(u16),
    /// Bound to a port of a domain.
    Interdomain(u16, u32),
    /// Something that belongs to this guest alone.
    Own,
}

/// What the hypervisor does with ports.
pub trait Hypervisor {
    /// Why it does not.
    type Error;

    /// What a port is; [`None`] beyond the last one that ever was.
    ///
    /// # Errors
    ///
    /// Where it cannot be told.
    fn status(&self, port: u32) -> Result<Option<Status>, Self::Error>;

    /// Closes all ports of this guest and goes back to the 2-level ABI.
    fn reset(&self) -> Result<(), Self::Error>;

    /// Makes a port for a domain, the lowest that is free.
    fn alloc_unbound(&self, domid: u16) -> Result<u32, Self::Error>;

    /// Makes a port bound to a domain's, the lowest that is free.
    fn bind_interdomain(&self, domid: u16, port: u32) -> Result<u32, Self::Error>;

    /// Closes a port.
    fn close(&self, port: u32) -> Result<(), Self::Error>;
}

/// A port that is to be there after the reset as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    port: u32,
    status: Status,
}

impl Kept {
    /// No port, to fill an array with.
    pub const NONE: Self = Self {
        port: 0,
        status: Status::Closed,
    };

    /// Its number.
    pub const fn port(&self) -> u32 {
        self.port
    }
}

/// Why a reset failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// There are more ports to keep than there is room; nothing was changed.
    TooMany,
    /// The hypervisor does not say what this port is, so it is unknown which are to be kept; nothing was changed.
    Unknown(u32, E),
    /// The hypervisor refused the reset.
    Reset(E),
    /// This port could not be bound again.
    Lost(Kept),
}

/// Resets and binds again what others know by number; returns how many ports that were. `ports` is how many ports there
/// can be at most, `room` is for those to keep.
///
/// # Errors
///
/// See [`Failure`]: only after [`Failure::Lost`] the reset has been made.
pub fn reset<H: Hypervisor>(
    hypervisor: &H,
    ports: u32,
    room: &mut [Kept],
) -> Result<usize, Failure<H::Error>> {
    let count = list(hypervisor, ports, room)?;
    let kept = room.get(..count).unwrap_or_default();
    hypervisor.reset().map_err(Failure::Reset)?;
    let mut restored = 0;
    let mut lost = None;
    for port in kept {
        // The device model's are untouched. Where this is not known, binding finds that the number is not free.
        if matches!(hypervisor.status(port.port), Ok(Some(status)) if status == port.status) {
            continue;
        }
        match again(hypervisor, *port) {
            Some(()) => restored += 1,
            None => lost = lost.or(Some(*port)),
        }
    }
    close_placeholders(hypervisor, kept);
    lost.map_or(Ok(restored), |port| Err(Failure::Lost(port)))
}

/// Lists the ports to keep, in ascending order, and returns how many they are.
fn list<H: Hypervisor>(
    hypervisor: &H,
    ports: u32,
    room: &mut [Kept],
) -> Result<usize, Failure<H::Error>> {
    let mut count = 0;
    for port in 1..ports {
        // A list that an error has cut short would cost the toolstack the ports behind it.
        let status = hypervisor.status(port);
        let Some(status) = status.map_err(|error| Failure::Unknown(port, error))? else {
            break;
        };
        if matches!(status, Status::Unbound(_) | Status::Interdomain(..)) {
            *room.get_mut(count).ok_or(Failure::TooMany)? = Kept { port, status };
            count += 1;
        }
    }
    Ok(count)
}

/// Makes a port as it was. The hypervisor gives the lowest number that is free, so ports are made until it is this
/// one's turn. Those below it stay until all are done.
fn again<H: Hypervisor>(hypervisor: &H, kept: Kept) -> Option<()> {
    let (Status::Unbound(domid) | Status::Interdomain(domid, _)) = kept.status else {
        return None;
    };
    // Each turn gives a higher number, so there are no more turns than that.
    for _ in 0..kept.port {
        let port = hypervisor.alloc_unbound(domid).ok()?;
        if port < kept.port {
            continue;
        }
        if port == kept.port && matches!(kept.status, Status::Unbound(_)) {
            return Some(());
        }
        hypervisor.close(port).ok()?;
        return match kept.status {
            Status::Interdomain(domid, remote) if port == kept.port => {
                bound(hypervisor, domid, remote, port)
            }
            _ => None,
        };
    }
    None
}

/// Binds to a domain's port; only right if that gives `port`.
fn bound<H: Hypervisor>(hypervisor: &H, domid: u16, remote: u32, port: u32) -> Option<()> {
    let got = hypervisor.bind_interdomain(domid, remote).ok()?;
    if got == port {
        return Some(());
    }
    let _ = hypervisor.close(got);
    None
}

/// Closes what [`again`] made below the ports that it was for.
fn close_placeholders<H: Hypervisor>(hypervisor: &H, kept: &[Kept]) {
    let Some(last) = kept.last() else {
        return;
    };
    for port in 1..last.port {
        let Ok(Some(status @ Status::Unbound(_))) = hypervisor.status(port) else {
            continue;
        };
        if !kept.contains(&Kept { port, status }) {
            // One more than needed does no harm.
            let _ = hypervisor.close(port);
        }
    }
}
