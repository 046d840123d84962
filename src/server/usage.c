#include "server/usage.h"

#include <ctype.h>
#include <inttypes.h>

void usage_init(struct usage *usage)
{
	size_t count = 0;
	*usage = (struct usage){.first = command_table(&count)};
	assert(count <= USAGE_COMMANDS_MAX);
}

void usage_reset(struct usage *usage)
{
	memset(usage->counts, 0, sizeof usage->counts);
}

static void write_line(const struct command *command, const struct usage_count *count, struct buf *out)
{
	buf_append(out, "cmdstat_", 8);
	for (const char *letter = command->name; *letter != '\0'; letter++) {
		buf_appendf(out, "%c", tolower((unsigned char)*letter));
	}
	double each = count->calls == 0 ? 0 : (double)count->us / (double)count->calls;
	buf_appendf(out,
		    ":calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=%" PRIu64
		    ",failed_calls=%" PRIu64 "\r\n",
		    count->calls, count->us, each, count->rejected, count->failed);
}

void usage_write(const struct usage *usage, struct buf *out)
{
	size_t commands = 0;
	command_table(&commands);
	for (size_t i = 0; i < commands; i++) {
		const struct usage_count *count = &usage->counts[i];
		if (count->calls > 0 || count->rejected > 0) {
			write_line(&usage->first[i], count, out);
		}
	}
}
