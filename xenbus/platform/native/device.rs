// SPDX-License-Identifier: GPL-2.0

//! The driver of the platform PCI device. It only takes the device and notes what it offers; the native mode is brought
//! up by the module's initialiser, so that a failure is the answer to the one who loads the module.

use kernel::{
    device::Core,
    driver,
    error::to_result,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        global_lock, //
    }, //
};
use rxen_bindings as bindings;

/// The memory that offers guest frame numbers.
const BAR: u32 = 1;

/// Interrupts below this one are those of the ISA bus, where the interrupt's number is the line's.
const FIRST_PCI_INTERRUPT: u32 = 16;

/// What the platform device offers.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    /// The Linux interrupt number of its INTx.
    pub(super) interrupt: u32,
    /// How that interrupt is named to the hypervisor.
    pub(super) callback_via: u64,
    /// Its memory, of which nothing is backed: the guest physical address and the size.
    pub(super) memory: (u64, u64),
}

global_lock! {
    // SAFETY: Initialised by `Registration::new` before the driver is registered.
    unsafe(uninit) static OFFER: Mutex<Option<Offer>> = None;
}

kernel::pci_device_table!(
    DEVICES,
    <PlatformDevice as pci::Driver>::IdInfo,
    [(
        pci::DeviceId::from_id(pci::Vendor::XEN, bindings::PCI_DEVICE_ID_XEN_PLATFORM),
        ()
    )]
);

/// The driver.
struct PlatformDevice;

impl pci::Driver for PlatformDevice {
    type IdInfo = ();
    type Data<'bound> = Taken;
    const ID_TABLE: pci::IdTable<Self::IdInfo> = &DEVICES;

    fn probe<'bound>(
        device: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Taken::new(device)
    }
}

/// The device, enabled and with its memory reserved. Dropping it undoes that.
struct Taken(ARef<pci::Device>);

impl Taken {
    /// Takes the device.
    fn new(device: &pci::Device<Core<'_>>) -> Result<Self> {
        let mut offer = OFFER.lock();
        if offer.is_some() {
            return Err(EBUSY);
        }
        let memory = (device.resource_start(BAR)?, device.resource_len(BAR)?);
        device.enable_device_mem()?;
        let raw = as_raw(device);
        // SAFETY: The device is valid and enabled.
        to_result(unsafe {
            bindings::pci_request_region(raw, BAR as c_int, c"rxenbus".as_char_ptr())
        })
        .inspect_err(|_| {
            // SAFETY: Enabled above.
            unsafe { bindings::pci_disable_device(raw) }
        })?;
        let taken = Self(device.into());
        *offer = Some(Offer {
            // SAFETY: The device is valid.
            interrupt: unsafe { (*raw).irq },
            // SAFETY: The device is valid.
            callback_via: unsafe { callback_via(raw) },
            memory,
        });
        // What the native mode has of the device cannot be taken away by way of sysfs while the module is loaded. The
        // files for it are made after the first probe.
        // SAFETY: The driver core has set the driver, ours, before it calls the probe.
        unsafe { (*(*raw).dev.driver).suppress_bind_attrs = true };
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *OFFER.lock() = None;
        let raw = as_raw(&self.0);
        // SAFETY: The device was enabled and the region requested by `new`, and both are undone once, here.
        unsafe {
            bindings::pci_release_region(raw, BAR as c_int);
            bindings::pci_disable_device(raw);
        }
    }
}

/// The C device, which the abstraction is a transparent wrapper of.
fn as_raw<C: kernel::device::DeviceContext>(device: &pci::Device<C>) -> *mut bindings::pci_dev {
    core::ptr::from_ref(device).cast_mut().cast()
}

/// How the device's interrupt is named to the hypervisor: by the line of the ISA bus, or by the device and its pin.
///
/// # Safety
///
/// The device must be valid.
unsafe fn callback_via(device: *mut bindings::pci_dev) -> u64 {
    const KIND_SHIFT: u32 = 56;
    // SAFETY: The caller promises a valid device; it is on a bus.
    let (interrupt, pin, slot, bus) = unsafe {
        (
            (*device).irq,
            (*device).pin,
            (*device).devfn,
            (*(*device).bus).number,
        )
    };
    if interrupt < FIRST_PCI_INTERRUPT {
        return interrupt.into();
    }
    // The hypervisor has one PCI domain for a guest: 0.
    u64::from(bindings::HVM_PARAM_CALLBACK_TYPE_PCI_INTX) << KIND_SHIFT
        | u64::from(bus) << 16
        | u64::from(slot & 0xff) << 8
        | u64::from(pin.wrapping_sub(1) & 3)
}

/// The registered driver, which has taken the device.
pub(super) struct Registration {
    _driver: Pin<KBox<driver::Registration<pci::Adapter<PlatformDevice>>>>,
}

impl Registration {
    /// Registers the driver. To be called once.
    ///
    /// # Errors
    ///
    /// `ENODEV`, after a line in the log, if it did not get the device.
    pub(super) fn new(module: &'static ThisModule) -> Result<(Self, Offer)> {
        // SAFETY: Called once, when the module is loaded.
        unsafe { OFFER.init() };
        let registration = Self {
            _driver: KBox::pin_init(driver::Registration::new(c"rxenbus", module), GFP_KERNEL)?,
        };
        // The driver core probes before the registration returns.
        let offer = *OFFER.lock();
        match offer {
            Some(offer) => Ok((registration, offer)),
            None => {
                pr_err!("the platform PCI device 5853:0001 is taken by another driver or could not be enabled\n");
                Err(ENODEV)
            }
        }
    }
}
