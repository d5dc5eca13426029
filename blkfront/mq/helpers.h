/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RXEN_MQ_HELPERS_H
#define RXEN_MQ_HELPERS_H

#endif
