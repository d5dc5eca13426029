// SPDX-License-Identifier: GPL-2.0
/* The work queues of the native xenstore client: one moves messages, one calls the handlers of watches. */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "helpers.h"

static void store_worker(struct work_struct *work)
{
	rxen_store_pump();
}

static DECLARE_WORK(store_work, store_worker);
static DECLARE_DELAYED_WORK(store_tick, store_worker);
static struct workqueue_struct *store_queue;
static struct workqueue_struct *watch_queue;

int rxen_store_start(void)
{
	/* A disk that reconnects waits for it, and memory may wait for the disk. */
	store_queue = alloc_workqueue("rxen-store", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	/* So do the events that it waits for; handlers must not wait for work on queues that are not for memory reclaim. */
	watch_queue = alloc_workqueue("rxen-watch", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (store_queue && watch_queue)
		return 0;
	rxen_store_stop();
	return -ENOMEM;
}

/* Nobody calls the functions below any more. */
void rxen_store_stop(void)
{
	cancel_delayed_work_sync(&store_tick);
	cancel_work_sync(&store_work);
	if (watch_queue)
		destroy_workqueue(watch_queue);
	if (store_queue)
		destroy_workqueue(store_queue);
	watch_queue = NULL;
	store_queue = NULL;
}

/* Any context. */
void rxen_store_event(void)
{
	queue_work(store_queue, &store_work);
}

/* So long after the last time that this is called, which is whenever messages are moved. */
void rxen_store_tick(unsigned int milliseconds)
{
	unsigned long delay = msecs_to_jiffies(milliseconds);

	/* A look that is not urgent wakes nobody by itself. */
	if (milliseconds > 1000)
		delay = round_jiffies_relative(delay);
	mod_delayed_work(store_queue, &store_tick, delay);
}

struct workqueue_struct *rxen_store_watches(void)
{
	return watch_queue;
}

/* Until the end, memory is allocated without waiting for a disk. */
unsigned int rxen_noio_begin(void)
{
	return memalloc_noio_save();
}

void rxen_noio_end(unsigned int flags)
{
	memalloc_noio_restore(flags);
}
