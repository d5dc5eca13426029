// SPDX-License-Identifier: GPL-2.0

//! The device node, and what the kernel calls when a program uses it.
//!
//! The `kernel` crate's misc devices have no `poll`, so this is C's `struct miscdevice`.

use super::OpenFile;
use crate::Rxenbus;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fs::{
        file::flags::O_NONBLOCK,
        File, //
    },
    module::this_module,
    prelude::*,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};
use rxen_bindings as bindings;

/// Bytes that one `write` takes at the most.
const WRITE_MAX: usize = 64 * 1024;

/// What `poll` says where there is something to read.
const READABLE: bindings::__poll_t = bindings::POLLIN | bindings::POLLRDNORM;

/// The registered device.
///
/// # Invariants
///
/// The device is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct Device {
    #[pin]
    device: Opaque<bindings::miscdevice>,
}

// SAFETY: A misc device may be registered and ended from any thread; nothing else is done with it.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

impl Device {
    /// Makes the device node.
    pub(crate) fn register() -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                // INVARIANT: Registered, or there is no value.
                device <- Opaque::try_ffi_init(|place: *mut bindings::miscdevice| {
                    let device = bindings::miscdevice {
                        minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                        name: c"xen/xenbus".as_char_ptr(),
                        fops: &OPERATIONS.0,
                        ..pin_init::zeroed()
                    };
                    // SAFETY: The place is valid for the write.
                    unsafe { place.write(device) };
                    // SAFETY: The device is filled in, and pinned until `drop` has ended it.
                    to_result(unsafe { bindings::misc_register(place) })
                }),
            }),
            GFP_KERNEL,
        )
    }
}

#[pinned_drop]
impl PinnedDrop for Device {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by the invariant. Open files keep the module, so there are none where this is dropped
        // because the module goes.
        unsafe { bindings::misc_deregister(self.device.get()) }
    }
}

/// The functions below, for the kernel.
struct Operations(bindings::file_operations);

// SAFETY: Constant.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::file_operations {
    // An open file keeps the module.
    owner: this_module::<Rxenbus>().as_ptr(),
    open: Some(open),
    release: Some(release),
    read: Some(read),
    write: Some(write),
    poll: Some(poll),
    ..pin_init::zeroed()
});

/// # Safety
///
/// As the kernel calls `open`.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // Without a position, so that a thread that waits in `read` keeps none from `write`.
    // SAFETY: The kernel passes a file that is being opened, and its inode.
    unsafe { bindings::stream_open(inode, file) };
    from_result(|| {
        let open = OpenFile::new()?;
        // SAFETY: As above; the private data is ours from here to `release`.
        unsafe { (*file).private_data = open.into_foreign() };
        Ok(0)
    })
}

/// # Safety
///
/// As the kernel calls `release`.
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The private data is what `open` put there, and this is the last call for the file.
    let open = unsafe { Arc::<OpenFile>::from_foreign((*file).private_data) };
    open.release();
    0
}

/// What `open` put there.
///
/// # Safety
///
/// `file` must be open and belong to our device.
unsafe fn opened<'a>(file: *mut bindings::file) -> ArcBorrow<'a, OpenFile> {
    // SAFETY: The caller promises this; `release` is called after all other functions have returned.
    unsafe { Arc::<OpenFile>::borrow((*file).private_data) }
}

/// # Safety
///
/// As the kernel calls `read`.
unsafe extern "C" fn read(
    file: *mut bindings::file,
    buffer: *mut c_char,
    length: usize,
    _position: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The kernel passes an open file of ours.
    let open = unsafe { opened(file) };
    // SAFETY: As above; the file has no position.
    let nonblocking = unsafe { File::from_raw_file(file) }.flags() & O_NONBLOCK != 0;
    let mut user = UserSlice::new(UserPtr::from_addr(buffer.addr()), length).writer();
    from_result(|| Ok(open.read(&mut user, nonblocking)? as isize))
}

/// # Safety
///
/// As the kernel calls `write`.
unsafe extern "C" fn write(
    file: *mut bindings::file,
    buffer: *const c_char,
    length: usize,
    _position: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The kernel passes an open file of ours.
    let open = unsafe { opened(file) };
    let length = length.min(WRITE_MAX);
    let user = UserSlice::new(UserPtr::from_addr(buffer.addr()), length);
    from_result(|| {
        let mut bytes = KVec::new();
        user.read_all(&mut bytes, GFP_KERNEL)?;
        Ok(OpenFile::write(&open.into(), &bytes)? as isize)
    })
}

/// # Safety
///
/// As the kernel calls `poll`.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: The kernel passes an open file of ours and a table that is valid for the call, or null.
    let (open, table, file) = unsafe {
        (
            opened(file),
            PollTable::from_raw(table),
            File::from_raw_file(file),
        )
    };
    table.register_wait(file, &open.readable);
    if open.has_output() {
        READABLE
    } else {
        0
    }
}
