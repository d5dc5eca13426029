// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions that the core of rxen calls from Rust. Exported where generic or inlined Rust, which
 * is compiled into the frontends, calls them too.
 */
#include <linux/async.h>
#include <linux/blkdev.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/syscore_ops.h>
#include <linux/workqueue.h>
#include <scsi/scsi_device.h>
#include <asm/barrier.h>
#include <asm/cpuid/api.h>
#include <asm/processor.h>
#include <xen/page.h>
#include <xen/platform_pci.h>
#include <xen/xen.h>

#include "helpers.h"

void *rxen_page_address(struct page *page)
{
	return page_address(page);
}
EXPORT_SYMBOL_GPL(rxen_page_address);

/* Of an address in the kernel's direct map. */
struct page *rxen_address_to_page(const void *address)
{
	return virt_to_page(address);
}

/* Takes a reference that keeps the page from being reused while the other end still has it mapped. */
bool rxen_page_hold(struct page *page)
{
	if (!rxen_page_has_references(page))
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

/*
 * PV guests grant machine frames, all others guest frames, which are those of the kernel. The Xen core's own function
 * does not know what the guest is while that core is off.
 */
unsigned long rxen_page_to_gfn(struct page *page)
{
	if (xen_pv_domain())
		return xen_page_to_gfn(page);
	return page_to_pfn(page);
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

/* A leaf of CPUID: eax, ebx, ecx and edx. */
void rxen_cpuid(u32 leaf, u32 registers[4])
{
	cpuid_count(leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3]);
}

/* AMD's CPUs and those that descend from them call a hypervisor with vmmcall, the others with vmcall. */
bool rxen_cpu_has_vmmcall(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD || boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;
}

bool rxen_has_platform_device(void)
{
	struct pci_dev *device = pci_get_device(PCI_VENDOR_ID_XEN, PCI_DEVICE_ID_XEN_PLATFORM, NULL);

	pci_dev_put(device);
	return device;
}

/*
 * What hangs below an emulated device: a disk that cannot be taken out, a network interface. A disk on a SCSI bus, as
 * those of IDE and SATA are too, is one before its driver has seen it.
 */
static int look_for_use(struct device *device, void *data)
{
	enum rxen_use *use = data;
	bool used;

	if (device->type && !strcmp(device->type->name, "scsi_device")) {
		struct scsi_device *scsi = to_scsi_device(device);

		if (scsi->type == TYPE_DISK && !scsi->removable)
			*use = max(*use, RXEN_USE_IDLE);
	}

	if (device->class && !strcmp(device->class->name, "net")) {
		used = to_net_dev(device)->flags & IFF_UP;
	} else if (device->type && !strcmp(device->type->name, "disk")) {
		struct gendisk *disk = dev_to_disk(device);

		if (disk->flags & GENHD_FL_REMOVABLE)
			return 0;
		used = disk_openers(disk);
	} else {
		return device_for_each_child(device, data, look_for_use);
	}
	*use = max(*use, used ? RXEN_USE_USED : RXEN_USE_IDLE);
	return 0;
}

u32 rxen_emulated_use(struct pci_dev *device)
{
	enum rxen_use use = RXEN_USE_NOTHING;

	if (!READ_ONCE(device->dev.driver))
		return RXEN_USE_UNBOUND;
	device_for_each_child(&device->dev, &use, look_for_use);
	return use;
}

/*
 * Waits until the driver of a device has seen all that it has to look for, also in the background, as those of disks do.
 * Sleeps; not for a driver's probe. What runs in the background is waited for at the end of each module's loading too.
 */
void rxen_wait_for_probe(struct pci_dev *device)
{
	device_lock(&device->dev);
	device_unlock(&device->dev);
	async_synchronize_full();
}

static void native_shutdown(void *data)
{
	rxen_native_shutdown();
}

static const struct syscore_ops shutdown_ops = {
	.shutdown = native_shutdown,
};

static struct syscore shutdown_syscore = {
	.ops = &shutdown_ops,
};

void rxen_shutdown_register(void)
{
	register_syscore(&shutdown_syscore);
}

void rxen_shutdown_unregister(void)
{
	unregister_syscore(&shutdown_syscore);
}

u8 rxen_inb(u16 port)
{
	return inb(port);
}

u16 rxen_inw(u16 port)
{
	return inw(port);
}

void rxen_outw(u16 value, u16 port)
{
	outw(value, port);
}

void rxen_outl(u32 value, u16 port)
{
	outl(value, port);
}

/* The module parameters that are text: those of Rust are numbers only. */
static char *unplug = "auto";
module_param(unplug, charp, 0444);
MODULE_PARM_DESC(unplug,
		 "Emulated devices to unplug in native mode: auto (those without a driver; the default), never, unnecessary (drive both), all, or a list of disks, nics and nvme");

const char *rxen_parameter_unplug(void)
{
	return unplug;
}

u32 rxen_domain_type(void)
{
	if (!xen_domain())
		return RXEN_DOMAIN_NONE;
	if (xen_pv_domain())
		return RXEN_DOMAIN_PV;
	return xen_pvh_domain() ? RXEN_DOMAIN_PVH : RXEN_DOMAIN_HVM;
}

#ifdef CONFIG_XEN
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
#endif

void rxen_work_init(struct work_struct *work, void (*function)(struct work_struct *work))
{
	INIT_WORK(work, function);
}

void rxen_work_schedule(struct work_struct *work)
{
	schedule_work(work);
}

void rxen_long_work_init(struct delayed_work *work, void (*function)(struct work_struct *work))
{
	BUILD_BUG_ON(offsetof(struct delayed_work, work));
	INIT_DELAYED_WORK(work, function);
}

/* Any context. Sooner, if it was to run later. */
void rxen_long_work_schedule(struct delayed_work *work, unsigned int milliseconds)
{
	mod_delayed_work(system_dfl_wq, work, msecs_to_jiffies(milliseconds));
}

/* Does nothing where it is to run anyhow. */
void rxen_long_work_schedule_later(struct delayed_work *work, unsigned int milliseconds)
{
	queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(milliseconds));
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

static void waiting_worker(struct work_struct *work)
{
	rxen_waiting_work();
}

static DECLARE_DELAYED_WORK(waiting_work, waiting_worker);

/* Any context. Sooner, if it was to run later. */
void rxen_waiting_schedule(unsigned int milliseconds)
{
	mod_delayed_work(system_percpu_wq, &waiting_work, msecs_to_jiffies(milliseconds));
}

void rxen_waiting_flush(void)
{
	flush_delayed_work(&waiting_work);
}

void rxen_waiting_cancel(void)
{
	cancel_delayed_work_sync(&waiting_work);
}

/*
 * Whether there are frame numbers of more than 32 bits. The memory lies in one piece, but for what the devices' below
 * 4 GB shifts up.
 */
bool rxen_has_wide_frames(void)
{
	return totalram_pages() + (SZ_4G >> PAGE_SHIFT) > U32_MAX;
}

/* Of each CPU, since every notification is counted. */
static DEFINE_PER_CPU(u64[RXEN_HYPERCALL_KINDS], hypercalls);

/* Any context. */
void rxen_hypercall_count(unsigned int kind)
{
	if (kind < RXEN_HYPERCALL_KINDS)
		this_cpu_inc(hypercalls[kind]);
}

u64 rxen_hypercall_sum(unsigned int kind)
{
	u64 sum = 0;
	int cpu;

	if (kind >= RXEN_HYPERCALL_KINDS)
		return 0;
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(hypercalls, cpu)[kind]);
	return sum;
}
