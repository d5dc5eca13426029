// SPDX-License-Identifier: GPL-2.0

//! What a driver does for a network device, and how the network stack calls it.

use super::Skb;
use core::ptr::NonNull;
use kernel::prelude::*;
use rxen_bindings as bindings;

/// The features of a device that depend on the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// Frames in several pieces.
    pub(crate) scatter_gather: bool,
    /// Frames whose IPv6 checksums are still blank.
    pub(crate) ipv6_checksum: bool,
    /// Large TCP frames over IPv4.
    pub(crate) tso: bool,
    /// Large TCP frames over IPv6.
    pub(crate) tso6: bool,
}

/// The counters that every device has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkStatistics {
    pub(crate) rx_packets: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) rx_errors: u64,
    pub(crate) rx_dropped: u64,
    pub(crate) tx_packets: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) tx_errors: u64,
    pub(crate) tx_dropped: u64,
}

/// What became of a frame that the stack handed over.
pub(crate) enum Transmit {
    /// It was taken, or dropped and counted.
    Done,
    /// There is no room, which the queue being stopped should have told; it comes again. A copy that was made of it
    /// is dropped instead.
    Busy(Skb),
}

/// What handles a device. All but `open` and `stop` may be called at the same time.
pub(crate) trait Operations: Send + Sync + 'static {
    /// The names of what [`Self::statistics`] returns, for `ethtool -S`.
    const STATISTICS: &'static [&'static CStr];

    /// The device goes up; polls come from now on. Process context.
    fn open(&self);

    /// The device has gone down; no poll runs or comes. Process context.
    fn stop(&self);

    /// Sends a frame. `more` follow at once. Softirq context or the like; must not sleep.
    fn transmit(&self, frame: Skb, more: bool) -> Transmit;

    /// Receives at most `budget` frames; returns how many. As many as the budget: it is called again. Softirq context.
    fn poll(&self, budget: usize) -> usize;

    /// The polling has ended for now: asks for events. True if there is something to do already.
    fn rearm(&self) -> bool;

    /// What the other end supports. Any context.
    fn features(&self) -> Features;

    /// The queue has been stopped for long, with the link up; the log has a line about it. Softirq context.
    fn stalled(&self);

    /// The counters of the link. Any context.
    fn link_statistics(&self) -> LinkStatistics;

    /// Hands each of the driver's own counters to `put`, in the order of the names. Process context.
    fn statistics(&self, put: impl FnMut(u64));
}

/// The handler of a device.
///
/// # Safety
///
/// `dev` must be the device of a `Device<T>` whose data is alive for `'a`.
pub(super) unsafe fn data<'a, T: Operations>(dev: *const bindings::net_device) -> &'a T {
    // SAFETY: `Device::new` was given this pointer, to a `T` that owns the device.
    unsafe { &*bindings::rxen_net_data(dev).cast::<T>() }
}

/// What the stack calls.
pub(super) const fn net_device_ops<T: Operations>() -> bindings::net_device_ops {
    bindings::net_device_ops {
        ndo_open: Some(open::<T>),
        ndo_stop: Some(stop::<T>),
        ndo_start_xmit: Some(start_xmit::<T>),
        ndo_tx_timeout: Some(tx_timeout::<T>),
        ndo_fix_features: Some(fix_features::<T>),
        ndo_get_stats64: Some(get_stats64::<T>),
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ..pin_init::zeroed()
    }
}

unsafe extern "C" fn open<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: The stack calls this for a registered device, whose `Registration` keeps the data. The NAPI context is
    // off, as it is until the first `open` and after each `stop`.
    unsafe {
        bindings::rxen_net_napi_enable(dev);
        data::<T>(dev).open();
        bindings::rxen_net_start_queue(dev);
    }
    0
}

unsafe extern "C" fn stop<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: As in `open`; the NAPI context is on, because `stop` follows `open`.
    unsafe {
        bindings::rxen_net_stop_queue(dev);
        bindings::rxen_net_napi_disable(dev);
        data::<T>(dev).stop();
    }
    0
}

unsafe extern "C" fn start_xmit<T: Operations>(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
) -> bindings::netdev_tx_t {
    let Some(skb) = NonNull::new(skb) else {
        return bindings::netdev_tx_NETDEV_TX_OK;
    };
    // SAFETY: As in `open`; the stack hands a frame over that nobody else owns.
    let outcome = unsafe {
        let more = bindings::rxen_net_xmit_more();
        data::<T>(dev).transmit(Skb::from_owned(skb), more)
    };
    match outcome {
        Transmit::Busy(frame) => match frame.give_back_as(skb) {
            true => bindings::netdev_tx_NETDEV_TX_BUSY,
            false => bindings::netdev_tx_NETDEV_TX_OK,
        },
        Transmit::Done => bindings::netdev_tx_NETDEV_TX_OK,
    }
}

unsafe extern "C" fn tx_timeout<T: Operations>(dev: *mut bindings::net_device, _queue: c_uint) {
    // SAFETY: As in `open`.
    unsafe { data::<T>(dev) }.stalled()
}

unsafe extern "C" fn fix_features<T: Operations>(
    dev: *mut bindings::net_device,
    wanted: bindings::netdev_features_t,
) -> bindings::netdev_features_t {
    // SAFETY: As in `open`.
    let supported = unsafe { data::<T>(dev) }.features();
    [
        (supported.scatter_gather, bindings::NETIF_F_SG_BIT),
        (supported.ipv6_checksum, bindings::NETIF_F_IPV6_CSUM_BIT),
        (supported.tso, bindings::NETIF_F_TSO_BIT),
        (supported.tso6, bindings::NETIF_F_TSO6_BIT),
    ]
    .into_iter()
    .filter(|(supported, _)| !supported)
    .fold(wanted, |wanted, (_, bit)| wanted & !(1 << bit))
}

unsafe extern "C" fn get_stats64<T: Operations>(
    dev: *mut bindings::net_device,
    storage: *mut bindings::rtnl_link_stats64,
) {
    // SAFETY: As in `open`; the storage is valid and zeroed.
    let (statistics, storage) = unsafe { (data::<T>(dev).link_statistics(), &mut *storage) };
    storage.rx_packets = statistics.rx_packets;
    storage.rx_bytes = statistics.rx_bytes;
    storage.rx_errors = statistics.rx_errors;
    storage.rx_dropped = statistics.rx_dropped;
    storage.tx_packets = statistics.tx_packets;
    storage.tx_bytes = statistics.tx_bytes;
    storage.tx_errors = statistics.tx_errors;
    storage.tx_dropped = statistics.tx_dropped;
}

/// Called by the stack for the NAPI context.
pub(super) unsafe extern "C" fn poll<T: Operations>(
    napi: *mut bindings::napi_struct,
    budget: c_int,
) -> c_int {
    // SAFETY: The NAPI context belongs to the device of a `Device<T>`, which is up.
    let (dev, data) = unsafe {
        let dev = bindings::rxen_net_of_napi(napi);
        (dev, data::<T>(dev))
    };
    let budget = usize::try_from(budget).unwrap_or(0);
    let done = data.poll(budget).min(budget);
    let result = c_int::try_from(done).unwrap_or(0);
    // SAFETY: As above; called by the poll that runs.
    unsafe {
        if done < budget && bindings::rxen_net_napi_complete(dev, result) && data.rearm() {
            bindings::rxen_net_napi_schedule(dev);
        }
    }
    result
}
