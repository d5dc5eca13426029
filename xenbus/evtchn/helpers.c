// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions that native event channels call from Rust. */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/jiffies.h>
#include <linux/ratelimit.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <asm/hw_irq.h>
#include <asm/io.h>
#include <asm/irqdomain.h>

#include "helpers.h"

void rxen_raw_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(lock, name, key, LD_WAIT_SPIN);
#else
	raw_spin_lock_init(lock);
#endif
}

unsigned long rxen_raw_lock(raw_spinlock_t *lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

bool rxen_raw_trylock(raw_spinlock_t *lock, unsigned long *flags)
{
	return raw_spin_trylock_irqsave(lock, *flags);
}

void rxen_raw_unlock(raw_spinlock_t *lock, unsigned long flags)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

void rxen_raw_lock_assert_held(raw_spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

void rxen_timer_init(struct timer_list *timer, void (*function)(struct timer_list *timer))
{
	timer_setup(timer, function, 0);
}

void rxen_timer_start(struct timer_list *timer, unsigned long ticks)
{
	mod_timer(timer, jiffies + ticks);
}

/*
 * An interrupt of no hardware, which may be requested. It has a single target: then the CPU that it has moved to waits
 * for the handler on the former one, instead of having that one go on with each event that comes in meanwhile, without
 * an end where they come fast.
 *
 * It has no owner: whoever requests an interrupt holds its owner, and with xenstore's this module would hold itself.
 * Frontends hold it by the symbols that they use.
 */
int rxen_irq_alloc(void)
{
	int irq = __irq_alloc_descs(-1, 0, 1, NUMA_NO_NODE, NULL, NULL);

	if (irq >= 0) {
		irq_clear_status_flags(irq, IRQ_NOREQUEST | IRQ_NOAUTOEN);
		irqd_set_single_target(irq_get_irq_data(irq));
	}
	return irq;
}

void rxen_irq_free(unsigned int irq)
{
	irq_free_desc(irq);
}

/* As if the administrator had written the CPU to smp_affinity. */
int rxen_irq_move(unsigned int irq, unsigned int cpu)
{
	return irq_set_affinity(irq, cpumask_of(cpu));
}

void rxen_irq_set_effective_cpu(struct irq_data *data, unsigned int cpu)
{
	irq_data_update_effective_affinity(data, cpumask_of(cpu));
}

int rxen_on_cpu(unsigned int cpu, void (*function)(void *data), void *data)
{
	return smp_call_function_single(cpu, function, data, 1);
}

int rxen_hotplug_online(int (*online)(unsigned int cpu), int (*offline)(unsigned int cpu))
{
	return cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "rxen/evtchn:online", online, offline);
}

int rxen_hotplug_dead(int (*dead)(unsigned int cpu))
{
	return cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "rxen/evtchn:dead", NULL, dead);
}

/* Without the callbacks. */
void rxen_hotplug_remove(int state)
{
	cpuhp_remove_state_nocalls(state);
}

bool rxen_event_may_warn(void)
{
	static DEFINE_RATELIMIT_STATE(warnings, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&warnings);
}

/* The frame of an address in the direct map. */
unsigned long rxen_address_to_gfn(const void *address)
{
	return virt_to_phys((void *)address) >> PAGE_SHIFT;
}

struct irq_domain *rxen_vector_domain_create(const struct irq_domain_ops *ops)
{
	struct fwnode_handle *node = irq_domain_alloc_named_fwnode("rxen-upcall");
	struct irq_domain *domain;

	if (!node)
		return NULL;
	domain = irq_domain_create_hierarchy(x86_vector_domain, 0, 0, node, ops, NULL);
	if (!domain)
		irq_domain_free_fwnode(node);
	return domain;
}

void rxen_vector_domain_remove(struct irq_domain *domain)
{
	struct fwnode_handle *node = domain->fwnode;

	irq_domain_remove(domain);
	irq_domain_free_fwnode(node);
}

/*
 * An interrupt that belongs to a CPU: managed, so that the kernel shuts it down when that CPU goes and starts it when
 * it comes back, instead of moving it.
 */
int rxen_vector_alloc(struct irq_domain *domain, unsigned int cpu)
{
	struct irq_affinity_desc affinity = { .is_managed = 1 };
	struct irq_alloc_info info = { .hwirq = cpu };

	cpumask_set_cpu(cpu, &affinity.mask);
	return __irq_domain_alloc_irqs(domain, -1, 1, NUMA_NO_NODE, &info, false, &affinity);
}

unsigned int rxen_vector_of(struct irq_data *data)
{
	struct irq_cfg *cfg = irqd_cfg(data);

	return cfg ? cfg->vector : 0;
}
