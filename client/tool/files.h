/* The files of a bundle's directory, in byte order of their names. */
#ifndef CLIENT_TOOL_FILES_H
#define CLIENT_TOOL_FILES_H

#include "base/limits.h"
#include "client/tool/tool.h"

struct files {
	size_t count;
	char *names[LIMIT_BUNDLE_FILES]; /* "order/flash_buy.lua" */
	char *sources[LIMIT_BUNDLE_FILES];
	size_t bytes[LIMIT_BUNDLE_FILES];
};

/* Every file below dir whose name ends in ending; hidden ones and, for ".lua", the folder
 * tests/ are left out. 0, or an exit code after a line was printed. */
int files_read(struct tool *tool, const char *dir, const char *ending, struct files *files);
void files_free(struct files *files);

#endif /* CLIENT_TOOL_FILES_H */
