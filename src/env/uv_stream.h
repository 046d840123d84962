/* Private to uv_stream.c, uv_dial.c and uv_name.c: one socket of the libuv body, and what each does for the others. */
#ifndef ENV_UV_STREAM_H
#define ENV_UV_STREAM_H

#include "env/uv_body.h"

#define UV_STREAM_PEER_BYTES 72

enum stream_state {
	STREAM_RESOLVING,
	STREAM_CONNECTING,
	STREAM_OPEN,
	STREAM_ENDED,
	STREAM_CLOSING,
	STREAM_GONE
};

struct uv_stream {
	struct env_stream stream;
	struct uv_env *e;
	struct list link; /* uv_env.streams, and uv_env.gone in the end */
	enum stream_state state;
	int status;   /* CLOSING: what closed will say */
	bool opening; /* connecting failed and opened has not been told */
	bool paused;
	int watched; /* events of the poll */
	int fd;
	uv_poll_t poll;
	bool polled;                       /* poll is initialised and not being closed */
	bool unpolling;                    /* its close has not been called back */
	struct uv_name *name;              /* that is dialled */
	struct list name_link;             /* among those who wait for its addresses */
	const struct addrinfo *next;       /* its addresses that are not dialled yet */
	struct list dials;                 /* addresses that are being dialled, each with a socket of its own */
	unsigned dial_count;
	struct env_timer dial_timer;
	const struct env_stream_events *events;
	void *owner;
	struct list queue; /* writes the kernel has not taken whole */
	size_t unsent;
	char peer[UV_STREAM_PEER_BYTES];
};

/* fd: consumed; -1 when there is none yet. */
struct uv_stream *uv_stream_new(struct uv_env *e, int fd);
/* Begins to watch its fd, which is new. */
int uv_stream_poll(struct uv_stream *s);
/* The events that its state asks for. */
void uv_stream_watch(struct uv_stream *s);
/* CLOSING, with what closed will say. */
void uv_stream_shut(struct uv_stream *s, int status);

/* Those of its name: NULL when it has none. */
void uv_dial_addresses(struct uv_stream *s, const struct addrinfo *found);
/* The addresses dialled so far have been silent for a while. */
void uv_dial_timer_cb(struct env_timer *timer);
/* No address any more, and no answer of the resolver: what dials is closed. */
void uv_dial_forget(struct uv_stream *s);

/* Its addresses are dialled, now or when the resolver answers. False when that cannot be asked. */
bool uv_name_join(struct uv_stream *s, const char *host, unsigned port);
void uv_name_leave(struct uv_stream *s);
/* None of its addresses connects: who dials it next asks the resolver. */
void uv_name_doubt(struct uv_stream *s);

#endif /* ENV_UV_STREAM_H */
