/* Who may come in: the hellos of both sides against what each remembers of the other's lives
 * (lives.h; docs/decisions/0008-founding.md). */
#include "raft/peer/transport_private.h"

#include <assert.h>

bool transport_may_say(struct transport *transport)
{
	bool may = transport->lines < LINES_MAX;
	transport->lines += may;
	transport->lines_dropped += !may;
	assert(transport->lines <= LINES_MAX);
	return may;
}

void transport_say_dropped(struct transport *transport)
{
	if (transport->lines_dropped > 0) {
		log_event(transport->config.log, LOG_WARN, "peer_lines_dropped", "count=%llu",
			  (unsigned long long)transport->lines_dropped);
	}
	transport->lines = 0;
	transport->lines_dropped = 0;
}

bool transport_make_room(struct transport *transport)
{
	size_t greeting = 0;
	struct link *longest = NULL;
	list_for_each (at, &transport->accepted) {
		struct link *link = list_entry(at, struct link, siblings);
		greeting += link->state == LINK_GREETING;
		longest = longest == NULL && link->state == LINK_GREETING && !link->waiting ? link : longest;
	}
	if (greeting >= TRANSPORT_GREETING_MAX && longest != NULL) {
		link_drop(longest);
		greeting--;
	}
	assert(greeting <= TRANSPORT_GREETING_MAX);
	return greeting < TRANSPORT_GREETING_MAX;
}

/* NULL when it may; else what is set wrong, and where, for the line with its cluster, from and to. */
static const char *keeps_out(const struct transport *transport, const struct link *link,
			     const struct hello *hello)
{
	if (hello->cluster_id != transport->config.cluster_id) {
		return "it is of another cluster: compare the setting cluster of both, and the addresses in "
		       "the "
		       "member lines";
	}
	if (hello->to_id != transport->config.id) {
		return "its member lines give our address to member to=: correct them there, or our id here";
	}
	if (link->dialed && (hello->from_id != link->hello.to_id || hello->kind != link->hello.kind)) {
		return "at the address of another member's line of ours answers from=: correct the line here";
	}
	if (!link->dialed && transport_find(transport, hello->from_id) == NULL) {
		return "no other member of ours has the id from=: correct the id there, or the member lines";
	}
	return NULL;
}

/* A member that connects again has forgotten its older connections of that kind. What we dialed to an earlier
 * life of it is dead, also when no reset came, as after a power cut: dialed again at once. */
static void drop_older(struct transport *transport, const struct link *link)
{
	assert(!link->dialed);
	list_for_each (at, &transport->accepted) {
		struct link *other = list_entry(at, struct link, siblings);
		bool same = other->peer_id == link->peer_id && other->hello.kind == link->hello.kind;
		bool older_process =
			other->peer_id == link->peer_id && !life_equal(other->peer_life, link->peer_life);
		if (other != link && link_ready(other) && (same || older_process)) {
			link_drop(other);
		}
	}
	struct peer *peer = transport_find(transport, link->peer_id);
	for (size_t i = 0; peer != NULL && i < DIALED; i++) {
		if (link_ready(&peer->links[i]) && peer->links[i].peer_life.start < link->peer_life.start) {
			link_drop(&peer->links[i]);
		}
	}
}

/* It stays so, whoever dials again: said once. */
static void say_too_old(struct transport *transport, const struct link *link, struct life remembered)
{
	struct peer *peer = transport_find(transport, link->peer_id);
	if (!peer->too_old_said) {
		log_event(transport->config.log, LOG_ERROR, "peer_remembers_too_old",
			  "peer=%llu start=%llu ours=%llu only the last %d starts can be proved: it does not "
			  "let us in any more",
			  (unsigned long long)link->peer_id, (unsigned long long)remembered.start,
			  (unsigned long long)link->hello.life.start, LIVES_OWN_MAX);
	}
	peer->too_old_said = true;
}

/* The one we dialed says which life of ours it remembers. */
static enum link_verdict judge_us(struct transport *transport, struct link *link, const struct hello *hello)
{
	assert(link->dialed);
	assert(link->hello.life.start > 0);
	if (life_equal(hello->seen, link->hello.life)) {
		return LINK_WELCOME;
	}
	if (hello->seen.start == 0) {
		return LINK_REFUSED; /* it remembers first, and answers then */
	}
	switch (lives_lived(transport->lives, hello->seen)) {
	case LIVES_LIVED:
		link->hello.seen = hello->seen;
		return LINK_ASKS;
	case LIVES_UNKNOWN:
		say_too_old(transport, link, hello->seen);
		return LINK_REFUSED;
	case LIVES_NEVER:
		break;
	}
	transport->config.events->forgotten(transport->config.owner, link->peer_id, hello->seen);
	return LINK_REFUSED;
}

