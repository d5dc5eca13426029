// SPDX-License-Identifier: GPL-2.0
/* Slots of the network rings through the kernel's structures (include/xen/interface/io/netif.h). */
#include <xen/interface/io/netif.h>

/* Bytes of a transmit request and response, a receive request and response, and an extra slot. */
void reference_net_sizes(uint32_t to[5])
{
	to[0] = sizeof(struct xen_netif_tx_request);
	to[1] = sizeof(struct xen_netif_tx_response);
	to[2] = sizeof(struct xen_netif_rx_request);
	to[3] = sizeof(struct xen_netif_rx_response);
	to[4] = sizeof(struct xen_netif_extra_info);
}

void reference_net_tx_request(void *to, uint32_t gref, uint16_t offset, uint16_t flags, uint16_t id, uint16_t size)
{
	struct xen_netif_tx_request request;

	memset(&request, 0, sizeof(request));
	request.gref = gref;
	request.offset = offset;
	request.flags = flags;
	request.id = id;
	request.size = size;
	memcpy(to, &request, sizeof(request));
}

void reference_net_tx_response(void *to, uint16_t id, int16_t status)
{
	struct xen_netif_tx_response response = { .id = id, .status = status };

	memcpy(to, &response, sizeof(response));
}

void reference_net_rx_request(void *to, uint16_t id, uint32_t gref)
{
	struct xen_netif_rx_request request;

	memset(&request, 0, sizeof(request));
	request.id = id;
	request.gref = gref;
	memcpy(to, &request, sizeof(request));
}

void reference_net_rx_response(void *to, uint16_t id, uint16_t offset, uint16_t flags, int16_t status)
{
	struct xen_netif_rx_response response = { .id = id, .offset = offset, .flags = flags, .status = status };

	memcpy(to, &response, sizeof(response));
}

/* An extra slot of any type, of which only type and flags are set. */
void reference_net_extra(void *to, uint8_t type, uint8_t flags)
{
	struct xen_netif_extra_info extra;

	memset(&extra, 0, sizeof(extra));
	extra.type = type;
	extra.flags = flags;
	memcpy(to, &extra, sizeof(extra));
}

/* The extra slot of a large frame; leaves the padding as it is in `to`. */
void reference_net_gso(void *to, uint8_t flags, uint8_t type, uint16_t size)
{
	struct xen_netif_extra_info extra;

	memcpy(&extra, to, sizeof(extra));
	extra.type = XEN_NETIF_EXTRA_TYPE_GSO;
	extra.flags = flags;
	extra.u.gso.size = size;
	extra.u.gso.type = type;
	extra.u.gso.features = 0;
	memcpy(to, &extra, sizeof(extra));
}

/* csum_blank, data_validated, more_data and extra_info of transmit requests, then of receive responses. */
void reference_net_flags(uint16_t transmit[4], uint16_t receive[4])
{
	transmit[0] = XEN_NETTXF_csum_blank;
	transmit[1] = XEN_NETTXF_data_validated;
	transmit[2] = XEN_NETTXF_more_data;
	transmit[3] = XEN_NETTXF_extra_info;
	receive[0] = XEN_NETRXF_csum_blank;
	receive[1] = XEN_NETRXF_data_validated;
	receive[2] = XEN_NETRXF_more_data;
	receive[3] = XEN_NETRXF_extra_info;
}

/* XEN_NETIF_RSP_OKAY, _DROPPED, _ERROR, _NULL. */
void reference_net_statuses(int16_t to[4])
{
	to[0] = XEN_NETIF_RSP_OKAY;
	to[1] = XEN_NETIF_RSP_DROPPED;
	to[2] = XEN_NETIF_RSP_ERROR;
	to[3] = XEN_NETIF_RSP_NULL;
}

/* The first and the last extra type, the flag for more, and the GSO types none, IPv4, IPv6. */
void reference_net_extras(uint8_t to[6])
{
	to[0] = XEN_NETIF_EXTRA_TYPE_GSO;
	to[1] = XEN_NETIF_EXTRA_TYPE_MAX - 1;
	to[2] = XEN_NETIF_EXTRA_FLAG_MORE;
	to[3] = XEN_NETIF_GSO_TYPE_NONE;
	to[4] = XEN_NETIF_GSO_TYPE_TCPV4;
	to[5] = XEN_NETIF_GSO_TYPE_TCPV6;
}

/* The slots that every end accepts of a frame, and its bytes. */
void reference_net_limits(uint32_t to[2])
{
	to[0] = XEN_NETIF_NR_SLOTS_MIN;
	to[1] = XEN_NETIF_MAX_TX_SIZE;
}
