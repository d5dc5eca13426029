// SPDX-License-Identifier: GPL-2.0

//! KUnit tests that need xenstored: they run when the module is loaded in a Xen guest and fail elsewhere.

use kernel::prelude::*;

#[kunit_tests(rxen_store)]
mod tests {
    use super::super::{
        list,
        read,
        read_in,
        read_number,
        remove,
        transaction,
        write,
        Watch,
        WatchHandler, //
    };
    use kernel::{
        prelude::*,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc,
            Completion, //
        }, //
    };

    /// A folder of this guest's own, which a guest may write to.
    const FOLDER: &CStr = c"data/kunit";

    #[test]
    fn what_is_written_is_read_and_removed() -> Result {
        write(None, FOLDER, c"number", fmt!("{}", 5853))?;
        assert_eq!(&*read(FOLDER, c"number")?, b"5853".as_slice());
        assert_eq!(read_number(FOLDER, c"number", 0..=10_000)?, Some(5853));
        assert!(read_number(FOLDER, c"number", 0..=10) == Err(EINVAL));
        write(None, FOLDER, c"empty", fmt!(""))?;
        assert_eq!(list(FOLDER, c"")?.len(), 2);
        remove(None, FOLDER, c"")?;
        assert!(read(FOLDER, c"number").is_err_and(|error| error == ENOENT));
        assert_eq!(read_number(FOLDER, c"number", 0..=10)?, None);
        Ok(())
    }

    #[test]
    fn what_is_not_ours_cannot_be_written() {
        let result = write(None, c"/local/domain/0", c"kunit", fmt!("1"));
        assert!(result == Err(EACCES));
    }

    #[test]
    fn a_transaction_is_done_as_a_whole_or_not_at_all() -> Result {
        let failed = transaction(|open| {
            write(Some(open), FOLDER, c"whole/one", fmt!("1"))?;
            assert_eq!(&*read_in(open, FOLDER, c"whole/one")?, b"1".as_slice());
            Err(EIO)
        });
        assert!(failed == Err(EIO));
        assert!(list(FOLDER, c"whole").is_err_and(|error| error == ENOENT));
        transaction(|open| {
            write(Some(open), FOLDER, c"whole/one", fmt!("1"))?;
            write(Some(open), FOLDER, c"whole/two", fmt!("2"))
        })?;
        assert_eq!(list(FOLDER, c"whole")?.len(), 2);
        remove(None, FOLDER, c"whole")
    }

    #[test]
    fn a_transaction_that_somebody_is_in_the_way_of_is_done_again() -> Result {
        write(None, FOLDER, c"count", fmt!("0"))?;
        let mut runs = 0;
        transaction(|open| {
            runs += 1;
            let _ = read_in(open, FOLDER, c"count")?;
            if runs == 1 {
                write(None, FOLDER, c"count", fmt!("7"))?;
            }
            write(Some(open), FOLDER, c"count", fmt!("{}", runs))
        })?;
        assert_eq!(runs, 2);
        assert_eq!(read_number(FOLDER, c"count", 0..=10)?, Some(2));
        remove(None, FOLDER, c"count")
    }

    /// Tells when it was called for the second time: the first is for the watch itself.
    #[pin_data]
    struct Told {
        calls: Atomic<u32>,
        #[pin]
        changed: Completion,
    }

    impl WatchHandler for Told {
        fn changed(&self, _path: &CStr) {
            if self.calls.fetch_add(1, Relaxed) == 1 {
                self.changed.complete_all();
            }
        }
    }

    #[test]
    fn a_watch_tells_of_a_change_below_it() -> Result {
        let told = Arc::pin_init(
            pin_init::pin_init!(Told {
                calls: Atomic::new(0),
                changed <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let watch = Watch::new(FOLDER, told.clone())?;
        write(None, FOLDER, c"watched/deep", fmt!("1"))?;
        told.changed.wait_for_completion();
        drop(watch);
        let calls = told.calls.load(Relaxed);
        remove(None, FOLDER, c"watched")?;
        assert_eq!(told.calls.load(Relaxed), calls);
        Ok(())
    }
}
