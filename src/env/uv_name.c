/* What the resolver says of a name, for those who dial it.
 *
 * It is asked once, however many dial the name, and heard when they have given up meanwhile: where the first of its
 * servers is dead it takes five seconds for each answer, more than anybody has who wants a connection. Who comes
 * again within LIMIT_NAME_MS of the answer uses it. No failure is kept, nor are addresses of which none connects.
 *
 * A name stands in uv_env.names while it may be used. Its memory goes when it does not stand there any more, has its
 * answer, and no stream dials it. */
#include "env/uv_stream.h"

#include "base/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct uv_name {
	uv_getaddrinfo_t request;
	struct uv_env *e;
	struct list link;    /* in uv_env.names */
	struct list waiting; /* streams, for the answer */
	unsigned users;      /* streams that dial it, and the resolver while it is asked */
	bool asked;          /* and has not answered */
	struct addrinfo *found;
	uint64_t until_us;
	unsigned port;
	char host[];
};

static void name_drop(struct uv_name *name)
{
	if (name->users == 0 && list_empty(&name->link)) {
		uv_freeaddrinfo(name->found);
		free(name);
	}
}

static void name_unuse(struct uv_name *name)
{
	assert(name->users > 0);
	name->users--;
	name_drop(name);
}

static void name_answered_cb(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct uv_name *name = list_entry(request, struct uv_name, request);
	struct uv_env *e = name->e;
	name->asked = false;
	name->found = found; /* NULL when status is an error */
	name->until_us = env_now_us(&e->env) + LIMIT_NAME_MS * 1000;
	if (found == NULL) {
		list_remove(&name->link);
	}
	struct list *link;
	while ((link = list_pop(&name->waiting)) != NULL) {
		uv_dial_addresses(list_entry(link, struct uv_stream, name_link), found);
	}
	name_unuse(name);
	uv_env_uncount(e);
}

/* NULL when there is none, or it is too old. */
static struct uv_name *name_find(struct uv_env *e, const char *host, unsigned port)
{
	uint64_t now_us = env_now_us(&e->env);
	struct list *link = e->names.next;
	while (link != &e->names) {
		struct uv_name *name = list_entry(link, struct uv_name, link);
		link = link->next;
		if (!name->asked && name->until_us <= now_us) {
			list_remove(&name->link);
			name_drop(name);
		} else if (name->port == port && strcmp(name->host, host) == 0) {
			return name;
		}
	}
	return NULL;
}

/* NULL when the resolver cannot be asked. */
static struct uv_name *name_ask(struct uv_env *e, const char *host, unsigned port)
{
	size_t size = strlen(host) + 1;
	struct uv_name *name = calloc(1, sizeof(*name) + size);
	if (name == NULL) {
		fatal("out of memory resolving %s", host);
	}
	memcpy(name->host, host, size);
	name->e = e;
	name->port = port;
	list_init(&name->link);
	list_init(&name->waiting);
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	if (uv_getaddrinfo(e->loop, &name->request, name_answered_cb, host, service, &hints) != 0) {
		free(name);
		return NULL;
	}
	uv_env_count(e);
	name->asked = true;
	name->users = 1;
	list_append(&e->names, &name->link);
	return name;
}

bool uv_name_join(struct uv_stream *s, const char *host, unsigned port)
{
	struct uv_name *name = name_find(s->e, host, port);
	if (name == NULL) {
		name = name_ask(s->e, host, port);
	}
	if (name == NULL) {
		return false;
	}
	s->name = name;
	name->users++;
	if (name->asked) {
		list_append(&name->waiting, &s->name_link);
	} else {
		uv_dial_addresses(s, name->found);
	}
	return true;
}

void uv_name_leave(struct uv_stream *s)
{
	struct uv_name *name = s->name;
	if (name != NULL) {
		s->name = NULL;
		list_remove(&s->name_link);
		name_unuse(name);
	}
}

void uv_name_doubt(struct uv_stream *s)
{
	if (s->name != NULL) {
		list_remove(&s->name->link);
	}
}

void uv_name_close_all(struct uv_env *e)
{
	struct list *link;
	while ((link = list_pop(&e->names)) != NULL) {
		struct uv_name *name = list_entry(link, struct uv_name, link);
		if (name->asked) {
			uv_cancel((uv_req_t *)&name->request); /* one that the resolver is at is waited for */
		}
		name_drop(name);
	}
}
