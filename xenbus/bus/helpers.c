// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions that the native bus calls from Rust. */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kmod.h>
#include <linux/workqueue.h>

#include "helpers.h"

/*
 * Where the agents of all devices work, at the same time. After a restore memory may wait for a disk that only its agent
 * can set in motion again, so there must be a worker without memory for another one. As with the queues of SCSI hosts,
 * drivers may still wait for work on other queues: that of a card that goes does.
 */
static struct workqueue_struct *queue;

int rxen_bus_queue_create(void)
{
	queue = alloc_workqueue("rxenbus", __WQ_LEGACY | WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
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

static void later_worker(struct work_struct *work)
{
	rxen_bus_later_work();
}

static DECLARE_DELAYED_WORK(later_work, later_worker);

/* Does nothing where it is to run already. While there is a queue. */
void rxen_bus_later(unsigned int milliseconds)
{
	queue_delayed_work(queue, &later_work, msecs_to_jiffies(milliseconds));
}

void rxen_bus_later_cancel(void)
{
	cancel_delayed_work_sync(&later_work);
}

/* The machine is being halted, powered off or restarted. */
bool rxen_is_going_down(void)
{
	return system_state > SYSTEM_RUNNING;
}

/* Has user space load the module that hears the toolstack; does not wait for it. */
void rxen_bus_request_suspend(void)
{
	request_module_nowait("rxen_suspend");
}