/* One that dialed us: may it be who it says? */
static enum link_verdict judge_them(struct transport *transport, struct link *link, const struct hello *hello)
{
	struct life known = lives_of(transport->lives, hello->from_id);
	assert(!link->dialed);
	assert(link->peer_id == hello->from_id);
	assert(life_equal(link->peer_life, hello->life));
	if (life_equal(known, hello->life)) {
		drop_older(transport, link);
		return LINK_WELCOME;
	}
	if (known.start != 0 && !life_equal(known, hello->seen)) {
		link->hello.seen = known; /* prove that you have lived that */
		return LINK_ASKS;
	}
	return lives_remember(transport->lives, hello->from_id, hello->life) ? LINK_WAITS : LINK_REFUSED;
}

/* ---- what is said of those who may not ---- */

/* The one for this refusal, or the one to write it over. */
static struct refusal *refusal_find(struct transport *transport, const struct hello *hello, const char *why)
{
	struct refusal *oldest = &transport->refusals[0];
	for (size_t i = 0; i < REFUSALS_KEPT; i++) {
		struct refusal *refusal = &transport->refusals[i];
		if (refusal->why == why && refusal->cluster_id == hello->cluster_id &&
		    refusal->from_id == hello->from_id) {
			return refusal;
		}
		oldest = refusal->said_us < oldest->said_us ? refusal : oldest;
	}
	*oldest = (struct refusal){.cluster_id = hello->cluster_id, .from_id = hello->from_id};
	return oldest;
}

/* It came in: the next refusal is news. */
static void refusals_forget(struct transport *transport, const struct hello *hello)
{
	for (size_t i = 0; i < REFUSALS_KEPT; i++) {
		if (transport->refusals[i].from_id == hello->from_id &&
		    transport->refusals[i].cluster_id == hello->cluster_id) {
			transport->refusals[i] = (struct refusal){0};
		}
	}
}

static void say_refused(struct transport *transport, const struct link *link, const struct hello *hello,
			const char *why)
{
	uint64_t now_us = env_now_us(transport->config.env);
	struct refusal *refusal = refusal_find(transport, hello, why);
	bool due = refusal->why == NULL || now_us - refusal->said_us >= REFUSAL_AGAIN_US;
	if (!due || !transport_may_say(transport)) {
		refusal->silent++;
		return;
	}
	log_event(transport->config.log, LOG_WARN, "peer_refused",
		  "address=%s cluster=%llx from=%llu to=%llu kind=%u start=%llu again=%llu %s",
		  env_stream_peer(link->stream), (unsigned long long)hello->cluster_id,
		  (unsigned long long)hello->from_id, (unsigned long long)hello->to_id, hello->kind,
		  (unsigned long long)hello->life.start, (unsigned long long)refusal->silent, why);
	refusal->why = why;
	refusal->said_us = now_us;
	refusal->silent = 0;
}

void transport_refused_version(struct transport *transport, const struct link *link)
{
	/* Nothing that it says of itself can be read. */
	struct hello unknown = {.from_id = link->peer_id};
	say_refused(transport, link, &unknown,
		    "its build has another format between members than ours: every node must have the same "
		    "build");
}

enum link_verdict transport_greeted(struct link *link, const struct hello *hello)
{
	struct transport *transport = link->owner;
	enum link_verdict verdict = LINK_REFUSED;
	const char *wrong = keeps_out(transport, link, hello);
	bool alike = hello->members == 0 || transport->members == 0 || hello->members == transport->members;
	if (transport->closing) {
		return LINK_REFUSED;
	}
	if (wrong == NULL && alike) {
		verdict =
			link->dialed ? judge_us(transport, link, hello) : judge_them(transport, link, hello);
	}
	if (verdict != LINK_REFUSED) {
		refusals_forget(transport, hello);
		return verdict;
	}
	transport->stats.frames_bad++;
	/* What another remembers of us was said where it was judged. */
	bool said = wrong == NULL && alike && link->dialed && hello->seen.start != 0;
	if (!said) {
		say_refused(transport, link, hello,
			    wrong != NULL ? wrong
			    : alike       ? "its lives do not fit"
				    : "its member lines are not ours: they must be the same on every node");
	}
	return LINK_REFUSED;
}

/* Whom a write was to remember may come in; after a failure none of them, and they dial again. */
void transport_remembered(void *owner, int status)
{
	struct transport *transport = owner;
	assert(transport->started);
	if (status != 0 && transport_may_say(transport)) {
		log_event(transport->config.log, LOG_ERROR, "peer_not_remembered",
			  "reason=\"%s\" its connection is refused until it can be", err_name(status));
	}
	list_for_each (at, &transport->accepted) {
		struct link *link = list_entry(at, struct link, siblings);
		if (link->state != LINK_GREETING || !link->waiting) {
			continue;
		}
		if (life_equal(lives_of(transport->lives, link->peer_id), link->peer_life)) {
			drop_older(transport, link);
			link_welcome(link);
		} else if (status != 0) {
			link_drop(link);
		}
	}
}
