/* A guest's memory: what is refused, both translations, the log, and files that are cut short
 * under a reader.  CVE-2018-1059: a translation says how much is really there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap/vhost_mem.h"

#define SIZE UINT64_C(0x10000)
#define GPA  UINT64_C(0x100000)
#define UVA  UINT64_C(0x7f0000000000)

static int memory(uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct vhost_mem *with(struct vhost_mem *old, uint64_t gpa, uint64_t uva, uint64_t size,
			      uint64_t offset, int fd)
{
	struct vhost_region_msg m = {gpa, size, uva, offset};
	struct vhost_mem *mem = NULL;
	const char *why = NULL;

	assert_int_equal(vhost_mem_add(old, &m, fd, &mem, &why), 0);
	return mem;
}

static void refused(const struct vhost_mem *old, uint64_t gpa, uint64_t uva, uint64_t size,
		    uint64_t offset, int fd, int err)
{
	struct vhost_region_msg m = {gpa, size, uva, offset};
	struct vhost_mem *mem = NULL;
	const char *why = NULL;

	assert_int_equal(vhost_mem_add(old, &m, fd, &mem, &why), err);
	assert_null(mem);
	assert_non_null(why);
}

static void test_translate(void **state)
{
	int fd = memory(SIZE), fd2 = memory(3 * SIZE);
	uint64_t len, gpa;
	unsigned hint = 0;
	struct vhost_mem *m = with(NULL, GPA + SIZE, UVA, SIZE, SIZE, fd2), *one = m;

	m = with(one, GPA, UVA + SIZE, SIZE, 0, fd);
	vhost_mem_free(one); /* its region lives on in m */
	assert_int_equal(m->n, 2);
	assert_int_equal(m->r[0].gpa, GPA); /* sorted */
	assert_int_equal(vhost_mem_bytes(m), 2 * SIZE);
	*vhost_gpa(m, GPA + SIZE + 5, &len, &hint) = 77;
	assert_int_equal(len, SIZE - 5);
	assert_int_equal(hint, 1);
	uint8_t b = 0;
	assert_int_equal(pread(fd2, &b, 1, SIZE + 5), 1);
	assert_int_equal(b, 77);
	/* CVE-2018-1059: neighbours in gpa are not in va, and the length ends at the region */
	assert_non_null(vhost_gpa(m, GPA + SIZE - 1, &len, &hint));
	assert_int_equal(len, 1);
	assert_null(vhost_gpa(m, GPA - 1, &len, &hint));
	assert_null(vhost_gpa(m, GPA + 2 * SIZE, &len, &hint));
	assert_null(vhost_gpa(m, UINT64_MAX, &len, &hint));
	assert_non_null(vhost_uva(m, UVA, SIZE, &gpa));
	assert_int_equal(gpa, GPA + SIZE);
	assert_null(vhost_uva(m, UVA, SIZE + 1, &gpa)); /* the next one is another file */
	assert_null(vhost_uva(m, UVA + 1, UINT64_MAX, &gpa));
	assert_null(vhost_uva(m, UVA - 1, 1, &gpa));
	vhost_mem_free(m);
	close(fd);
	close(fd2);
}

