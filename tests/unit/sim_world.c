#include "tests/unit/sim_world.h"

#include <string.h>

void put(struct env *env, const char *path, uint8_t fill, bool sync)
{
	static uint8_t bytes[FILE_BYTES];
	memset(bytes, fill, sizeof(bytes));
	struct env_file *file;
	if (env_file_open(env, path, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE, &file) != 0) {
		return;
	}
	env_file_write(file, 0, bytes, sizeof(bytes));
	if (sync) {
		env_file_sync(file);
	}
	env_file_close(file);
}

int sectors_of(struct env *env, const char *path, uint8_t fill)
{
	static uint8_t bytes[FILE_BYTES];
	struct env_file *file;
	if (env_file_open(env, path, ENV_FILE_READ, &file) != 0) {
		return -1;
	}
	size_t got;
	env_file_read(file, 0, bytes, sizeof(bytes), &got);
	env_file_close(file);
	int count = 0;
	for (size_t at = 0; at + 512 <= got; at += 512) {
		bool whole = true;
		for (size_t i = 0; i < 512; i++) {
			whole = whole && bytes[at + i] == fill;
		}
		count += whole;
	}
	return count;
}

void log_run(struct env_work *work)
{
	struct log_job *job = list_entry(work, struct log_job, work);
	put(job->env, "log", 'n', true);
}

void log_done(struct env_work *work)
{
	list_entry(work, struct log_job, work)->done = true;
}
