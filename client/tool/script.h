/* A bundle on its way to a cluster: shared by the script commands and the benches. */
#ifndef CLIENT_TOOL_SCRIPT_H
#define CLIENT_TOOL_SCRIPT_H

#include "client/tool/files.h"
#include "client/tool/local.h"
#include "client/tool/tool.h"

/* `TALLY BUNDLE verb name file source …`; NULL when there is no client. */
const struct tally_call *script_send(struct tool *tool, const char *verb, const char *name,
				     const struct files *files);
/* The bundle's name: given, or the last part of its directory. */
void script_name(const char *dir, const char *given, char *name, size_t size);
/* Where the commerce bundle is: given, beside the build, or installed. False when nowhere. */
bool script_commerce(const char *given, char *dir, size_t size);

#endif /* CLIENT_TOOL_SCRIPT_H */