static void test_refused(void **state)
{
	const uint64_t top = UINT64_MAX & ~UINT64_C(4095);
	int fd = memory(SIZE), pipes[2];
	struct vhost_mem *m = with(NULL, GPA, UVA, SIZE, 0, fd);

	assert_int_equal(pipe(pipes), 0);
	refused(m, GPA, UVA + SIZE, SIZE, 0, fd, -EEXIST);
	refused(m, GPA + SIZE - 4096, UVA + SIZE, 4096, 0, fd, -EEXIST);
	refused(m, GPA - 4096, UVA + SIZE, 8192, 0, fd, -EEXIST);
	refused(m, GPA + SIZE, UVA + 4096, 4096, 0, fd, -EEXIST);
	refused(m, GPA + SIZE, UVA + SIZE, 0, 0, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, SIZE + 4096, 0, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, 4096, SIZE, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, 4096, top, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, 8192, top, fd, -EINVAL);
	refused(m, top, UVA + SIZE, 8192, 0, fd, -EINVAL);
	refused(m, GPA + SIZE, top, 8192, 0, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, UINT64_MAX, 0, fd, -EINVAL);
	refused(m, GPA + SIZE + 1, UVA + SIZE, 4096, 0, fd, -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, 4096, 0, pipes[0], -EINVAL);
	refused(m, GPA + SIZE, UVA + SIZE, 4096, 0, -1, -EBADF);
	vhost_mem_free(m);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_many(void **state)
{
	int fd = memory(4096);
	struct vhost_mem *m = NULL, *next;

	for (unsigned i = 0; i < VHOST_REGIONS_MAX; i++) {
		next = with(m, GPA + i * 8192, UVA + i * 8192, 4096, 0, fd);
		vhost_mem_free(m);
		m = next;
	}
	refused(m, 0, 0, 4096, 0, fd, -ENOSPC);
	vhost_mem_free(m);
	close(fd);
}

static void test_remove(void **state)
{
	int fd = memory(SIZE);
	struct vhost_mem *one = with(NULL, GPA, UVA, SIZE, 0, fd);
	struct vhost_mem *two = with(one, 0, 0, 4096, 0, fd), *left = NULL;
	struct vhost_region_msg m = {GPA, SIZE, UVA, 4711};
	const char *why;

	assert_ptr_equal(one->r[0].va, two->r[1].va); /* mapped once */
	assert_int_equal(vhost_mem_remove(two, &m, &left, &why), 0);
	assert_int_equal(left->n, 1);
	vhost_mem_free(two);
	one->r[0].va[0] = 1; /* still there */
	m.size--;
	assert_int_equal(vhost_mem_remove(one, &m, &left, &why), -ENOENT);
	assert_int_equal(vhost_mem_remove(NULL, &m, &left, &why), -ENOENT);
	vhost_mem_free(one);
	vhost_mem_free(left);
	vhost_mem_free(NULL);
	close(fd);
}

/* A hugetlb file wants its own page size of mmap() and munmap(): an odd piece of one. */
static void test_hugetlb(void **state)
{
	const uint64_t huge = 2u << 20;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26 /* 2 MB */);

	if (fd < 0)
		skip();
	assert_int_equal(ftruncate(fd, 2 * (off_t)huge), 0);
	struct vhost_mem *m = with(NULL, 0, 0, huge, huge / 2, fd);
	assert_int_equal((uintptr_t)m->r[0].va % huge, huge / 2);
	vhost_mem_free(m);
	close(fd);
}

static void test_seals(void **state)
{
	int fd = memory(SIZE), loose = memory(SIZE);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	struct vhost_mem *m = with(NULL, GPA, UVA, SIZE, 0, fd);
	assert_true(vhost_mem_sealed(m));
	struct vhost_mem *n = with(m, 0, 0, SIZE, 0, loose);
	assert_false(vhost_mem_sealed(n));
	vhost_mem_free(m);
	vhost_mem_free(n);
	close(fd);
	close(loose);
}

