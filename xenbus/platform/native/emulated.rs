// SPDX-License-Identifier: GPL-2.0

//! Emulated devices: finding them, unplugging them, and what that leaves to the paravirtual ones.

use crate::platform::unplug::{
    self,
    Fate,
    Kind,
    Request,
    Use, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use rxen_bindings as bindings;

/// The ports of the unplug protocol.
const MAGIC_PORT: u16 = 0x10;
const VERSION_PORT: u16 = 0x12;
/// What the first reads as where the protocol is understood and this driver not unwelcome.
const MAGIC: u16 = 0x49d2;
/// The number for drivers that have none of their own in Xen's `pvdrivers.h`.
const PRODUCT: u16 = 0xffff;
/// The build, which a host can refuse.
const BUILD: u32 = 1;

/// Classes of PCI devices: base class and subclass.
const STORAGE_SCSI: u32 = 0x0100;
const STORAGE_IDE: u32 = 0x0101;
const STORAGE_SATA: u32 = 0x0106;
const STORAGE_NVME: u32 = 0x0108;
const NETWORK_ETHERNET: u32 = 0x0200;

/// What is unplugged after a restore, as the bits of the protocol.
static REPLAYED: Atomic<u32> = Atomic::new(0);
/// Cards stay that are the twins of paravirtual ones.
static KEEPS_NICS: Atomic<bool> = Atomic::new(false);
/// How many of the first disks stay emulated; 0 if none.
static KEPT_DISKS: Atomic<u32> = Atomic::new(0);

/// Whether paravirtual cards may be driven.
pub(crate) fn may_drive_nics() -> bool {
    !KEEPS_NICS.load(Relaxed)
}

/// Whether the disk with a virtual device number is still there as an emulated one too.
pub(crate) fn has_emulated_twin(number: u32) -> bool {
    let emulated = KEPT_DISKS.load(Relaxed);
    emulated != 0 && unplug::is_emulated(number, emulated)
}

/// The emulated devices of a kind.
#[derive(Default)]
struct Found {
    devices: KVec<PciDevice>,
    usage: Use,
    sata: bool,
}

/// A reference to a PCI device.
struct PciDevice(*mut bindings::pci_dev);

impl PciDevice {
    /// The kind of emulated device that it is; [`None`] for all others, such as one that is passed through.
    fn kind(&self) -> Option<Kind> {
        const INTEL: u16 = 0x8086;
        const QEMU: u16 = 0x1af4;
        const XEN: u16 = 0x5853;
        // SAFETY: The device is valid.
        let (class, vendor, subvendor) = unsafe {
            (
                (*self.0).class >> 8,
                (*self.0).vendor,
                (*self.0).subsystem_vendor,
            )
        };
        let emulated = matches!(subvendor, QEMU | XEN);
        match class {
            // The one of the emulated chip set has no subsystem.
            STORAGE_IDE if emulated || vendor == INTEL && subvendor == 0 => Some(Kind::Disks),
            STORAGE_SCSI | STORAGE_SATA if emulated => Some(Kind::Disks),
            STORAGE_NVME if emulated => Some(Kind::Nvme),
            NETWORK_ETHERNET if emulated => Some(Kind::Nics),
            _ => None,
        }
    }

    /// Whether the device itself disappears when it is unplugged; an IDE or SATA controller stays, without its disks.
    fn goes(&self) -> bool {
        // SAFETY: The device is valid.
        !matches!(unsafe { (*self.0).class } >> 8, STORAGE_IDE | STORAGE_SATA)
    }

    /// How far the guest has gone with it.
    ///
    /// A driver that has it and nothing below it may not have looked yet. What it finds later must not be taken for absent:
    /// it would be driven both ways now, and unplugged in use after a restore.
    fn usage(&self) -> Use {
        // SAFETY: The device is valid; the helper only looks at what hangs below it.
        let look = || unsafe { bindings::rxen_emulated_use(self.0) };
        let mut usage = look();
        if usage == bindings::rxen_use_RXEN_USE_NOTHING {
            // SAFETY: The device is valid. Called in process context, by the module's initialiser and not by a probe.
            unsafe { bindings::rxen_wait_for_probe(self.0) };
            usage = look();
        }
        match usage {
            bindings::rxen_use_RXEN_USE_UNBOUND => Use::Unbound,
            bindings::rxen_use_RXEN_USE_NOTHING => Use::Absent,
            bindings::rxen_use_RXEN_USE_IDLE => Use::Idle,
            _ => Use::InUse,
        }
    }

    /// Takes it away from its driver; before it is unplugged.
    fn release(&self) {
        // SAFETY: The device is valid, and a reference to it is held over its removal.
        unsafe {
            if self.goes() {
                bindings::pci_stop_and_remove_bus_device_locked(self.0);
            } else {
                bindings::device_release_driver(&raw mut (*self.0).dev);
            }
        }
    }

    /// Gives a controller that stays, for its CD drive, back to its driver; after its disks were unplugged.
    fn attach(&self) {
        if !self.goes() {
            // SAFETY: The device is valid. Without a driver for it nothing happens.
            let _ = unsafe { bindings::device_attach(&raw mut (*self.0).dev) };
        }
    }
}

impl Drop for PciDevice {
    fn drop(&mut self) {
        // SAFETY: This value owns a reference.
        unsafe { bindings::pci_dev_put(self.0) }
    }
}

/// Finds the emulated devices of a kind.
fn find(kind: Kind) -> Result<Found> {
    let mut found = Found::default();
    let mut raw: *mut bindings::pci_dev = core::ptr::null_mut();
    loop {
        // SAFETY: Gives up the reference to the former device, which is null in the first round.
        raw = unsafe {
            bindings::pci_get_device(
                bindings::PCI_ANY_ID as c_uint,
                bindings::PCI_ANY_ID as c_uint,
                raw,
            )
        };
        if raw.is_null() {
            return Ok(found);
        }
        // SAFETY: The device is valid; the reference taken here is the value's, the search keeps its own.
        let device = PciDevice(unsafe { bindings::pci_dev_get(raw) });
        if device.kind() != Some(kind) {
            continue;
        }
        let usage = device.usage();
        if usage == Use::Absent {
            continue;
        }
        found.usage = found.usage.max(usage);
        // SAFETY: The device is valid.
        found.sata |= unsafe { (*raw).class } >> 8 == STORAGE_SATA;
        if let Err(error) = found.devices.push(device, GFP_KERNEL) {
            // SAFETY: The search's reference, which it would have given up in the next round.
            unsafe { bindings::pci_dev_put(raw) };
            return Err(error.into());
        }
    }
}

/// Says who we are and asks whether that is welcome.
fn is_supported() -> bool {
    // SAFETY: These ports are the platform device's, which is there.
    unsafe {
        if bindings::rxen_inw(MAGIC_PORT) != MAGIC {
            return false;
        }
        if bindings::rxen_inb(VERSION_PORT) != 0 {
            bindings::rxen_outw(PRODUCT, VERSION_PORT);
            bindings::rxen_outl(BUILD, MAGIC_PORT);
        }
        bindings::rxen_inw(MAGIC_PORT) == MAGIC
    }
}

/// Has the device model unplug what the bits of the protocol say.
fn write(bits: u32) {
    // SAFETY: As in `is_supported`. The devices have no driver any more.
    unsafe { bindings::rxen_outw(bits as u16, MAGIC_PORT) }
}

/// Decides about a kind and does it.
fn settle(request: Request, kind: Kind, supported: bool) -> Result<Fate> {
    let found = find(kind)?;
    let fate = match Fate::of(request, kind, found.usage) {
        Fate::Unplugged if !supported => {
            pr_warn!(
                "emulated {} stay: the host does not let them be unplugged\n",
                kind.name()
            );
            Fate::Kept
        }
        fate => fate,
    };
    if fate == Fate::Unplugged {
        found.devices.iter().for_each(PciDevice::release);
        write(kind.bit().into());
        found.devices.iter().for_each(PciDevice::attach);
    }
    if kind == Kind::Disks && fate.keeps_twins_away() {
        let disks = if found.sata {
            unplug::SATA_DISKS
        } else {
            unplug::IDE_DISKS
        };
        KEPT_DISKS.store(disks, Relaxed);
    }
    announce(kind, fate);
    Ok(fate)
}

/// Says what became of a kind and what to do for another outcome.
fn announce(kind: Kind, fate: Fate) {
    let name = kind.name();
    match fate {
        Fate::Absent => {}
        Fate::Unplugged => pr_info!("emulated {} unplugged\n", name),
        Fate::Unrelated => pr_info!("emulated {} stay, and have no paravirtual twins\n", name),
        Fate::Kept => pr_info!(
            "emulated {} stay, their paravirtual twins are left alone; unload their driver or see the parameter unplug\n",
            name
        ),
        Fate::Refused => pr_warn!("emulated {} stay: they are in use\n", name),
    }
}

/// Unplugs what the module parameter says.
pub(super) fn start() -> Result {
    // SAFETY: The parameter is a string that lives as long as the module.
    let text = unsafe { CStr::from_char_ptr(bindings::rxen_parameter_unplug()) };
    let Some(request) = Request::parse(text.to_bytes()) else {
        pr_err!(
            "unplug={}: auto, never, unnecessary, all or a list of disks, nics and nvme is meant\n",
            text
        );
        return Err(EINVAL);
    };
    let supported = is_supported();
    let mut replayed = 0;
    for kind in Kind::ALL {
        let fate = settle(request, kind, supported)?;
        if fate.is_replayed(request, kind) {
            replayed |= u32::from(kind.bit());
        }
        if kind == Kind::Nics {
            KEEPS_NICS.store(fate.keeps_twins_away(), Relaxed);
        }
    }
    // Where the host lets nothing be unplugged, there is nothing to try again.
    REPLAYED.store(if supported { replayed } else { 0 }, Relaxed);
    Ok(())
}

/// Unplugs what this guest has none of: after a restore there is a new device model, which has all devices. Any context.
pub(super) fn resume() {
    let bits = REPLAYED.load(Relaxed);
    if bits == 0 {
        return;
    }
    if is_supported() {
        write(bits);
    } else {
        pr_err!("the host does not let emulated devices be unplugged again after the restore\n");
    }
}
