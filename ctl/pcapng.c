/* pcap-ng blocks for `vswitchctl capture -w`.  A block is built in a growable buffer, so
 * that its length, which stands in front and behind, is known, and leaves in one write. */
#include "ctl/pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Block types and options by their numbers in the draft. */
#define BLOCK_SECTION 0x0a0d0d0au    /* 4.1 */
#define BLOCK_INTERFACE 0x00000001u  /* 4.2 */
#define BLOCK_STATISTICS 0x00000005u /* 4.5 */
#define BLOCK_PACKET 0x00000006u     /* 4.3 */
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define OPT_END 0
#define OPT_COMMENT 1
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_TSRESOL 9
#define EPB_FLAGS 2
#define ISB_IFRECV 4
#define ISB_IFDROP 5
#define TSRESOL_NANO 9
#define LINKTYPE_ETHERNET 1
#define FLAG_INBOUND 1u
#define FLAG_OUTBOUND 2u

struct pcapng {
	FILE *out;
	uint32_t snaplen;
	char **port;
	size_t n_ports;
	uint8_t *block;
	size_t len, size;
	bool failed; /* out of memory while building */
};

static void put(struct pcapng *p, const void *bytes, size_t n)
{
	if (!n)
		return;
	if (p->size - p->len < n) {
		size_t size = (p->size + n) * 2;
		uint8_t *b = realloc(p->block, size);
		if (!b) {
			p->failed = true;
			return;
		}
		p->block = b;
		p->size = size;
	}
	memcpy(p->block + p->len, bytes, n);
	p->len += n;
}

static void put16(struct pcapng *p, uint16_t v)
{
	put(p, &v, sizeof(v));
}

static void put32(struct pcapng *p, uint32_t v)
{
	put(p, &v, sizeof(v));
}

/* Everything is padded to 32 bits. */
static void put_padded(struct pcapng *p, const void *bytes, size_t n)
{
	put(p, bytes, n);
	put(p, "\0\0\0", -n & 3);
}

static void put_option(struct pcapng *p, uint16_t code, const void *value, size_t n)
{
	if (n > UINT16_MAX)
		n = UINT16_MAX;
	put16(p, code);
	put16(p, (uint16_t)n);
	put_padded(p, value, n);
}

/* A stamp is its upper half first, whatever the byte order. */
static void put_time(struct pcapng *p, uint64_t ns)
{
	put32(p, (uint32_t)(ns >> 32));
	put32(p, (uint32_t)ns);
}

static void begin(struct pcapng *p, uint32_t type)
{
	p->len = 0;
	p->failed = false;
	put32(p, type);
	put32(p, 0); /* the length, when it is known */
}

static int end(struct pcapng *p)
{
	uint32_t len = (uint32_t)p->len + sizeof(len);
	put32(p, len);
	if (p->failed)
		return -ENOMEM;
	memcpy(p->block + 4, &len, sizeof(len));
	errno = 0;
	if (fwrite(p->block, 1, p->len, p->out) != p->len || fflush(p->out) != 0)
		return errno ? -errno : -EIO;
	return 0;
}

static int section(struct pcapng *p, const char *application)
{
	uint64_t unknown_length = UINT64_MAX;
	begin(p, BLOCK_SECTION);
	put32(p, BYTE_ORDER_MAGIC);
	put16(p, 1); /* version 1.0 */
	put16(p, 0);
	put(p, &unknown_length, sizeof(unknown_length));
	put_option(p, SHB_USERAPPL, application, strlen(application));
	put_option(p, OPT_END, NULL, 0);
	return end(p);
}

struct pcapng *pcapng_new(FILE *out, const char *application, uint32_t snaplen)
{
	struct pcapng *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->out = out;
	p->snaplen = snaplen;
	int r = section(p, application);
	if (!r)
		return p;
	pcapng_free(p);
	errno = -r;
	return NULL;
}

static int describe_interface(struct pcapng *p, const char *name)
{
	uint8_t resolution = TSRESOL_NANO;
	begin(p, BLOCK_INTERFACE);
	put16(p, LINKTYPE_ETHERNET);
	put16(p, 0);
	put32(p, p->snaplen);
	put_option(p, IF_NAME, name, strlen(name));
	put_option(p, IF_TSRESOL, &resolution, sizeof(resolution));
	put_option(p, OPT_END, NULL, 0);
	return end(p);
}

static int add_interface(struct pcapng *p, const char *name)
{
	if (p->n_ports == PCAPNG_INTERFACES_MAX)
		return -ENOSPC;
	char **port = realloc(p->port, (p->n_ports + 1) * sizeof(*port));
	if (!port)
		return -ENOMEM;
	p->port = port;
	p->port[p->n_ports] = strdup(name);
	if (!p->port[p->n_ports])
		return -ENOMEM;
	p->n_ports++;
	return describe_interface(p, name);
}

static int interface_of(struct pcapng *p, const char *name, uint32_t *ret_index)
{
	for (size_t i = 0; i < p->n_ports; i++) {
		if (strcmp(p->port[i], name) == 0) {
			*ret_index = (uint32_t)i;
			return 0;
		}
	}
	*ret_index = (uint32_t)p->n_ports;
	return add_interface(p, name);
}

int pcapng_packet(struct pcapng *p, const struct pcapng_packet *k)
{
	uint32_t interface, flags = k->outgoing ? FLAG_OUTBOUND : FLAG_INBOUND;
	int r = interface_of(p, k->port, &interface);
	if (r)
		return r;
	begin(p, BLOCK_PACKET);
	put32(p, interface);
	put_time(p, k->time_ns);
	put32(p, k->len);
	put32(p, k->wire_len);
	put_padded(p, k->bytes, k->len);
	put_option(p, EPB_FLAGS, &flags, sizeof(flags));
	if (k->comment)
		put_option(p, OPT_COMMENT, k->comment, strlen(k->comment));
	put_option(p, OPT_END, NULL, 0);
	return end(p);
}

int pcapng_totals(struct pcapng *p, uint64_t time_ns, uint64_t received, uint64_t lost)
{
	if (!p->n_ports)
		return 0;
	begin(p, BLOCK_STATISTICS);
	put32(p, 0);
	put_time(p, time_ns);
	put_option(p, ISB_IFRECV, &received, sizeof(received));
	put_option(p, ISB_IFDROP, &lost, sizeof(lost));
	put_option(p, OPT_END, NULL, 0);
	return end(p);
}

void pcapng_free(struct pcapng *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_ports; i++)
		free(p->port[i]);
	free(p->port);
	free(p->block);
	free(p);
}
