/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions for a suspend. */
#ifndef RXEN_SUSPEND_CORE_HELPERS_H
#define RXEN_SUSPEND_CORE_HELPERS_H

#include <linux/types.h>

bool rxen_wakeup_pending(void);
int rxen_stop_machine(int (*function)(void *data), void *data);
void rxen_wake_timers(void);
u64 rxen_clock(void);
unsigned int rxen_lock_sleep(void);
void rxen_unlock_sleep(unsigned int flags);
void rxen_power_off(void);
void rxen_reboot(void);
void rxen_sysrq(u8 key);
void rxen_suspend_trace(const char *phase, u64 nanoseconds, bool failed);

#endif
