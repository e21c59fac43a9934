/* Runs a fuzz target over files or folders given as arguments: how the plain test run
 * replays the corpora, regressions included, without clang. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "net/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	uint8_t *buf = malloc(1 << 20);
	size_t n = fread(buf, 1, 1 << 20, f);
	fclose(f);
	uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees one byte too far */
	for (size_t i = 0; i < n; i++)
		exact[i] = buf[i];
	free(buf);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

static int run_dir(const char *path, unsigned *files)
{
	DIR *d = opendir(path);
	if (!d) {
		perror(path);
		return -1;
	}
	int r = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char name[4096];
		struct stat st;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (stat(name, &st) == 0 && S_ISREG(st.st_mode)) {
			r |= run_file(name);
			(*files)++;
		}
	}
	closedir(d);
	return r;
}

int main(int argc, char **argv)
{
	unsigned files = 0;
	for (int i = 1; i < argc; i++) {
		if (run_dir(argv[i], &files))
			return 1;
	}
	printf("%u inputs\n", files);
	return files == 0;
}
