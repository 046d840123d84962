/* Files on the disk of a simulated host, and a work item that writes one. */
#ifndef TESTS_UNIT_SIM_WORLD_H
#define TESTS_UNIT_SIM_WORLD_H

#include "tests/sim/sim.h"

#define FILE_BYTES 4096

/* The whole file is fill. */
void put(struct env *env, const char *path, uint8_t fill, bool sync);
/* How many of the file's sectors are all of fill. -1: no file. */
int sectors_of(struct env *env, const char *path, uint8_t fill);

/* Puts "log" as 'n', and syncs it. */
struct log_job {
	struct env_work work; /* of log_run and log_done */
	struct env *env;
	bool done;
};
void log_run(struct env_work *work);
void log_done(struct env_work *work);

#endif /* TESTS_UNIT_SIM_WORLD_H */
