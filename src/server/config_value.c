/* What a setting's text means: numbers with units, addresses, members, words. */
#include "server/config_private.h"

#include "base/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void config_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);
	assert(len < size);
	memcpy(out, text, len + 1);
}

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit size_units[] = {
	{"", 1}, {"B", 1}, {"KiB", KIB(1)}, {"MiB", MIB(1)}, {"GiB", (uint64_t)1 << 30}, {NULL, 0}};
static const struct unit us_units[] = {{"us", 1},
				       {"ms", 1000},
				       {"s", 1000000},
				       {"m", (uint64_t)60 * 1000000},
				       {"h", (uint64_t)3600 * 1000000},
				       {"d", DAY_MS * 1000},
				       {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

/* Why text is not a number of one of the units; NULL when it is. */
static const char *parse_number(const char *text, const struct unit *units, const char *units_text,
				uint64_t *value)
{
	uint64_t number = 0;
	const char *at = text;
	if (*at == '-') {
		return "is negative";
	}
	for (; *at >= '0' && *at <= '9'; at++) {
		if (number > (UINT64_MAX - 9) / 10) {
			return "is too large";
		}
		number = number * 10 + (uint64_t)(*at - '0');
	}
	if (at == text) {
		return "is not a number";
	}
	for (; units->name != NULL; units++) {
		if (strcmp(at, units->name) == 0) {
			if (number > UINT64_MAX / units->factor) {
				return "is too large";
			}
			*value = number * units->factor;
			return NULL;
		}
	}
	return units_text;
}

/* In the largest unit that makes it a whole number. */
static void print_number(char *out, size_t size, const struct unit *units, uint64_t value)
{
	const struct unit *best = units;
	for (; units->name != NULL; units++) {
		if (value > 0 && value % units->factor == 0 && units->factor >= best->factor) {
			best = units;
		}
	}
	snprintf(out, size, "%" PRIu64 "%s", value / best->factor, best->name);
}

static const char *out_of_range(const struct config_key *key, char room[CONFIG_WHY])
{
	bool time = key->kind == KIND_MS || key->kind == KIND_US;
	const struct unit *units = time ? us_units : key->kind == KIND_SIZE ? size_units : plain_units;
	uint64_t factor = key->kind == KIND_MS ? 1000 : 1;
	char least[32], most[32];
	print_number(least, sizeof least, units, key->min * factor);
	print_number(most, sizeof most, units, key->max * factor);
	snprintf(room, CONFIG_WHY, "is not between %s and %s", least, most);
	return room;
}

/* "host:port", port 1 to 65535. Why not, or NULL. */
static const char *check_address(const char *text, size_t max)
{
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	if (strlen(text) >= max) {
		return "is too long";
	}
	if (colon == NULL || colon == text) {
		return "is not host:port";
	}
	if (strpbrk(text, " \t,=") != NULL) {
		return "is not host:port";
	}
	if (memchr(text, ':', (size_t)(colon - text)) != NULL && (text[0] != '[' || colon[-1] != ']')) {
		return "is not host:port (write an IPv6 address as [address]:port)";
	}
	if (parse_number(colon + 1, plain_units, "", &port) != NULL || port < 1 || port > 65535) {
		return "has no port between 1 and 65535";
	}
	return NULL;
}

static bool has_address(const struct node_member *member, const char *address)
{
	return strcmp(member->peer, address) == 0 || strcmp(member->client, address) == 0;
}

/* "ID=PEER,CLIENT" */
static const char *add_member(struct node_config *config, const char *text)
{
	struct node_member member;
	char copy[320];
	memset(&member, 0, sizeof member);
	if (strlen(text) >= sizeof copy) {
		return "is too long";
	}
	config_text(copy, sizeof copy, text);
	char *peer = strchr(copy, '=');
	char *client = peer == NULL ? NULL : strchr(peer, ',');
	if (client == NULL) {
		return "is not ID=PEER,CLIENT";
	}
	*peer++ = '\0';
	*client++ = '\0';
	client += strspn(client, " \t");
	const char *wrong = parse_number(copy, plain_units, "has no number before the =", &member.id);
	if (wrong != NULL || member.id < 1 || member.id > 1u << 30) {
		return "has no id between 1 and 1073741824 before the =";
	}
	if ((wrong = check_address(peer, sizeof member.peer)) != NULL ||
	    (wrong = check_address(client, sizeof member.client)) != NULL) {
		return wrong;
	}
	if (strcmp(peer, client) == 0) {
		return "names one address for both";
	}
	config_text(member.peer, sizeof member.peer, peer);
	config_text(member.client, sizeof member.client, client);
	if (config->member_count == LIMIT_MEMBERS) {
		return "is one member too many (9 at most)";
	}
	size_t at = config->member_count;
	for (size_t i = 0; i < config->member_count; i++) {
		if (config->members[i].id == member.id) {
			return "names an id that another member has";
		}
		if (has_address(&config->members[i], member.peer) ||
		    has_address(&config->members[i], member.client)) {
			return "names an address that another member has";
		}
		if (config->members[i].id > member.id && at == config->member_count) {
			at = i;
		}
	}
	memmove(&config->members[at + 1], &config->members[at], (config->member_count - at) * sizeof member);
	config->members[at] = member;
	config->member_count++;
	return NULL;
}

static const char *set_text(char *field, size_t size, const char *text)
{
	if (text[0] == '\0') {
		return "is empty";
	}
	if (strlen(text) >= size) {
		return "is too long";
	}
	for (const char *at = text; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f) {
			return "holds a control character";
		}
	}
	config_text(field, size, text);
	return NULL;
}

const char *config_value(struct node_config *config, const struct config_key *key, const char *text,
			 char room[CONFIG_WHY])
{
	void *field = (char *)config + key->offset;
	const char *wrong = NULL;
	uint64_t value = 0;
	switch (key->kind) {
	case KIND_TEXT:
		return set_text(field, key->size, text);
	case KIND_ADDRESS:
		wrong = check_address(text, key->size);
		return wrong != NULL ? wrong : set_text(field, key->size, text);
	case KIND_MEMBER:
		return add_member(config, text);
	case KIND_LEVEL:
		return log_level_parse(text, field) ? NULL : "is none of debug, info, warn, error";
	case KIND_BOOL:
		if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
			return "is neither yes nor no";
		}
		*(bool *)field = text[0] == 'y';
		return NULL;
	case KIND_INT:
		wrong = parse_number(text, plain_units, "takes no unit", &value);
		break;
	case KIND_SIZE:
		wrong = parse_number(text, size_units, "has a wrong unit; sizes are bytes, KiB, MiB or GiB",
				     &value);
		break;
	case KIND_MS:
	case KIND_US:
		wrong = parse_number(text, us_units, "has a wrong unit; times carry us, ms, s, m, h or d",
				     &value);
		break;
	}
	if (wrong != NULL) {
		return wrong;
	}
	if (key->kind == KIND_MS) {
		if (value % 1000 != 0) {
			return "is finer than a millisecond";
		}
		value /= 1000;
	}
	if (value < key->min || value > key->max) {
		return out_of_range(key, room);
	}
	*(uint64_t *)field = value;
	return NULL;
}
