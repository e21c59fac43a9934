/* Mapping a guest's memory, and surviving that its owner cuts the files short.
 *
 * The SIGBUS handler may run on any thread that touches a region.  What it reads is
 * static and atomic: a table of mapped ranges, each with the objects that use it.  It
 * never frees, never locks, and an object is not freed while a handler is inside. */
#include "tap/vhost_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

/* ---- the guard ---- */

#define GUARDS	    8192u /* mapped ranges of the whole process: regions, logs, inflight areas */
#define GUARD_USERS 3u	  /* an object, the one that replaces it, one being built */

struct guard {
	_Atomic uintptr_t base; /* 0: free */
	_Atomic size_t len;
	_Atomic bool hit;
	_Atomic(struct vhost_mem *) user[GUARD_USERS];
};
static struct guard guards[GUARDS];
static _Atomic unsigned guards_high;  /* no entry in use at or above it */
static _Atomic unsigned guard_inside; /* handlers that may hold a pointer to an object */
static struct sigaction guard_before;

/* Handles the fault at `addr`; false when it is none of ours. */
static bool guard_hit(uintptr_t addr)
{
	unsigned n = atomic_load(&guards_high);

	for (unsigned i = 0; i < n; i++) {
		struct guard *g = &guards[i];
		uintptr_t base = atomic_load(&g->base);
		size_t len = atomic_load(&g->len);
		if (!base || addr - base >= len)
			continue;
		/* Not mmap(): nothing that a library may have put around it is for a handler. */
		if (syscall(SYS_mmap, base, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == -1)
			return false;
		atomic_store(&g->hit, true);
		for (unsigned u = 0; u < GUARD_USERS; u++) {
			struct vhost_mem *m = atomic_load(&g->user[u]);
			if (m)
				atomic_store(&m->broken, true);
		}
		return true;
	}
	return false;
}

/* What would have happened without us. */
static void guard_chain(int signo, siginfo_t *si, void *context)
{
	if (guard_before.sa_flags & SA_SIGINFO) {
		guard_before.sa_sigaction(signo, si, context);
	} else if (guard_before.sa_handler != SIG_DFL && guard_before.sa_handler != SIG_IGN) {
		guard_before.sa_handler(signo);
	} else {
		/* The access is repeated when we return, and kills; a signal that was sent is
		 * sent again. */
		signal(SIGBUS, guard_before.sa_handler);
		if (si->si_code <= 0)
			raise(SIGBUS);
	}
}

static void on_sigbus(int signo, siginfo_t *si, void *context)
{
	int saved = errno;
	bool ours = false;

	if (si->si_code > 0) { /* of an access, not of kill() */
		atomic_fetch_add(&guard_inside, 1);
		ours = guard_hit((uintptr_t)si->si_addr);
		atomic_fetch_sub(&guard_inside, 1);
	}
	if (!ours)
		guard_chain(signo, si, context);
	errno = saved;
}

void vhost_mem_guard(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) < 0 || now.sa_sigaction == on_sigbus)
		return;
	guard_before = now;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

static struct guard *guard_of(const void *base)
{
	for (unsigned i = 0; i < atomic_load(&guards_high); i++)
		if (atomic_load(&guards[i].base) == (uintptr_t)base)
			return &guards[i];
	return NULL;
}

static int guard_add(void *base, size_t len)
{
	for (unsigned i = 0; i < GUARDS; i++) {
		struct guard *g = &guards[i];
		if (atomic_load(&g->base))
			continue;
		atomic_store(&g->hit, false);
		for (unsigned u = 0; u < GUARD_USERS; u++)
			atomic_store(&g->user[u], NULL);
		atomic_store(&g->len, len);
		if (i >= atomic_load(&guards_high))
			atomic_store(&guards_high, i + 1);
		atomic_store(&g->base, (uintptr_t)base); /* last: it counts from here on */
		return 0;
	}
	return -ENOSPC;
}

static void guard_del(const void *base)
{
	struct guard *g = guard_of(base);

	if (g)
		atomic_store(&g->base, 0);
}

static void guard_use(const void *base, struct vhost_mem *m)
{
	struct guard *g = guard_of(base);

	for (unsigned u = 0; g && u < GUARD_USERS; u++) {
		if (atomic_load(&g->user[u]))
			continue;
		atomic_store(&g->user[u], m);
		if (atomic_load(&g->hit)) /* before, or just now */
			atomic_store(&m->broken, true);
		return;
	}
}

static void guard_unuse(const void *base, const struct vhost_mem *m)
{
	struct guard *g = guard_of(base);

	for (unsigned u = 0; g && u < GUARD_USERS; u++)
		if (atomic_load(&g->user[u]) == m)
			atomic_store(&g->user[u], NULL);
}

/* ---- mapping ---- */

struct vhost_map {
	unsigned refs;
	void *base;
	size_t len;
	bool sealed;
};

static const char *const why_file = "the file is smaller than it should be";

