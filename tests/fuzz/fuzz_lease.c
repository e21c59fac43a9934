/* The lease journal's lines: what parses must print and parse to the same again. */
#include <stdlib.h>
#include <string.h>

#include "dhcp/lease_journal.h"

#define LINE_MAX_ 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char line[LINE_MAX_], again[LINE_MAX_];
	static struct lease_record a, b;
	if (len >= sizeof(line))
		return 0;
	memcpy(line, data, len);
	line[len] = 0;
	if (lease_record_parse(line, &a))
		return 0;
	int n = lease_record_format(&a, again, sizeof(again));
	if (n < 2)
		abort();
	again[n - 1] = 0;
	if (lease_record_parse(again, &b) || memcmp(&a, &b, sizeof(a)))
		abort();
	return 0;
}
