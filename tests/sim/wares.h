/* The commerce bundle's files, read from the source tree before a run begins. */
#ifndef TESTS_SIM_WARES_H
#define TESTS_SIM_WARES_H

#include "base/err.h"
#include "base/limits.h"

struct wares {
	size_t count;
	char *names[LIMIT_BUNDLE_FILES]; /* "order/flash_buy.lua" */
	char *sources[LIMIT_BUNDLE_FILES];
	size_t lens[LIMIT_BUNDLE_FILES];
};

/* All *.lua below dir, in byte order. */
int wares_read(struct wares *wares, const char *dir, struct err *err);
void wares_fini(struct wares *wares);

#endif /* TESTS_SIM_WARES_H */
