/* One line an event, for operators: `2026-11-11T00:00:00.000Z n2 info
 * leader_elected term=7`. The sink decides where a line goes; a logger has no
 * clock and no file of its own. A blocked sink must not stop the data path:
 * that is the sink's duty. Values that come from outside are escaped. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
	enum log_level level; /* lines below are dropped */
	const char *node;     /* name in every line, borrowed */
	/* line has no newline; called on the node's loop thread only. */
	void (*sink)(void *owner, enum log_level level, const char *line);
	void *owner;
};

/* event is one snake_case word; format gives `key=value key=value`. NULL log: nothing. */
void log_event(struct log *log, enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* "debug", "info", …; false when text is none. */
bool log_level_parse(const char *text, enum log_level *level);
/* Printable copy of bytes: quotes, \xNN, cut at max with "…". out holds at least max + 8 bytes. */
const char *log_escape(struct slice bytes, char *out, size_t max);

#endif /* BASE_LOG_H */
