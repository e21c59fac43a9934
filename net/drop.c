/* Names and sentences of the drop reasons, from the one list in drop.h. */
#include "net/drop.h"

static const struct {
	const char *name, *text;
} reasons[DROP_COUNT] = {
	[DROP_NONE] = {"none", "not dropped"},
#define X(id, name, text) [DROP_##id] = {name, text},
	DROP_LIST(X)
#undef X
};

const char *drop_name(enum drop_reason r)
{
	return (unsigned)r < DROP_COUNT ? reasons[r].name : "?";
}

const char *drop_text(enum drop_reason r)
{
	return (unsigned)r < DROP_COUNT ? reasons[r].text : "?";
}
