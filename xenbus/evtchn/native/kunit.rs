// SPDX-License-Identifier: GPL-2.0

//! KUnit tests that need a hypervisor: they run when the module is loaded in a native guest and fail elsewhere.

use kernel::prelude::*;

#[kunit_tests(rxen_evtchn)]
mod tests {
    use super::super::{
        calls,
        events,
        loopback::{
            move_to,
            ring_timer,
            Pair,
            Receiver,
            SELF, //
        },
        port::Ports,
        report::COUNTERS,
        Events, //
    };
    use crate::{
        evtchn::Channel,
        hypercall::faults::Failing, //
    };
    use kernel::{
        prelude::*,
        sync::atomic::Relaxed,
        time::{
            delay::fsleep,
            Delta, //
        }, //
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
        assert!(pair.to.spurious() >= handled);
        pair.send_all()?;
        assert!(pair.to.received() > pair.to.spurious());
        Ok(())
    }

    #[test]
    fn e1_an_event_on_a_port_that_nobody_has_is_ignored_and_counted() -> Result {
        let events = native()?;
        let in_use = events.pool.lock().in_use();
        let before = COUNTERS.ignored.load(Relaxed);
        // Both ends are this guest's, and no line knows of them.
        let unbound = calls::alloc_unbound(SELF)?;
        let bound = calls::bind_interdomain(SELF, unbound)?;
        let sent = calls::unmask(bound).and_then(|()| calls::send(unbound));
        let came = (0..1000).any(|_| {
            fsleep(Delta::from_millis(1));
            COUNTERS.ignored.load(Relaxed) > before
        });
        // As a line leaves its port.
        events.ports().mask(bound);
        calls::close(bound)?;
        calls::close(unbound)?;
        sent?;
        assert!(came);
        assert_eq!(events.pool.lock().in_use(), in_use);
        // Whoever gets the ports next gets their events.
        Pair::new()?.send_all()?;
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

    #[test]
    fn a_channel_outlives_the_other_end() -> Result {
        let events = native()?;
        let before = events.pool.lock().in_use();
        for first in [true, false] {
            let Pair { to, from, .. } = Pair::new()?;
            let (gone, left) = if first { (from, to) } else { (to, from) };
            drop(gone);
            left.notify();
            for cpu in events.cpus.iter().filter(|cpu| cpu.is_ready()) {
                move_to(&left, cpu)?;
                left.notify();
            }
            let closed = COUNTERS.closes_refused.load(Relaxed);
            drop(left);
            assert_eq!(COUNTERS.closes_refused.load(Relaxed), closed);
        }
        assert_eq!(events.pool.lock().in_use(), before);
        Ok(())
    }

    /// More hypercalls than making a pair takes.
    const MOST: u32 = 50;

    #[test]
    fn each_hypercall_that_fails_costs_a_channel_at_most_once() -> Result {
        let events = native()?;
        let before = events.pool.lock().in_use();
        let mut failures = 0;
        for number in 1..MOST {
            let failing = Failing::event_channel_op(number);
            let pair = Pair::new();
            let over = failing.is_over();
            drop(failing);
            match pair {
                Ok(pair) => {
                    pair.send_all()?;
                    if !over {
                        // That was one more than are made.
                        assert!(failures >= 2);
                        return Ok(());
                    }
                }
                Err(error) => {
                    assert!(over);
                    assert_eq!(error, EIO);
                    failures += 1;
                }
            }
            assert_eq!(events.pool.lock().in_use(), before);
            Pair::new()?.send_all()?;
            assert_eq!(events.pool.lock().in_use(), before);
        }
        Err(ETIME)
    }

    #[test]
    fn an_event_comes_late_where_unmasking_is_refused() -> Result {
        native()?;
        let pair = Pair::new()?;
        let before = COUNTERS.unmasks_refused.load(Relaxed);
        let failing = Failing::new("1 event_channel_op")?;
        pair.raise_by_hypervisor()?;
        assert!(failing.is_over());
        drop(failing);
        assert!(COUNTERS.unmasks_refused.load(Relaxed) > before);
        pair.send_all()?;
        Ok(())
    }

    #[test]
    fn a_channel_stays_where_it_is_if_moving_is_refused() -> Result {
        let events = native()?;
        let pair = Pair::new()?;
        for cpu in events.cpus.iter().filter(|cpu| cpu.is_ready()) {
            let failing = Failing::new("1 event_channel_op 3")?;
            assert!(pair.move_to(cpu).is_err());
            assert!(failing.is_over());
            drop(failing);
            pair.send_all()?;
            // Less often it goes unnoticed.
            let failing = Failing::new("1 event_channel_op 2")?;
            pair.move_to(cpu)?;
            assert!(failing.is_over());
            drop(failing);
            pair.send_all()?;
        }
        Ok(())
    }

    #[test]
    fn a_port_that_is_not_closed_is_counted_and_its_line_is_free() -> Result {
        let events = native()?;
        let in_use = events.pool.lock().in_use();
        let before = COUNTERS.closes_refused.load(Relaxed);
        let channel = Channel::bind_unbound(SELF, "loopback-kept", Receiver::new()?)?;
        let port = channel.port();
        let failing = Failing::new("1 event_channel_op 3")?;
        drop(channel);
        drop(failing);
        assert_eq!(COUNTERS.closes_refused.load(Relaxed), before + 1);
        assert_eq!(events.pool.lock().in_use(), in_use);
        calls::close(port)
    }
}
