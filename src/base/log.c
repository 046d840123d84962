#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_event(struct log *log, enum log_level level, const char *event, const char *format, ...)
{
	if (log == NULL || level < log->level) {
		return;
	}
	char line[1024];
	int head = snprintf(line, sizeof(line), "%s %s %s ", log->node != NULL ? log->node : "-",
	                    level_names[level], event);
	if (head < 0 || (size_t)head >= sizeof(line)) {
		return;
	}
	va_list args;
	va_start(args, format);
	vsnprintf(line + head, sizeof(line) - (size_t)head, format, args);
	va_end(args);
	/* One event, one line, whatever the values hold. */
	for (char *c = line; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ') {
			*c = '?';
		}
	}
	log->sink(log->owner, level, line);
}

const char *log_escape(struct slice bytes, char *out, size_t max)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;
	out[at++] = '"';
	for (size_t i = 0; i < bytes.len; i++) {
		if (at + 4 > max) {
			memcpy(out + at, "...", 3);
			at += 3;
			break;
		}
		uint8_t c = bytes.data[i];
		if (c >= ' ' && c < 127 && c != '"' && c != '\\') {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}
