/* Writes captures as pcap-ng (draft-ietf-opsawg-pcapng), the format of Wireshark.
 *
 * One section; an interface for each port, described when its first packet comes (the
 * format allows that), with its name and nanosecond stamps; each packet an enhanced packet
 * block with direction flags and, when it was lost, the reason as its comment.  Blocks
 * are in the host's byte order, as the format asks.
 *
 * The caller's FILE is flushed after each packet, so that a reader at the other end of
 * a pipe sees it at once.  Not thread-safe; no clock. */
#ifndef CTL_PCAPNG_H
#define CTL_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAPNG_INTERFACES_MAX 8192

struct pcapng;

struct pcapng_packet {
	const char *port;    /* its name */
	bool outgoing;       /* sent to the port */
	const char *comment; /* NULL: none */
	uint64_t time_ns;    /* since 1970 */
	uint32_t wire_len;
	uint32_t len;
	const void *bytes;
};

/* Writes the section header.  out stays the caller's.  NULL with errno. */
struct pcapng *pcapng_new(FILE *out, const char *application, uint32_t snaplen);
/* 0 or -errno of the write; -ENOSPC beyond PCAPNG_INTERFACES_MAX ports. */
int pcapng_packet(struct pcapng *p, const struct pcapng_packet *k);
/* How many were received and lost, as the last block (interface statistics of the first
 * interface); needs at least one packet, else it writes nothing. */
int pcapng_totals(struct pcapng *p, uint64_t time_ns, uint64_t received, uint64_t lost);
void pcapng_free(struct pcapng *p); /* accepts NULL; does not close the FILE */

#endif
