// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions that the native bus calls from Rust. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* Where the agents of all devices work, at the same time. Disks depend on it, also when memory is short. */
static struct workqueue_struct *queue;

int rxen_bus_queue_create(void)
{
	queue = alloc_workqueue("rxenbus", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return queue ? 0 : -ENOMEM;
}

void rxen_bus_queue_destroy(void)
{
	if (queue)
		destroy_workqueue(queue);
	queue = NULL;
}

struct workqueue_struct *rxen_bus_queue(void)
{
	return queue;
}

/* The machine is being halted, powered off or restarted. */
bool rxen_is_going_down(void)
{
	return system_state > SYSTEM_RUNNING;
}