static void test_log(void **state)
{
	int fd = memory(8192);
	struct vhost_log l = {0};
	uint8_t b[16];

	assert_int_equal(vhost_log_map(&l, fd, 4096, 4097), -EINVAL);
	/* CVE-2020-10722: offset and size that wrap */
	assert_int_equal(vhost_log_map(&l, fd, 4096, UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(vhost_log_map(&l, fd, UINT64_MAX - 4095, 4096), -EINVAL);
	assert_int_equal(vhost_log_map(&l, fd, 0, 0), -EINVAL);
	assert_int_equal(vhost_log_map(&l, fd, 4104, 4), 0);
	assert_true(vhost_log_covers(&l, 0, 4 * 8 * 4096));
	assert_false(vhost_log_covers(&l, 0, 4 * 8 * 4096 + 1));
	assert_false(vhost_log_covers(&l, UINT64_MAX, 2));
	assert_false(vhost_log_covers(&l, 0, 0));
	vhost_log_mark(&l, 4095, 1);
	vhost_log_mark(&l, 9 * 4096 - 1, 2);
	vhost_log_mark(&l, 31 * 4096, 1 << 20); /* beyond the end: ignored from there on */
	vhost_log_mark(&l, UINT64_MAX - 1, 4);
	vhost_log_mark(&l, UINT64_MAX, 1);
	vhost_log_mark(&l, 5 * 4096, 0);
	assert_int_equal(pread(fd, b, sizeof(b), 4104 - 4), sizeof(b));
	assert_memory_equal(b, "\0\0\0\0\x01\x03\0\x80\0\0\0\0\0\0\0\0", 16);
	vhost_log_unmap(&l);
	assert_null(l.bits);
	vhost_log_unmap(&l);
	close(fd);
}

/* ---- cut short ---- */

static void test_truncated(void **state)
{
	int fd = memory(SIZE), other = memory(SIZE);
	struct vhost_mem *a = with(NULL, GPA, UVA, SIZE, 0, fd);
	struct vhost_mem *b = with(a, 0, 0, SIZE, 0, other), *c = with(NULL, 0, 0, SIZE, 0, other);

	vhost_mem_guard();
	a->r[0].va[100] = 1;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_false(a->broken);
	assert_int_equal(*(volatile uint8_t *)&a->r[0].va[100], 0); /* zeroes, and reads on */
	a->r[0].va[SIZE - 1] = 5;
	assert_true(a->broken && b->broken); /* all that use it */
	assert_false(c->broken);
	struct vhost_mem *d = with(a, SIZE, SIZE, SIZE, 0, other);
	assert_true(d->broken); /* and what is made of it later */
	vhost_mem_free(a);
	vhost_mem_free(b);
	vhost_mem_free(c);
	vhost_mem_free(d);
	close(fd);
	close(other);
}

struct reader {
	struct vhost_mem *_Atomic mem;
	_Atomic bool stop, seen;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	unsigned sum = 0;

	while (!r->stop) {
		struct vhost_mem *m = r->mem;
		for (uint64_t at = 0; at < SIZE; at += 4096)
			sum += *(volatile uint8_t *)&m->r[0].va[at];
		if (m->broken)
			r->seen = true;
	}
	return (void *)(uintptr_t)sum;
}

/* Under readers, while main makes and frees objects that share the region. */
static void test_truncated_under_readers(void **state)
{
	vhost_mem_guard();
	for (unsigned round = 0; round < 50; round++) {
		int fd = memory(SIZE), other = memory(SIZE);
		struct vhost_mem *m = with(NULL, GPA, UVA, SIZE, 0, fd);
		struct reader r = {.mem = m};
		pthread_t t[2];
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&t[i], NULL, read_on, &r), 0);
		for (unsigned i = 0; i < 20; i++) {
			if (i == 10)
				assert_int_equal(ftruncate(fd, 4096), 0);
			vhost_mem_free(with(m, 0, 0, SIZE, 0, other));
		}
		while (!r.seen)
			usleep(100);
		r.stop = true;
		for (unsigned i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
		vhost_mem_free(m);
		close(fd);
		close(other);
	}
}

/* Every other SIGBUS kills as before. */
static void test_others_die(void **state)
{
	pid_t pid = fork();

	if (!pid) {
		int fd = memory(SIZE);
		signal(SIGBUS, SIG_DFL);
		vhost_mem_guard();
		volatile uint8_t *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
		if (ftruncate(fd, 0))
			_exit(1);
		_exit(p[0]);
	}
	int st = 0;
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	pid = fork();
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		vhost_mem_guard();
		raise(SIGBUS);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_translate),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_seals),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_truncated_under_readers),
		cmocka_unit_test(test_others_die),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
