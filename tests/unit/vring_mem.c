/* Guest memory for the tests of rings: objects built by hand, and the functions of
 * tap/vhost_mem.h that a ring calls. */
#include <stdio.h>
#include <sys/mman.h>

#include "tests/unit/vring_driver.h"

#define LOG_BYTES ((GUEST_B + GUEST_SIZE) / VHOST_LOG_PAGE / 8)

void guest_init(struct guest *g)
{
	static const uint64_t gpa[3] = {GUEST_A, GUEST_B, GUEST_C};

	*g = (struct guest){.mem = calloc(1, sizeof(*g->mem) + 3 * sizeof(g->mem->r[0]))};
	g->mem->n = 3;
	for (unsigned i = 0; i < 3; i++) {
		/* each alone, with a hole behind it that is never mapped */
		uint8_t *p = mmap(NULL, 2 * GUEST_SIZE, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED || mprotect(p, GUEST_SIZE, PROT_READ | PROT_WRITE))
			abort();
		g->va[i] = p;
		g->mem->r[i] = (struct vhost_region){.gpa = gpa[i],
						     .uva = gpa[i] + GUEST_UVA,
						     .size = GUEST_SIZE,
						     .va = p};
	}
}

void guest_log(struct guest *g)
{
	g->bits = calloc(1, LOG_BYTES);
	g->log = (struct vhost_log){.bits = g->bits, .bytes = LOG_BYTES};
	g->mem->log = &g->log;
}

bool guest_dirty(const struct guest *g, uint64_t gpa)
{
	uint64_t page = gpa / VHOST_LOG_PAGE;
	return g->bits[page / 8] >> page % 8 & 1;
}

unsigned guest_dirty_pages(const struct guest *g)
{
	unsigned n = 0;
	for (uint64_t i = 0; i < LOG_BYTES; i++)
		n += (unsigned)__builtin_popcount(g->bits[i]);
	return n;
}

void guest_fini(struct guest *g)
{
	for (unsigned i = 0; i < 3; i++)
		munmap(g->va[i], 2 * GUEST_SIZE);
	free((void *)g->bits);
	free(g->mem);
}

uint8_t *guest_at(const struct guest *g, uint64_t gpa)
{
	uint64_t len;
	unsigned hint = 0;
	uint8_t *p = vhost_gpa(g->mem, gpa, &len, &hint);
	if (!p)
		abort();
	return p;
}

uint8_t *vhost_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len, uint64_t *ret_gpa)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->r[i];
		if (uva - r->uva < r->size && len <= r->size - (uva - r->uva)) {
			*ret_gpa = r->gpa + (uva - r->uva);
			return r->va + (uva - r->uva);
		}
	}
	return NULL;
}

bool vhost_log_covers(const struct vhost_log *l, uint64_t gpa, uint64_t len)
{
	return len && gpa + len >= gpa && (gpa + len - 1) / VHOST_LOG_PAGE / 8 < l->bytes;
}

void vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len)
{
	if (!len)
		return;
	for (uint64_t p = gpa / VHOST_LOG_PAGE; p <= (gpa + len - 1) / VHOST_LOG_PAGE; p++) {
		if (p / 8 < l->bytes)
			atomic_fetch_or(&l->bits[p / 8], (uint8_t)(1 << p % 8));
	}
}
