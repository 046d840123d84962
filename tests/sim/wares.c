#include "tests/sim/wares.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int read_file(struct wares *wares, const char *path, const char *name, struct err *err)
{
	FILE *in = fopen(path, "re");
	if (in == NULL || wares->count == LIMIT_BUNDLE_FILES) {
		return err_set(err, ERR_IO, "cannot read %s", path);
	}
	char *source = malloc(LIMIT_SCRIPT_SOURCE);
	if (source == NULL) {
		fatal("out of memory for %s", path);
	}
	wares->lens[wares->count] = fread(source, 1, LIMIT_SCRIPT_SOURCE, in);
	fclose(in);
	wares->sources[wares->count] = source;
	wares->names[wares->count++] = strdup(name);
	return 0;
}

static int read_dir(struct wares *wares, const char *dir, const char *prefix, struct err *err)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s", dir, prefix);
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	if (count < 0) {
		return err_set(err, ERR_IO, "cannot read %s", path);
	}
	int status = 0;
	for (int i = 0; i < count; i++) {
		char name[512], file[1600];
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix == '\0' ? "" : "/", entries[i]->d_name);
		snprintf(file, sizeof(file), "%s/%s", dir, name);
		struct stat stat_of;
		size_t len = strlen(name);
		if (status == 0 && entries[i]->d_name[0] != '.' && stat(file, &stat_of) == 0) {
			if (S_ISDIR(stat_of.st_mode)) {
				status = read_dir(wares, dir, name, err);
			} else if (len > 4 && strcmp(name + len - 4, ".lua") == 0) {
				status = read_file(wares, file, name, err);
			}
		}
		free(entries[i]);
	}
	free(entries);
	return status;
}

int wares_read(struct wares *wares, const char *dir, struct err *err)
{
	memset(wares, 0, sizeof(*wares));
	return read_dir(wares, dir, "", err);
}

void wares_fini(struct wares *wares)
{
	for (size_t i = 0; i < wares->count; i++) {
		free(wares->names[i]);
		free(wares->sources[i]);
	}
	wares->count = 0;
}
