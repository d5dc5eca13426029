// SPDX-License-Identifier: GPL-2.0
/* Names and minors of the C driver: passages of drivers/block/xen-blkfront.c, cut out by build.rs. */
#include <stdarg.h>
#include <stdio.h>
#include <xen/interface/io/blkif.h>

/* What the passages use of the kernel. */
#define XENVBD_MAJOR 202	/* include/uapi/linux/major.h */
#define MINORBITS 20		/* include/linux/kdev_t.h */
#define DISK_NAME_LEN 32	/* include/linux/blkdev.h */
#define ENODEV 19
#define KERN_WARNING ""
#define printk(...) ((void)0)
#define pr_warn(...) ((void)0)
#define BUG_ON(condition) do { if (condition) __builtin_trap(); } while (0)
#define xen_hvm_domain() 0	/* only adds a warning */

struct disk {
	char disk_name[DISK_NAME_LEN];
};

struct info {
	int vdevice;
};

struct reference_place {
	uint32_t minor, minors, index;
	char name[DISK_NAME_LEN];
};

#include "blkfront-definitions.h"
#include "blkfront-encode_disk_name.h"
#include "blkfront-xen_translate_vdev.h"

static int place(const struct info *info, struct disk *gd, struct reference_place *to)
{
	int nr_minors = 1, err, minor, nr_parts;
	unsigned int offset;
	char *ptr;

#include "blkfront-minors.h"
#include "blkfront-name.h"

	to->minor = minor;
	to->minors = nr_minors;
	to->index = offset;
	return 0;
}

/* 0, or a negative errno where the C driver refuses the number. */
int reference_place(uint32_t number, struct reference_place *to)
{
	struct info info = { .vdevice = (int)number };
	struct disk disk;
	int err;

	memset(&disk, 0, sizeof(disk));
	memset(to, 0, sizeof(*to));
	err = place(&info, &disk, to);
	memcpy(to->name, disk.disk_name, sizeof(to->name));
	return err;
}
