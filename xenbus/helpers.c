// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions that the core of rxen calls from Rust. Exported where generic or inlined Rust, which
 * is compiled into the frontends, calls them too.
 */
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>
#include <asm/barrier.h>
#include <asm/cpuid/api.h>
#include <xen/page.h>
#include <xen/platform_pci.h>
#include <xen/xen.h>

#include "helpers.h"

void *rxen_page_address(struct page *page)
{
	return page_address(page);
}
EXPORT_SYMBOL_GPL(rxen_page_address);

/*
 * Takes a reference that keeps the page from being reused while the other end still has it mapped. Pages of the slab
 * allocators have no reference count; they cannot be kept this way.
 */
bool rxen_page_hold(struct page *page)
{
	if (PageSlab(page) || PageLargeKmalloc(page))
		return false;
	get_page(page);
	return true;
}
EXPORT_SYMBOL_GPL(rxen_page_hold);

void rxen_page_put(struct page *page)
{
	put_page(page);
}
EXPORT_SYMBOL_GPL(rxen_page_put);

/* Any context, also with interrupts off. */
void rxen_buffer_put(struct sk_buff *buffer)
{
	dev_kfree_skb_any(buffer);
}
EXPORT_SYMBOL_GPL(rxen_buffer_put);

/* PV guests grant machine frames, all others guest frames. */
unsigned long rxen_page_to_gfn(struct page *page)
{
#ifdef CONFIG_XEN
	return xen_page_to_gfn(page);
#else
	return page_to_pfn(page);
#endif
}
EXPORT_SYMBOL_GPL(rxen_page_to_gfn);

/* The other end runs on another CPU even if this guest has one only: the smp_* barriers are too weak on UP kernels. */
void rxen_virt_mb(void)
{
	virt_mb();
}
EXPORT_SYMBOL_GPL(rxen_virt_mb);

void rxen_virt_wmb(void)
{
	virt_wmb();
}
EXPORT_SYMBOL_GPL(rxen_virt_wmb);

void rxen_virt_rmb(void)
{
	virt_rmb();
}
EXPORT_SYMBOL_GPL(rxen_virt_rmb);

u32 rxen_cpuid_base(void)
{
	return cpuid_base_hypervisor("XenVMMXenVMM", 2);
}

u32 rxen_domain_type(void)
{
	if (!xen_domain())
		return RXEN_DOMAIN_NONE;
	if (xen_pv_domain())
		return RXEN_DOMAIN_PV;
	return xen_pvh_domain() ? RXEN_DOMAIN_PVH : RXEN_DOMAIN_HVM;
}

/* False where the emulated ones were kept, for instance with the kernel parameter xen_emul_unplug=never. */
bool rxen_has_pv_disks(void)
{
	return xen_has_pv_disk_devices();
}

bool rxen_has_pv_nics(void)
{
	return xen_has_pv_nic_devices();
}

/* There are both: a disk with the number of an emulated one is that one. */
bool rxen_has_emulated_disks(void)
{
	return xen_has_pv_and_legacy_disk_devices();
}

void rxen_work_init(struct work_struct *work, void (*function)(struct work_struct *work))
{
	INIT_WORK(work, function);
}

void rxen_work_schedule(struct work_struct *work)
{
	schedule_work(work);
}

static void deferred_worker(struct work_struct *work)
{
	rxen_deferred_work();
}

static DECLARE_DELAYED_WORK(deferred_work, deferred_worker);

void rxen_deferred_schedule(unsigned int milliseconds)
{
	schedule_delayed_work(&deferred_work, msecs_to_jiffies(milliseconds));
}

void rxen_deferred_cancel(void)
{
	cancel_delayed_work_sync(&deferred_work);
}
