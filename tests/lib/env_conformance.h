/* What every body of env must do, as one test that both bodies run. */
#ifndef TESTS_LIB_ENV_CONFORMANCE_H
#define TESTS_LIB_ENV_CONFORMANCE_H

#include "env/env.h"

struct env_body {
	const char *name;
	struct env *env;
	/* Runs turns until done() or a generous limit. */
	void (*run_until)(struct env_body *body, bool (*done)(void *owner), void *owner);
	/* From inside a callback: the loop stands still for this long. */
	void (*stall)(struct env_body *body, uint64_t us);
	const char *host; /* addresses are host:port */
	const char *dir;  /* an empty directory */
};

void env_conformance(struct env_body *body);

#endif /* TESTS_LIB_ENV_CONFORMANCE_H */
