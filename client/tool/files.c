#include "client/tool/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 8

struct walk {
	struct tool *tool;
	struct files *files;
	const char *dir;
	const char *ending;
};

static int walk_add(struct walk *walk, const char *path, const char *name)
{
	struct files *files = walk->files;
	if (files->count == LIMIT_BUNDLE_FILES) {
		return tool_fail(walk->tool, TOOL_USAGE, "%s has more than %d files", walk->dir,
				 LIMIT_BUNDLE_FILES);
	}
	FILE *in = fopen(path, "re");
	char *source = malloc(LIMIT_SCRIPT_SOURCE + 1);
	size_t len = in != NULL && source != NULL ? fread(source, 1, LIMIT_SCRIPT_SOURCE + 1, in) : 0;
	bool fine = in != NULL && source != NULL && ferror(in) == 0;
	if (in != NULL) {
		fclose(in);
	}
	if (!fine || len > LIMIT_SCRIPT_SOURCE) {
		free(source);
		return fine ? tool_fail(walk->tool, TOOL_USAGE, "%s is over %zu bytes", path,
					LIMIT_SCRIPT_SOURCE)
			    : tool_fail(walk->tool, TOOL_USAGE, "cannot read %s: %s", path, strerror(errno));
	}
	files->names[files->count] = strdup(name);
	files->sources[files->count] = source;
	files->bytes[files->count++] = len;
	return 0;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t len = strlen(name);
	size_t end = strlen(ending);
	return len > end && strcmp(name + len - end, ending) == 0;
}

/* What cannot be looked at is told: a bundle without one of its files takes its procedures away. */
static int walk_dir(struct walk *walk, const char *prefix, unsigned depth)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s", walk->dir, prefix);
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	if (count < 0) {
		return tool_fail(walk->tool, TOOL_USAGE, "cannot read %s: %s", path, strerror(errno));
	}
	int code = 0;
	for (int i = 0; i < count; i++) {
		const char *entry = entries[i]->d_name;
		char name[512];
		char full[1600];
		struct stat stat_of;
		snprintf(name, sizeof(name), "%s%s", prefix, entry);
		snprintf(full, sizeof(full), "%s/%s", walk->dir, name);
		if (code != 0 || entry[0] == '.') {
			/* only freed below */
		} else if (stat(full, &stat_of) != 0) {
			code = tool_fail(walk->tool, TOOL_USAGE, "cannot read %s: %s", full, strerror(errno));
		} else if (S_ISDIR(stat_of.st_mode)) {
			bool tests = strcmp(name, "tests") == 0 && strcmp(walk->ending, ".lua") == 0;
			size_t len = strlen(name);
			if (!tests && (depth == DEPTH_MAX || len + 1 >= sizeof(name))) {
				code = tool_fail(walk->tool, TOOL_USAGE, "%s: folders are nested deeper than %d", full,
						 DEPTH_MAX);
			} else if (!tests) {
				memcpy(name + len, "/", 2);
				code = walk_dir(walk, name, depth + 1);
			}
		} else if (ends_in(name, walk->ending)) {
			code = walk_add(walk, full, name);
		}
		free(entries[i]);
	}
	free(entries);
	return code;
}

static void files_sort(struct files *files)
{
	/* A folder's files come where the folder's name stands; the whole is ordered by bytes. */
	for (size_t i = 1; i < files->count; i++) {
		for (size_t j = i; j > 0 && strcmp(files->names[j - 1], files->names[j]) > 0; j--) {
			char *name = files->names[j];
			char *source = files->sources[j];
			size_t bytes = files->bytes[j];
			files->names[j] = files->names[j - 1];
			files->sources[j] = files->sources[j - 1];
			files->bytes[j] = files->bytes[j - 1];
			files->names[j - 1] = name;
			files->sources[j - 1] = source;
			files->bytes[j - 1] = bytes;
		}
	}
}

int files_read(struct tool *tool, const char *dir, const char *ending, struct files *files)
{
	struct walk walk = {tool, files, dir, ending};
	files->count = 0;
	int code = dir[0] == '\0' ? tool_fail(tool, TOOL_USAGE, "which directory? \"\" is none")
				  : walk_dir(&walk, "", 0);
	if (code == 0 && files->count == 0) {
		code = tool_fail(tool, TOOL_USAGE, "there is no *%s file in %s", ending, dir);
	}
	if (code == 0) {
		files_sort(files);
	}
	return code;
}

void files_free(struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->names[i]);
		free(files->sources[i]);
	}
	files->count = 0;
}
