/* A settings file: taken, or refused with a line that names the file; either answer is given twice. Settings
 * that were taken and hold together keep the promises that the node builds on. */
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_file(const char *path, struct node_config *config, struct err *err)
{
	struct config_reader reader;
	memset(config, 0, sizeof *config);
	memset(err, 0, sizeof *err);
	config_defaults(config);
	config_reader_init(&reader, config, err);
	int status = config_file(&reader, path);
	if (status != 0) {
		assert(err->code == status);
		assert(strncmp(err->text, path, strlen(path)) == 0);
	}
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node_config config, twin;
	struct err err, again;
	char path[64];
	int fd = memfd_create("settings", MFD_CLOEXEC);
	assert(fd >= 0);
	ssize_t written = write(fd, data, size);
	assert(written == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int status = read_file(path, &config, &err);
	int second = read_file(path, &twin, &again);
	assert(status == second && strcmp(err.text, again.text) == 0);
	assert(status != 0 || memcmp(&config, &twin, sizeof config) == 0);
	close(fd);
	if (status == 0 && config_finish(&config, &err) == 0) {
		assert(config.id > 0 && config.member_count > 0 && config.member_count <= LIMIT_MEMBERS);
		assert(config.election_ms > 2 * config.heartbeat_ms);
		assert(config.cluster_id != 0 && config.name[0] != '\0');
	}
	return 0;
}
