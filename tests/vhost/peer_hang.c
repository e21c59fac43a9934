/* hang: a frontend that stops at a step, or does what no frontend should, and stays. */
#include "tests/vhost/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int step_fill(struct fe *fe)
{
	uint8_t frame[1500] = {0};

	memset(frame, 255, 6);
	frame[6] = 2;
	frame[12] = 0x88; /* an experiment's EtherType */
	frame[13] = 0xb5;
	for (unsigned q = 0; q < fe->cfg.pairs; q++) {
		while (fe_tx(fe, q, NULL, frame, sizeof(frame)) == 0)
			;
		fe_tx_flush(fe, q);
	}
	return 0;
}

static int step_half_message(struct fe *fe)
{
	struct fe_msg m = {FE_SET_VRING_NUM, FE_FLAG_VERSION, 8, {0}};

	return fe_send_bytes(fe, &m, FE_HDR_SIZE - 3, NULL, 0);
}

/* ---- what no driver does: each behind "rings", and then the switch is kicked ---- */

static int wrong_index(struct fe *fe)
{
	struct fe_ring *r = &fe->pair[0].tx;

	if (r->packed)
		return -EOPNOTSUPP;
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail_idx + r->size + 1), __ATOMIC_RELEASE);
	fe_ring_kick_now(r);
	return 0;
}

static int wrong_head(struct fe *fe)
{
	struct fe_ring *r = &fe->pair[0].tx;

	if (r->packed)
		return -EOPNOTSUPP;
	r->avail->ring[r->avail_idx % r->size] = (uint16_t)r->size;
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail_idx + 1), __ATOMIC_RELEASE);
	fe_ring_kick_now(r);
	return 0;
}

static int wrong_buffer(struct fe *fe, struct fe_seg seg)
{
	struct fe_ring *r = &fe->pair[0].tx;
	int err = fe_ring_add(r, &seg, 1, 0, false);

	if (!err) {
		fe_ring_publish(r);
		fe_ring_kick_now(r);
	}
	return err;
}

static int wrong_address(struct fe *fe)
{
	return wrong_buffer(fe, (struct fe_seg){.gpa = 1ull << 60, .len = 100});
}

static int wrong_direction(struct fe *fe)
{
	return wrong_buffer(fe, (struct fe_seg){fe->pair[0].tx_gpa[0], 100, true});
}

/* Our own mappings are not touched afterwards. */
static int take_memory(struct fe *fe)
{
	for (unsigned i = 0; i < fe->nregions; i++)
		if (ftruncate(fe->region[i].fd, 0) < 0)
			return -errno;
	fe_ring_kick_now(&fe->pair[0].tx);
	return 0;
}

/* Questions for as long as the switch takes them; no answer is read. */
static int ask_and_not_listen(struct fe *fe)
{
	const struct timeval patience = {.tv_sec = 1};
	struct fe_msg m = {.request = FE_GET_FEATURES, .flags = FE_FLAG_VERSION};

	if (setsockopt(fe->sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	while (fe_send_bytes(fe, &m, FE_HDR_SIZE, NULL, 0) == 0)
		;
	return 0;
}

/* Each step is taken in turn, up to the one that was asked for. */
struct step {
	const char *name;
	int (*take)(struct fe *fe);
	const char *after; /* of a fault */
};
static const struct step steps[] = {
	{"connect", fe_connect}, {"features", fe_negotiate}, {"memory", fe_share},
	{"rings", fe_start},	 {"filled", step_fill},	     {"half-message", step_half_message},
};
static const struct step faults[] = {
	{"bad-index", wrong_index, "rings"},	 {"bad-head", wrong_head, "rings"},
	{"bad-address", wrong_address, "rings"}, {"bad-direction", wrong_direction, "rings"},
	{"no-memory", take_memory, "rings"},	 {"deaf", ask_and_not_listen, "connect"},
};

static const struct step *fault_named(const char *name)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		if (strcmp(faults[i].name, name) == 0)
			return &faults[i];
	return NULL;
}

static int take_steps(struct peer *p)
{
	const struct step *fault = fault_named(p->o.step);
	const char *last = fault ? fault->after : p->o.step;
	int err = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++) {
		err = steps[i].take(&p->fe);
		if (strcmp(steps[i].name, last))
			continue;
		return err || !fault ? err : fault->take(&p->fe);
	}
	if (!err)
		snprintf(p->fe.error, sizeof(p->fe.error), "no step '%s'", p->o.step);
	return err ? err : -EINVAL;
}

int peer_hang(struct peer *p)
{
	int err = fe_init(&p->fe, &p->o.fe);

	p->fe.timeout_ms = p->o.wait_ms;
	err = err ? err : take_steps(p);
	if (err)
		return err;
	p->connections++;
	p->began = fe_now_ns();
	p->ends = p->o.seconds > 0 ? p->began + (int64_t)(p->o.seconds * 1e9) : 0;
	fprintf(stderr, "hanging at %s\n", p->o.step);
	while (!p->o.quit && !peer_done(p))
		usleep(10000);
	if (p->o.quit)
		_exit(0); /* as a process that is killed: nothing is said to the backend */
	return 0;
}
