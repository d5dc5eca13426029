// SPDX-License-Identifier: GPL-2.0

//! Who has how many grants: the figures of debugfs `rxenbus/grants`.

use kernel::{
    debugfs,
    fmt,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc, //
    }, //
};

global_lock! {
    // SAFETY: Initialised in the module's initialiser, by `Report::new`, before anything else can use it.
    unsafe(uninit) static ACCOUNTS: Mutex<KVec<Arc<Account>>> = KVec::new();
}

/// Grants that nobody can end any more.
static LEAKED: Atomic<u64> = Atomic::new(0);

/// Counts a grant that can never be ended: its reference is lost, its page may still be mapped by the other end.
pub(super) fn count_leak() {
    LEAKED.add(1, Relaxed);
}

/// The grants of one reserve. Only the owner of the reserve, who has it exclusively, changes `in_use`.
pub(super) struct Account {
    device: CString,
    in_use: Atomic<usize>,
    deferred: Atomic<usize>,
    open: Atomic<bool>,
}

impl Account {
    /// The path of the device.
    #[inline]
    pub(super) fn device(&self) -> &CStr {
        &self.device
    }

    /// One more in use.
    #[inline]
    pub(super) fn granted(&self) {
        self.in_use
            .store(self.in_use.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// One less in use.
    #[inline]
    pub(super) fn ended(&self) {
        self.in_use
            .store(self.in_use.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// One that was in use waits for the other end.
    pub(super) fn deferred(&self) {
        self.ended();
        self.deferred.add(1, Relaxed);
    }

    /// Some that waited have ended.
    pub(super) fn deferred_ended(&self, count: usize) {
        self.deferred
            .store(self.deferred.load(Relaxed).saturating_sub(count), Relaxed);
    }

    /// The reserve is gone; what it still had in use has been dropped elsewhere.
    pub(super) fn close(&self) {
        self.in_use.store(0, Relaxed);
        self.open.store(false, Relaxed);
    }

    /// Whether there is nothing more to say about it.
    fn is_settled(&self) -> bool {
        !self.open.load(Relaxed) && self.deferred.load(Relaxed) == 0
    }
}

/// Opens the account of a new reserve of a device.
pub(super) fn open(device: &CStr) -> Result<Arc<Account>> {
    let account = Arc::new(
        Account {
            device: CString::try_from(device)?,
            in_use: Atomic::new(0),
            deferred: Atomic::new(0),
            open: Atomic::new(true),
        },
        GFP_KERNEL,
    )?;
    let mut accounts = ACCOUNTS.lock();
    accounts.retain(|other| !other.is_settled());
    accounts.push(account.clone(), GFP_KERNEL)?;
    Ok(account)
}

/// How many pages of former connections of a device the other end still has mapped.
pub(super) fn deferred_of(device: &CStr) -> usize {
    let accounts = ACCOUNTS.lock();
    let of_device = accounts.iter().filter(|account| *account.device == *device);
    of_device
        .map(|account| account.deferred.load(Relaxed))
        .fold(0, usize::saturating_add)
}

/// Forgets the settled accounts of a device that was removed.
pub(crate) fn forget_device(device: &CStr) {
    ACCOUNTS
        .lock()
        .retain(|account| *account.device != *device || !account.is_settled());
}

/// The contents of the debugfs file.
pub struct Report(());

impl Report {
    /// Prepares the accounts. To be called once, when the module is loaded.
    pub(crate) fn new() -> Self {
        // SAFETY: Called exactly once, from the module's initialiser.
        unsafe { ACCOUNTS.init() };
        Self(())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // What is static is not dropped when the module is unloaded.
        *ACCOUNTS.lock() = KVec::new();
    }
}

impl debugfs::Writer for Report {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts = ACCOUNTS.lock();
        let sum = |figure: fn(&Account) -> usize| -> usize {
            accounts.iter().map(|account| figure(account)).sum()
        };
        writeln!(f, "in_use {}", sum(|account| account.in_use.load(Relaxed)))?;
        writeln!(
            f,
            "deferred {}",
            sum(|account| account.deferred.load(Relaxed))
        )?;
        writeln!(f, "leaked {}", LEAKED.load(Relaxed))?;
        if crate::platform::is_native() {
            super::native::report(f)?;
        }
        for account in accounts.iter().filter(|account| !account.is_settled()) {
            f.write_fmt(fmt!(
                "{} in_use {} deferred {}\n",
                &*account.device,
                account.in_use.load(Relaxed),
                account.deferred.load(Relaxed)
            ))?;
        }
        Ok(())
    }
}
