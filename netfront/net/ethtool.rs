// SPDX-License-Identifier: GPL-2.0

//! ethtool: the link's state, time stamps and the driver's own counters. What `ethtool -i` shows, the core finds out.

use super::operations::{
    data,
    Operations, //
};
use kernel::prelude::*;
use rxen_bindings as bindings;

/// Bytes of a counter's name, with its NUL.
const NAME_BYTES: usize = bindings::ETH_GSTRING_LEN as usize;

/// What ethtool calls.
pub(super) const fn ethtool_ops<T: Operations>() -> bindings::ethtool_ops {
    bindings::ethtool_ops {
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        get_sset_count: Some(count::<T>),
        get_strings: Some(names::<T>),
        get_ethtool_stats: Some(values::<T>),
        ..pin_init::zeroed()
    }
}

unsafe extern "C" fn count<T: Operations>(_dev: *mut bindings::net_device, set: c_int) -> c_int {
    if set != bindings::ethtool_stringset_ETH_SS_STATS as c_int {
        return EOPNOTSUPP.to_errno();
    }
    c_int::try_from(T::STATISTICS.len()).unwrap_or(0)
}

unsafe extern "C" fn names<T: Operations>(
    _dev: *mut bindings::net_device,
    set: u32,
    names: *mut u8,
) {
    if set != bindings::ethtool_stringset_ETH_SS_STATS {
        return;
    }
    for (index, name) in T::STATISTICS.iter().enumerate() {
        let bytes = name.to_bytes();
        let length = bytes.len().min(NAME_BYTES - 1);
        // SAFETY: ethtool passes zeroed room for as many names as `count` says.
        unsafe {
            let to = names.add(index * NAME_BYTES);
            to.copy_from_nonoverlapping(bytes.as_ptr(), length);
        }
    }
}

unsafe extern "C" fn values<T: Operations>(
    dev: *mut bindings::net_device,
    _stats: *mut bindings::ethtool_stats,
    values: *mut u64,
) {
    let mut index = 0;
    // SAFETY: ethtool calls this for a registered device, whose `Registration` keeps the data.
    let handler = unsafe { data::<T>(dev) };
    handler.statistics(|value| {
        if index < T::STATISTICS.len() {
            // SAFETY: ethtool passes room for as many values as `count` says.
            unsafe { values.add(index).write(value) };
            index += 1;
        }
    });
}
