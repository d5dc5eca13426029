// SPDX-License-Identifier: GPL-2.0

//! KUnit tests that need a hypervisor: they run when the module is loaded in a native guest and fail elsewhere.

use kernel::prelude::*;

#[kunit_tests(rxen_evtchn)]
mod tests {
    use super::super::{
        events,
        loopback::{
            ring_timer,
            Pair,
            Receiver,
            SELF, //
        },
        report::COUNTERS,
        Events, //
    };
    use crate::evtchn::Channel;
    use kernel::{
        prelude::*,
        sync::atomic::Relaxed, //
    };

    /// What runs in a native guest.
    fn native() -> Result<&'static Events> {
        events().ok_or(ENODEV)
    }

    #[test]
    fn events_reach_each_processor() -> Result {
        let pair = Pair::new()?;
        for cpu in native()?.cpus.iter().filter(|cpu| cpu.is_ready()) {
            pair.move_to(cpu)?;
            pair.send_all()?;
        }
        Ok(())
    }

    #[test]
    fn timers_reach_each_processor() -> Result {
        for cpu in native()?.cpus.iter().filter(|cpu| cpu.is_ready()) {
            ring_timer(cpu)?;
        }
        Ok(())
    }

    #[test]
    fn worthless_events_are_slowed_down_and_useful_ones_are_not_lost_after_them() -> Result {
        native()?;
        let pair = Pair::new()?;
        let before = COUNTERS.put_off.load(Relaxed);
        let (sent, handled) = pair.storm();
        assert!(handled > 0);
        assert!(handled < sent);
        assert!(COUNTERS.put_off.load(Relaxed) > before);
        pair.send_all()?;
        Ok(())
    }

    #[test]
    fn channels_come_and_go() -> Result {
        let events = native()?;
        let before = events.pool.lock().in_use();
        for _ in 0..50 {
            let pair = Pair::new()?;
            assert_eq!(events.pool.lock().in_use(), before + 2);
            drop(pair);
        }
        assert_eq!(events.pool.lock().in_use(), before);
        Ok(())
    }

    #[test]
    fn what_is_no_port_of_the_other_end_cannot_be_bound() -> Result {
        let events = native()?;
        let before = events.pool.lock().in_use();
        for port in [0, 1 << 17, u32::MAX] {
            let bound = Channel::bind_interdomain(SELF, port, "loopback-none", Receiver::new()?);
            assert!(bound.is_err());
        }
        assert_eq!(events.pool.lock().in_use(), before);
        Ok(())
    }
}
