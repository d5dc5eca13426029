// SPDX-License-Identifier: GPL-2.0

//! KUnit tests that need a hypervisor: they run when the module is loaded in a native guest and fail elsewhere.

use kernel::prelude::*;

#[kunit_tests(rxen_grant)]
mod tests {
    use super::super::{
        super::{
            faults::Fault,
            owner,
            waiting::{
                Wait,
                Waiter, //
            },
            Access,
            Frame, //
        },
        allocate,
        could_allocate,
        end,
        grant,
        is_usable,
        table, //
    };
    use crate::hypercall::faults::Failing;
    use kernel::{
        page::Page,
        prelude::*,
        sync::{
            Arc,
            Completion, //
        }, //
    };

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

    /// Comes before the next one, after which the table has grown as far as it can.
    #[test]
    fn a_table_that_cannot_grow_loses_nothing_and_grows_later() -> Result {
        let state = table::state().ok_or(ENODEV)?;
        let before = state.available();
        let mut taken = KVVec::with_capacity(ROOM, GFP_KERNEL)?;
        let mut numbers = KVVec::with_capacity(1000, GFP_KERNEL)?;
        let failing = Failing::new("1 memory_op 1000")?;
        while allocate(1000, &mut numbers).is_ok() {
            for number in numbers.drain_all() {
                taken.push(number, GFP_KERNEL)?;
            }
        }
        drop(failing);
        assert_eq!(numbers.len(), 0);
        assert_eq!(before - taken.len(), state.available());
        assert!(could_allocate(1000));
        assert!(allocate(1000, &mut numbers).is_ok());
        numbers.into_iter().for_each(owner::free);
        taken.into_iter().for_each(owner::free);
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
        assert_eq!(numbers.len(), 0);
        assert!(!could_allocate(1000));
        assert_eq!(before - too_many.len(), state.available());
        too_many.into_iter().for_each(owner::free);
        assert_eq!(state.available(), before);
        assert!(allocate(1000, &mut numbers).is_ok());
        numbers.into_iter().for_each(owner::free);
        Ok(())
    }

    /// Tells that it was called.
    #[pin_data]
    struct Told {
        #[pin]
        completion: Completion,
    }

    impl Waiter for Told {
        fn references_free(&self) {
            self.completion.complete_all();
        }
    }

    #[test]
    fn who_waits_is_told() -> Result {
        table::state().ok_or(ENODEV)?;
        let told = Arc::pin_init(
            pin_init::pin_init!(Told { completion <- Completion::new() }),
            GFP_KERNEL,
        )?;
        let wait = Wait::new(1, told.clone())?;
        told.completion.wait_for_completion();
        drop(wait);
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
