/* Values for people: money and times by the names of their fields, the rest as it is. */
#ifndef CLIENT_TOOL_PRINT_H
#define CLIENT_TOOL_PRINT_H

#include <stdint.h>
#include <stdio.h>

#include "client/tally.h"

/* Names of the fields that a procedure declares as money (whole minor units); borrowed from nobody. */
struct print_money {
	char names[16][64];
	size_t count;
	char bundle[80];   /* "commerce@7", "" when unknown */
	char currency[16]; /* $TALLY_CURRENCY, else CNY */
};
/* From a map of field names to types as TALLY BUNDLE LIST tells them. */
void print_money_init(struct print_money *money, const struct tally_value *types);

/* A map on one line, `name value · name value`; anything else as print_value. money may be NULL. */
void print_result(FILE *out, const struct tally_value *value, uint64_t wall_ms,
		  const struct print_money *money);
/* As redis-cli would: nested lists and maps over lines. */
void print_value(FILE *out, const struct tally_value *value);
/* ` name=value name=value` of an error's details. */
void print_details(FILE *out, const struct tally_value *details);
/* Bytes with \xNN for what a terminal should not get. */
void print_text(FILE *out, const char *text, size_t len);
/* "14 min 59 s", "340 ms" */
const char *print_duration(uint64_t ms, char *room, size_t size);
/* "412 us", "1.3 ms", "2.41 s" */
const char *print_us(uint64_t us, char *room, size_t size);
/* "12,345" */
const char *print_count(uint64_t count, char *room, size_t size);
/* Are words coloured and curves drawn? */
bool print_is_terminal(FILE *out);

#endif /* CLIENT_TOOL_PRINT_H */
