// SPDX-License-Identifier: GPL-2.0

//! A disk with one queue.

use super::{
    Limits,
    Operations,
    TagSet, //
};
use crate::naming::{
    Place,
    MAJOR, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;
use rxenbus::bus::Device;

/// A disk that users see. Dropping it removes it: new requests fail, those that the driver has must end.
///
/// # Invariants
///
/// `disk` is a valid disk of `tags` whose queue data is a reference of `data`; `added` says whether it is registered.
pub(crate) struct Disk<T: Operations> {
    disk: *mut bindings::gendisk,
    added: bool,
    quiesced: bool,
    // After the disk is gone, in this order.
    _tags: TagSet<T>,
    _data: Arc<T>,
}

// SAFETY: The block layer synchronises what it does with a disk.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Disk<T> {}

impl<T: Operations> Disk<T> {
    /// Makes a disk of `depth` requests at once that nobody sees yet. May sleep.
    pub(crate) fn new(place: &Place, depth: u32, limits: &Limits, data: Arc<T>) -> Result<Self> {
        let tags = TagSet::<T>::new(depth)?;
        let mut raw_limits = bindings::queue_limits::default();
        limits.apply(&mut raw_limits);
        // SAFETY: The tag set is set up; tag set and data live longer than the disk (see the order of the fields).
        let disk = from_err_ptr(unsafe {
            bindings::rxen_mq_alloc_disk(
                tags.as_raw(),
                &mut raw_limits,
                (&raw const *data).cast_mut().cast(),
            )
        })?;
        // SAFETY: The disk is fresh, so nobody else knows it.
        unsafe {
            for (to, from) in (*disk).disk_name.iter_mut().zip(place.name()) {
                *to = from;
            }
            (*disk).major = MAJOR as c_int;
            (*disk).first_minor = place.minor as c_int;
            (*disk).minors = place.minors as c_int;
            (*disk).fops = &raw const bindings::rxen_mq_disk_operations;
        }
        // INVARIANT: Made just now, and not registered.
        Ok(Self {
            disk,
            added: false,
            quiesced: false,
            _tags: tags,
            _data: data,
        })
    }

    /// Shows the disk to users and reads its partitions, for which requests must work. May sleep.
    pub(crate) fn add(&mut self, device: &Device) -> Result {
        // SAFETY: The disk is valid and not registered; the device is alive as long as the disk, its child.
        to_result(unsafe {
            bindings::device_add_disk(device.as_device_ptr(), self.disk, core::ptr::null_mut())
        })?;
        self.added = true;
        Ok(())
    }

    /// Changes the limits. Requests made under the old ones may still come. May sleep.
    pub(crate) fn set_limits(&self, limits: &Limits) -> Result {
        // SAFETY: The disk is valid; the second call ends the update that the first begins.
        to_result(unsafe {
            let queue = (*self.disk).queue;
            let mut raw_limits = bindings::rxen_mq_limits_start_update(queue);
            limits.apply(&mut raw_limits);
            bindings::queue_limits_commit_update(queue, &mut raw_limits)
        })
    }

    /// Sets the capacity in sectors of 512 bytes and tells users of a change. May sleep.
    pub(crate) fn set_capacity(&self, sectors: u64) {
        // SAFETY: The disk is valid.
        unsafe {
            if self.added {
                bindings::set_capacity_and_notify(self.disk, sectors);
            } else {
                bindings::set_capacity(self.disk, sectors);
            }
        }
    }

    /// Says whether writes are refused and whether the medium is removable.
    pub(crate) fn set_kind(&self, read_only: bool, removable: bool) {
        // SAFETY: The disk is valid; the flags are only changed before the disk is registered.
        unsafe {
            bindings::set_disk_ro(self.disk, read_only);
            if removable && !self.added {
                (*self.disk).flags |= bindings::GENHD_FL_REMOVABLE as c_int;
            }
        }
    }

    /// Stops new requests from coming to the driver, and waits for callbacks that run. May sleep.
    pub(crate) fn quiesce(&mut self) {
        if !self.quiesced {
            // SAFETY: The disk is valid.
            unsafe { bindings::blk_mq_quiesce_queue((*self.disk).queue) };
            self.quiesced = true;
        }
    }

    /// Undoes `quiesce`, and issues what was requeued.
    pub(crate) fn resume(&mut self) {
        // SAFETY: The disk is valid; each unquiesce belongs to one quiesce.
        unsafe {
            if self.quiesced {
                bindings::blk_mq_unquiesce_queue((*self.disk).queue);
                self.quiesced = false;
            }
            bindings::blk_mq_kick_requeue_list((*self.disk).queue);
        }
    }

    /// Lets all requests from now on fail, and tells the file system above. May sleep.
    pub(crate) fn mark_dead(&self) {
        if self.added {
            // SAFETY: The disk is valid and registered.
            unsafe { bindings::blk_mark_disk_dead(self.disk) };
        }
    }
}

impl<T: Operations> Drop for Disk<T> {
    fn drop(&mut self) {
        // A queue at rest would hold the removal up.
        self.resume();
        // SAFETY: The disk is valid; this is the driver's reference. After `del_gendisk` no callback runs any more.
        unsafe {
            if self.added {
                bindings::del_gendisk(self.disk);
            }
            bindings::put_disk(self.disk);
        }
    }
}
