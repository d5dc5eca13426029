// SPDX-License-Identifier: GPL-2.0

//! KUnit tests that need a hypervisor: they run when the module is loaded in a native guest and fail elsewhere.

use kernel::prelude::*;

#[kunit_tests(rxen_grant)]
mod tests {
    use super::super::{
        super::{
            account,
            deferred::{
                self,
                Batch, //
            },
            faults::Fault,
            owner,
            waiting::{
                Wait,
                Waiter, //
            },
            Access,
            Frame,
            Held,
            HeldPage, //
        },
        allocate,
        could_allocate,
        end,
        entry,
        grant,
        is_usable,
        table,
        words::{
            Ordering,
            SharedWord32, //
        },
        Entry, //
    };
    use crate::hypercall::faults::Failing;
    use kernel::{
        page::Page,
        prelude::*,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        }, //
    };

    use rxen_bindings as bindings;

    /// Room for all references of the largest table that the tests are run with.
    const ROOM: usize = 1 << 20;

    #[test]
    fn references_can_be_used_and_come_back() -> Result {
        let state = table::state().ok_or(ENODEV)?;
        let before = state.available();
        let mut numbers = KVVec::with_capacity(700, GFP_KERNEL)?;
        allocate(700, &mut numbers)?;
        assert_eq!(numbers.len(), 700);
        assert_eq!(state.available(), before - 700);
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        // SAFETY: The page was allocated above.
        let frame = unsafe { Frame::of_page(page.as_ptr()) };
        for &number in &numbers {
            assert!(is_usable(number));
            grant(number, 0, frame, Access::ReadOnly);
            assert!(end(number));
            assert!(is_usable(number));
        }
        numbers.into_iter().for_each(owner::free);
        assert_eq!(state.available(), before);
        Ok(())
    }

    /// What the hypervisor goes by: who may map the page, and for what.
    fn header(number: u32) -> Option<u32> {
        // SAFETY: The table is there as long as the module is loaded.
        match unsafe { entry(number) }? {
            Entry::V1(entry) => Some(entry.header.load(Ordering::SeqCst)),
            Entry::V2(entry, _) => Some(entry.header.load(Ordering::SeqCst)),
        }
    }

    #[test]
    fn g3_a_page_is_lent_for_writing_only_where_that_was_said() -> Result {
        const PERMIT: u32 = 1;
        const READ_ONLY: u32 = 1 << 2;
        const DOMAIN: u16 = 1234;
        table::state().ok_or(ENODEV)?;
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        // SAFETY: The page was allocated above.
        let frame = unsafe { Frame::of_page(page.as_ptr()) };
        let mut numbers = KVVec::with_capacity(1, GFP_KERNEL)?;
        allocate(1, &mut numbers)?;
        let number = numbers.pop().ok_or(EINVAL)?;
        for (access, flags) in [
            (Access::ReadOnly, PERMIT | READ_ONLY),
            (Access::ReadWrite, PERMIT),
        ] {
            grant(number, DOMAIN, frame, access);
            let lent = header(number);
            let ended = end(number);
            assert_eq!(lent, Some(flags | u32::from(DOMAIN) << 16));
            assert!(ended);
            assert_eq!(header(number), Some(0));
        }
        owner::free(number);
        Ok(())
    }

    /// Comes before the next one, after which the table has grown as far as it can, also for later loads of the module.
    #[test]
    fn a_table_that_cannot_grow_loses_nothing_and_grows_later() -> Result {
        let state = table::state().ok_or(ENODEV)?;
        let before = state.available();
        let grows = state.can_grow();
        let mut taken = KVVec::with_capacity(ROOM, GFP_KERNEL)?;
        let mut numbers = KVVec::with_capacity(1000, GFP_KERNEL)?;
        let failing = Failing::new("1 memory_op 1000")?;
        while allocate(1000, &mut numbers).is_ok() {
            for number in numbers.drain_all() {
                taken.push(number, GFP_KERNEL)?;
            }
        }
        drop(failing);
        let left = (numbers.len(), state.available() + taken.len());
        let more = (could_allocate(1000), allocate(1000, &mut numbers).is_ok());
        // Given back before anything is asserted: what an assertion that fails leaves behind is missed by all that follows.
        numbers.into_iter().for_each(owner::free);
        taken.into_iter().for_each(owner::free);
        assert_eq!(left, (0, before));
        assert_eq!(more, (grows, grows));
        assert_eq!(state.available(), before);
        Ok(())
    }

    #[test]
    fn a_table_that_is_used_up_says_so_and_works_again() -> Result {
        let state = table::state().ok_or(ENODEV)?;
        let before = state.available();
        let mut too_many = KVVec::with_capacity(ROOM, GFP_KERNEL)?;
        let mut numbers = KVVec::with_capacity(1000, GFP_KERNEL)?;
        while allocate(1000, &mut numbers).is_ok() {
            for number in numbers.drain_all() {
                too_many.push(number, GFP_KERNEL)?;
            }
        }
        let left = (numbers.len(), state.available() + too_many.len());
        let could = could_allocate(1000);
        too_many.into_iter().for_each(owner::free);
        assert_eq!(left, (0, before));
        assert!(!could);
        assert_eq!(state.available(), before);
        assert!(allocate(1000, &mut numbers).is_ok());
        numbers.into_iter().for_each(owner::free);
        Ok(())
    }

    /// Waits up to five seconds for something.
    fn comes_true(condition: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            fsleep(Delta::from_millis(10));
            condition()
        })
    }

    /// Tells that it was called.
    struct Told(Atomic<bool>);

    impl Waiter for Told {
        fn references_free(&self) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn who_waits_is_told() -> Result {
        table::state().ok_or(ENODEV)?;
        let told = Arc::new(Told(Atomic::new(false)), GFP_KERNEL)?;
        let wait = Wait::new(1, told.clone())?;
        assert!(comes_true(|| told.0.load(Relaxed)));
        drop(wait);
        Ok(())
    }

    /// Sets or clears the hypervisor's note that the other end has the page of an entry mapped. Its own books, by which it
    /// goes, are not touched.
    fn note_mapped(number: u32, mapped: bool) {
        const READING: u32 = 1 << 3;
        let bits = |word: &SharedWord32| match mapped {
            true => word.fetch_or(READING, Ordering::SeqCst),
            false => word.fetch_and(!READING, Ordering::SeqCst),
        };
        // SAFETY: The table is there as long as the module is loaded.
        match unsafe { entry(number) } {
            Some(Entry::V1(entry)) => drop(bits(&entry.header)),
            Some(Entry::V2(_, status)) => {
                status.store(if mapped { READING as u16 } else { 0 }, Ordering::SeqCst)
            }
            None => {}
        }
    }

    #[test]
    fn g1_a_page_that_is_still_mapped_is_kept_until_it_is_not() -> Result {
        let state = table::state().ok_or(ENODEV)?;
        let before = state.available();
        let device = c"device/kunit/0";
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        // SAFETY: The page was allocated above.
        let frame = unsafe { Frame::of_page(page.as_ptr()) };
        let mut numbers = KVVec::with_capacity(1, GFP_KERNEL)?;
        allocate(1, &mut numbers)?;
        let number = numbers.pop().ok_or(EINVAL)?;
        grant(number, 0, frame, Access::ReadOnly);
        note_mapped(number, true);
        assert!(!end(number));

        let account = account::open(device)?;
        let mut batch = Batch::new(1)?;
        let page = core::mem::ManuallyDrop::new(page);
        // SAFETY: The page is valid, and its reference moves.
        let held = unsafe { HeldPage::from_owned(page.as_ptr()) };
        assert!(batch
            .push(deferred::Entry::new(number, Held::Page(held)))
            .is_ok());
        account.granted();
        account.deferred();
        account.close();
        deferred::take_over(batch, account);
        // The worker comes by once a second.
        fsleep(Delta::from_millis(1500));
        assert_eq!(account::deferred_of(device), 1);
        assert_eq!(state.available(), before - 1);

        note_mapped(number, false);
        assert!(comes_true(|| account::deferred_of(device) == 0));
        assert_eq!(state.available(), before);
        account::forget_device(device);
        Ok(())
    }

    /// Of pages that belong together only the first one says that they are a slab's.
    #[test]
    fn g1_no_page_of_the_slab_allocators_is_held() -> Result {
        let mut kept = KVec::new();
        for length in [512, 1024, 16384] {
            for _ in 0..64 {
                let buffer = KVec::<u8>::with_capacity(length, GFP_KERNEL)?;
                for offset in (0..length).step_by(512) {
                    let address = buffer.as_ptr().wrapping_add(offset);
                    // SAFETY: An address in the buffer, which is in the direct map as all that `KVec` has.
                    let page = unsafe { bindings::rxen_address_to_page(address.cast()) };
                    // SAFETY: The page of the buffer.
                    assert!(unsafe { HeldPage::hold(page) }.is_none());
                }
                // Not given back, so that the next one is another.
                kept.push(buffer, GFP_KERNEL)?;
            }
        }
        let page = Page::alloc_page(GFP_KERNEL)?;
        // SAFETY: The page was allocated above.
        assert!(unsafe { HeldPage::hold(page.as_ptr()) }.is_some());
        Ok(())
    }

    #[test]
    fn a_fault_strikes_once() {
        let fault = Fault::after(3);
        let device = c"device/vif/0";
        assert!(!fault.strikes(device));
        assert!(!fault.strikes(device));
        assert!(fault.strikes(device));
        assert!(!fault.strikes(device));
        assert!(!Fault::after(0).strikes(device));
    }
}