/* The page size of the file: mmap() and munmap() of hugetlb want multiples of its own. */
static uint64_t page_of(int fd, const struct statfs *fs)
{
	return fs->f_type == HUGETLBFS_MAGIC ? (uint64_t)fs->f_bsize : (uint64_t)getpagesize();
}

/* Whether [offset, offset + size) can be mapped at all: -EINVAL with a sentence. */
static int check_file(int fd, uint64_t offset, uint64_t size, uint64_t *ret_page,
		      const char **ret_why)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
		*ret_why = "the descriptor cannot be examined";
		return -errno;
	}
	if (!S_ISREG(st.st_mode)) {
		*ret_why = "the descriptor is no memory file";
		return -EINVAL;
	}
	if (fs.f_type == FUSE_SUPER_MAGIC) { /* each page fault would wait for whoever serves it */
		*ret_why = "the file is served by another process (FUSE)";
		return -EINVAL;
	}
	if (offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset) {
		*ret_why = why_file;
		return -EINVAL;
	}
	*ret_page = page_of(fd, &fs);
	return 0;
}

int vhost_shm_map(int fd, uint64_t offset, uint64_t size, struct vhost_shm *ret_shm,
		  const char **ret_why)
{
	uint64_t page;

	if (!size || size > INT64_MAX || offset > INT64_MAX - size) {
		*ret_why = "size zero, or offset and size wrap around";
		return -EINVAL;
	}
	int r = check_file(fd, offset, size, &page, ret_why);
	if (r)
		return r;
	uint64_t first = offset & ~(page - 1);
	size_t len = (offset + size - first + page - 1) & ~(page - 1);
	void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			  (off_t)first);
	if (base == MAP_FAILED) {
		*ret_why = "the file cannot be mapped";
		return -errno;
	}
	r = guard_add(base, len);
	if (r) {
		*ret_why = "too many regions in the whole switch";
		munmap(base, len);
		return r;
	}
	madvise(base, len, MADV_DONTDUMP); /* a guest's memory is not for our core dumps */
	*ret_shm = (struct vhost_shm){
		.at = (uint8_t *)base + (offset - first), .base = base, .len = len};
	return 0;
}

void vhost_shm_unmap(struct vhost_shm *s)
{
	if (!s->base)
		return;
	guard_del(s->base);
	munmap(s->base, s->len);
	*s = (struct vhost_shm){0};
}

bool vhost_shm_broken(const struct vhost_shm *s)
{
	struct guard *g = s->base ? guard_of(s->base) : NULL;

	return g && atomic_load(&g->hit);
}

void vhost_mem_beside(struct vhost_mem *m, enum vhost_beside which, const struct vhost_shm *s)
{
	const void *base = s ? s->base : NULL;

	if (m->beside[which] == base)
		return;
	if (m->beside[which])
		guard_unuse(m->beside[which], m);
	if (base)
		guard_use(base, m);
	m->beside[which] = base;
}

static void map_put(struct vhost_map *map)
{
	if (--map->refs)
		return;
	struct vhost_shm s = {.base = map->base, .len = map->len};
	vhost_shm_unmap(&s);
	free(map);
}

/* ---- regions ---- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a - b < b_size || b - a < a_size;
}

/* What can be told without the file. */
static int check_region(const struct vhost_mem *old, const struct vhost_region_msg *m,
			const char **ret_why)
{
	if (!m->size || m->gpa + m->size < m->gpa || m->uva + m->size < m->uva ||
	    m->mmap_offset + m->size < m->mmap_offset) {
		*ret_why = "a region of size zero, or one that wraps around";
		return -EINVAL;
	}
	/* Then what is aligned for the driver is aligned for us. */
	if ((m->gpa ^ m->uva) % VHOST_LOG_PAGE || (m->gpa ^ m->mmap_offset) % VHOST_LOG_PAGE) {
		*ret_why = "a region whose addresses and offset differ within a page";
		return -EINVAL;
	}
	if (old && old->n >= VHOST_REGIONS_MAX) {
		*ret_why = "too many regions";
		return -ENOSPC;
	}
	for (unsigned i = 0; old && i < old->n; i++) {
		const struct vhost_region *r = &old->r[i];
		if (overlap(r->gpa, r->size, m->gpa, m->size) ||
		    overlap(r->uva, r->size, m->uva, m->size)) {
			*ret_why = "regions overlap";
			return -EEXIST;
		}
	}
	return 0;
}

