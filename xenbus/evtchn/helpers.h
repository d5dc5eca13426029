/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions that native event channels call from Rust. */
#ifndef RXEN_EVTCHN_HELPERS_H
#define RXEN_EVTCHN_HELPERS_H

#include <linux/spinlock_types.h>
#include <linux/types.h>

struct irq_data;
struct irq_domain;
struct irq_domain_ops;
struct timer_list;

/* A raw spinlock that is taken with interrupts off; irq_chip callbacks may take no other kind. */
void rxen_raw_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key);
unsigned long rxen_raw_lock(raw_spinlock_t *lock);
bool rxen_raw_trylock(raw_spinlock_t *lock, unsigned long *flags);
void rxen_raw_unlock(raw_spinlock_t *lock, unsigned long flags);
void rxen_raw_lock_assert_held(raw_spinlock_t *lock);

void rxen_timer_init(struct timer_list *timer, void (*function)(struct timer_list *timer));
void rxen_timer_start(struct timer_list *timer, unsigned long ticks);

int rxen_irq_alloc(void);
void rxen_irq_free(unsigned int irq);
int rxen_irq_move(unsigned int irq, unsigned int cpu);
void rxen_irq_set_effective_cpu(struct irq_data *data, unsigned int cpu);

/* Whether one more warning about event channels is not too many. Any context. */
bool rxen_event_may_warn(void);

unsigned long rxen_address_to_gfn(const void *address);

/* Calls a function on a CPU, with interrupts off, and waits for it. */
int rxen_on_cpu(unsigned int cpu, void (*function)(void *data), void *data);

/* A state of CPU hotplug: as states are, positive; or an error. */
int rxen_hotplug_online(int (*online)(unsigned int cpu), int (*offline)(unsigned int cpu));
int rxen_hotplug_dead(int (*dead)(unsigned int cpu));
void rxen_hotplug_remove(int state);

/* Interrupt vectors of single CPUs, as children of the kernel's vector domain. */
struct irq_domain *rxen_vector_domain_create(const struct irq_domain_ops *ops);
void rxen_vector_domain_remove(struct irq_domain *domain);
int rxen_vector_alloc(struct irq_domain *domain, unsigned int cpu);
unsigned int rxen_vector_of(struct irq_data *data);

#endif
