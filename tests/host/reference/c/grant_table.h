/* SPDX-License-Identifier: GPL-2.0 */
/* All that the ring headers need of the kernel's grant_table.h, whose other parts do not compile outside a kernel. */
#ifndef RXEN_REFERENCE_GRANT_TABLE_H
#define RXEN_REFERENCE_GRANT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t grant_ref_t;

#define virt_mb() __sync_synchronize()
#define virt_rmb() __sync_synchronize()
#define virt_wmb() __sync_synchronize()

#endif
