/* A guest's memory as the frontend gave it to us: regions of shared files, mapped here.
 *
 * Two address spaces lead in: guest physical addresses (gpa), which stand in
 * descriptors, and the frontend's own virtual ones (uva), which SET_VRING_ADDR uses.  A
 * region is contiguous in both.  Nothing a guest or a frontend says is believed: sizes
 * are checked for wrap and against the file, regions must not overlap, and a
 * translation tells how many bytes from there are really mapped (CVE-2018-1059).
 *
 * A frontend may cut its file short while we are looking at it.  Files that are sealed
 * against that (F_SEAL_SHRINK) cannot; for all others a SIGBUS is caught: the region is
 * replaced with zeroes, `broken` is set, whoever was reading reads on harmlessly, and the port
 * is closed after the burst.  The dirty log and the in-flight area are files of the frontend's,
 * too, and go the same way (vhost_mem_beside).
 *
 * An object is immutable but for the dirty log's bits and `broken`: main builds a new one
 * for every change, parks the rings that use the old one, swaps, and frees the old one.
 * Regions shared by both are mapped once (reference counted, main only).
 *
 * Dirty log (live migration): a bit for each 4 KB page of guest physical memory, set with
 * an atomic or after the page was written and before the used index says so. */
#ifndef TAP_VHOST_MEM_H
#define TAP_VHOST_MEM_H

#include <stdatomic.h>

#include "net/types.h"

#define VHOST_REGIONS_MAX 509u /* what GET_MAX_MEM_SLOTS answers; libvhost-user's and rust-vmm's number */
#define VHOST_LOG_PAGE	  4096u

struct vhost_map; /* one mapping, shared by successive objects */

struct vhost_region {
	uint64_t gpa, uva, size;
	uint8_t *va; /* where gpa is mapped here */
	struct vhost_map *map;
};

struct vhost_log {
	_Atomic uint8_t *bits; /* NULL: not logging */
	uint64_t bytes;
	void *map;
	size_t map_len;
};

/* Files beside the regions whose loss breaks the object too. */
enum vhost_beside { VHOST_BESIDE_LOG, VHOST_BESIDE_INFLIGHT, VHOST_BESIDE_COUNT };

struct vhost_mem {
	unsigned n;
	_Atomic bool broken;	/* a file was cut short: the port must be closed */
	const void *beside[VHOST_BESIDE_COUNT]; /* where they are mapped; NULL */
	struct vhost_log *log;	/* NULL while nothing is logged; the device's own */
	struct vhost_region r[]; /* sorted by gpa */
};

/* One region as it stands in SET_MEM_TABLE and ADD_MEM_REG. */
struct vhost_region_msg {
	uint64_t gpa, size, uva, mmap_offset;
};

/* A new object with `old`'s regions (may be NULL) and one more.  fd stays the caller's.
 * -EINVAL size, wrap, file too small; -EEXIST overlaps; -ENOSPC too many; -errno of mmap().
 * *ret_why gets a sentence for people. */
int vhost_mem_add(const struct vhost_mem *old, const struct vhost_region_msg *m, int fd,
		  struct vhost_mem **ret_mem, const char **ret_why);
/* The same without the region that gpa, uva and size name; -ENOENT. */
int vhost_mem_remove(const struct vhost_mem *old, const struct vhost_region_msg *m,
		     struct vhost_mem **ret_mem, const char **ret_why);
void vhost_mem_free(struct vhost_mem *m); /* accepts NULL; the log stays its owner's */
uint64_t vhost_mem_bytes(const struct vhost_mem *m); /* accepts NULL */
bool vhost_mem_sealed(const struct vhost_mem *m);    /* no file of it can be cut short */
/* Before the first region; again is harmless.  Catches SIGBUS in mapped regions, and passes
 * every other one on to what was there before. */
void vhost_mem_guard(void);

/* Other memory shared with a frontend, checked and guarded in the same way: `size` bytes at
 * `offset` of fd, from s->at on.  -EINVAL, -ENOSPC, -errno of mmap(). */
struct vhost_shm {
	uint8_t *at;
	void *base; /* NULL: nothing is mapped */
	size_t len;
};
int vhost_shm_map(int fd, uint64_t offset, uint64_t size, struct vhost_shm *ret_shm,
		  const char **ret_why);
void vhost_shm_unmap(struct vhost_shm *s); /* fine when nothing is mapped */
bool vhost_shm_broken(const struct vhost_shm *s); /* cut short, and met */
/* From now on `broken` tells of s as well, or (NULL) no longer.  Before s is unmapped every object
 * must have been told NULL, or freed. */
void vhost_mem_beside(struct vhost_mem *m, enum vhost_beside which, const struct vhost_shm *s);

/* The log of SET_LOG_BASE: `bytes` at `offset` of fd, which must cover every page of the
 * regions.  -EINVAL, -errno of mmap(). */
int vhost_log_map(struct vhost_log *l, int fd, uint64_t offset, uint64_t bytes);
void vhost_log_unmap(struct vhost_log *l);
struct vhost_shm vhost_log_shm(const struct vhost_log *l);
bool vhost_log_covers(const struct vhost_log *l, uint64_t gpa, uint64_t len);

/* Where [gpa, gpa + 1) is, and in *ret_len how many bytes from there on are mapped
 * contiguously; NULL when nowhere.  `hint` caches the index of the last region; start with 0. */
static inline uint8_t *vhost_gpa(const struct vhost_mem *m, uint64_t gpa, uint64_t *ret_len,
				 unsigned *hint)
{
	const struct vhost_region *r = &m->r[*hint];

	if (likely(*hint < m->n && gpa - r->gpa < r->size)) {
		*ret_len = r->size - (gpa - r->gpa);
		return r->va + (gpa - r->gpa);
	}
	for (unsigned i = 0; i < m->n; i++) {
		r = &m->r[i];
		if (gpa - r->gpa < r->size) {
			*hint = i;
			*ret_len = r->size - (gpa - r->gpa);
			return r->va + (gpa - r->gpa);
		}
	}
	return NULL;
}

/* [uva, uva + len) as one contiguous piece (rings must be), and its gpa; NULL when it is not. */
uint8_t *vhost_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len, uint64_t *ret_gpa);

/* Marks the pages of [gpa, gpa + len); what lies beyond the log is ignored. */
void vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len);

#endif
