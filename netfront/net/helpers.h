/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RXEN_NET_HELPERS_H
#define RXEN_NET_HELPERS_H

#endif
