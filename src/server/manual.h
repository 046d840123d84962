/* A line about each command, for COMMAND DOCS: what `redis-cli` shows for `help GET`, and while one types. */
#ifndef SERVER_MANUAL_H
#define SERVER_MANUAL_H

struct manual_entry {
	const char *name;  /* upper case, as in command/ */
	const char *words; /* behind the name; "" when nothing comes there */
	const char *summary;
};

/* NULL when there is none. */
const struct manual_entry *manual_find(const char *name);

#endif /* SERVER_MANUAL_H */
