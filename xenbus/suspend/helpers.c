// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions for a suspend. */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include <linux/suspend.h>
#include <linux/sysrq.h>

#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "rxen_trace.h"

bool rxen_wakeup_pending(void)
{
	return pm_wakeup_pending();
}

int rxen_stop_machine(int (*function)(void *data), void *data)
{
	return stop_machine(function, data, cpumask_of(0));
}

static DEFINE_PER_CPU(struct hrtimer, wake_timer);

static enum hrtimer_restart woken(struct hrtimer *timer)
{
	return HRTIMER_NORESTART;
}

/* A timer that is due already makes this CPU program its hardware anew, for this one and then for all others. */
static void wake_timer_start(void *unused)
{
	struct hrtimer *timer = this_cpu_ptr(&wake_timer);

	touch_softlockup_watchdog();
	hrtimer_setup(timer, woken, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD);
	hrtimer_start(timer, 1, HRTIMER_MODE_ABS_PINNED_HARD);
}

void rxen_wake_timers(void)
{
	int cpu;

	cpus_read_lock();
	on_each_cpu(wake_timer_start, NULL, 1);
	/* Also waits for the handler: its code may go with the module. */
	for_each_online_cpu(cpu)
		hrtimer_cancel(per_cpu_ptr(&wake_timer, cpu));
	cpus_read_unlock();
}

u64 rxen_clock(void)
{
	return local_clock();
}

/*
 * No CPU comes or goes either: who is on the way to that keeps stop_machine() waiting, and may itself wait for memory
 * that is written to a disk which is at rest.
 */
unsigned int rxen_lock_sleep(void)
{
	unsigned int flags = lock_system_sleep();

	cpu_hotplug_disable();
	return flags;
}

void rxen_unlock_sleep(unsigned int flags)
{
	cpu_hotplug_enable();
	unlock_system_sleep(flags);
}

void rxen_power_off(void)
{
	/*
	 * Without a program to ask it is done by force, as orderly_reboot() does: the toolstack has seen the request
	 * taken. While going down anyhow, there is nothing to ask.
	 */
	if (system_state <= SYSTEM_RUNNING)
		orderly_poweroff(true);
}

void rxen_reboot(void)
{
	if (system_state <= SYSTEM_RUNNING)
		orderly_reboot();
}

void rxen_sysrq(u8 key)
{
	handle_sysrq(key);
}

void rxen_suspend_trace(const char *phase, u64 nanoseconds, bool failed)
{
	trace_rxen_suspend_phase(phase, nanoseconds, failed);
}