static int map_region(const struct vhost_region_msg *m, int fd, struct vhost_region *ret_region,
		      const char **ret_why)
{
	struct vhost_shm s;
	struct vhost_map *map = malloc(sizeof(*map));

	if (!map) {
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	int r = vhost_shm_map(fd, m->mmap_offset, m->size, &s, ret_why);
	if (r) {
		free(map);
		return r;
	}
	int seals = fcntl(fd, F_GET_SEALS);
	*map = (struct vhost_map){.base = s.base, .len = s.len,
				  .sealed = seals >= 0 && seals & F_SEAL_SHRINK};
	*ret_region = (struct vhost_region){
		.gpa = m->gpa, .uva = m->uva, .size = m->size, .va = s.at, .map = map};
	return 0;
}

static struct vhost_mem *mem_alloc(unsigned n, const struct vhost_mem *old)
{
	struct vhost_mem *m = calloc(1, sizeof(*m) + n * sizeof(m->r[0]));

	if (m && old)
		m->log = old->log;
	return m;
}

/* Appends a region of which m holds a reference from then on. */
static void mem_append(struct vhost_mem *m, const struct vhost_region *r)
{
	m->r[m->n++] = *r;
	r->map->refs++;
	guard_use(r->map->base, m);
}

int vhost_mem_add(const struct vhost_mem *old, const struct vhost_region_msg *m, int fd,
		  struct vhost_mem **ret_mem, const char **ret_why)
{
	struct vhost_region region;
	unsigned n = old ? old->n : 0, i = 0;
	int r = check_region(old, m, ret_why);

	if (r)
		return r;
	struct vhost_mem *mem = mem_alloc(n + 1, old);
	if (!mem) {
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	r = map_region(m, fd, &region, ret_why);
	if (r) {
		free(mem);
		return r;
	}
	while (i < n && old->r[i].gpa < m->gpa)
		mem_append(mem, &old->r[i++]);
	mem_append(mem, &region);
	while (i < n)
		mem_append(mem, &old->r[i++]);
	*ret_mem = mem;
	return 0;
}

int vhost_mem_remove(const struct vhost_mem *old, const struct vhost_region_msg *m,
		     struct vhost_mem **ret_mem, const char **ret_why)
{
	unsigned n = old ? old->n : 0, at = 0;

	/* The offset is not looked at: frontends differ in what they put there. */
	while (at < n && (old->r[at].gpa != m->gpa || old->r[at].uva != m->uva ||
			  old->r[at].size != m->size))
		at++;
	if (at == n) {
		*ret_why = "no such region";
		return -ENOENT;
	}
	struct vhost_mem *mem = mem_alloc(n, old);
	if (!mem) {
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	for (unsigned i = 0; i < n; i++)
		if (i != at)
			mem_append(mem, &old->r[i]);
	*ret_mem = mem;
	return 0;
}

void vhost_mem_free(struct vhost_mem *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n; i++)
		guard_unuse(m->r[i].map->base, m);
	for (unsigned i = 0; i < VHOST_BESIDE_COUNT; i++)
		vhost_mem_beside(m, (enum vhost_beside)i, NULL);
	/* A handler that has read one of the pointers just cleared writes to m yet. */
	while (atomic_load(&guard_inside))
		sched_yield();
	for (unsigned i = 0; i < m->n; i++)
		map_put(m->r[i].map);
	free(m);
}

uint64_t vhost_mem_bytes(const struct vhost_mem *m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; m && i < m->n; i++)
		sum += m->r[i].size;
	return sum;
}

bool vhost_mem_sealed(const struct vhost_mem *m)
{
	for (unsigned i = 0; m && i < m->n; i++)
		if (!m->r[i].map->sealed)
			return false;
	return true;
}

uint8_t *vhost_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len, uint64_t *ret_gpa)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->r[i];
		uint64_t at = uva - r->uva;
		if (at >= r->size)
			continue;
		if (len > r->size - at)
			return NULL;
		*ret_gpa = r->gpa + at;
		return r->va + at;
	}
	return NULL;
}

/* ---- the dirty log ---- */

int vhost_log_map(struct vhost_log *l, int fd, uint64_t offset, uint64_t bytes)
{
	struct vhost_shm s;
	const char *why;
	int r = vhost_shm_map(fd, offset, bytes, &s, &why);

	if (r)
		return r;
	*l = (struct vhost_log){
		.bits = (_Atomic uint8_t *)s.at, .bytes = bytes, .map = s.base, .map_len = s.len};
	return 0;
}

struct vhost_shm vhost_log_shm(const struct vhost_log *l)
{
	return (struct vhost_shm){.at = (uint8_t *)l->bits, .base = l->map, .len = l->map_len};
}

void vhost_log_unmap(struct vhost_log *l)
{
	struct vhost_shm s = vhost_log_shm(l);

	vhost_shm_unmap(&s);
	*l = (struct vhost_log){0};
}

bool vhost_log_covers(const struct vhost_log *l, uint64_t gpa, uint64_t len)
{
	uint64_t last = gpa + len - 1;

	return len && last >= gpa && last / VHOST_LOG_PAGE / 8 < l->bytes;
}

void vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa / VHOST_LOG_PAGE, last = (gpa + len - 1) / VHOST_LOG_PAGE;

	if (!len || gpa + len - 1 < gpa)
		return;
	for (; page <= last && page / 8 < l->bytes; page++) {
		_Atomic uint8_t *byte = &l->bits[page / 8];
		uint8_t bit = (uint8_t)(1u << page % 8);
		/* Always written: a test first would be a hole, for the frontend takes bits away
		 * while we look. */
		atomic_fetch_or_explicit(byte, bit, memory_order_release);
	}
}
