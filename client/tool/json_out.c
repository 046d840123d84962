#include "client/tool/json_out.h"

#include <stdio.h>

#include "wire/json.h"

static void json_out_items(struct buf *out, const struct tally_value *value, bool map)
{
	buf_append_byte(out, map ? '{' : '[');
	for (size_t i = 0; i < tally_value_count(value); i++) {
		if (i > 0) {
			buf_append_byte(out, ',');
		}
		if (map) {
			size_t len = 0;
			const char *key = tally_value_key_at(value, i, &len);
			json_write_text(out, slice_of(key != NULL ? key : "", len));
			buf_append_byte(out, ':');
		}
		json_out_value(out, tally_value_at(value, i));
	}
	buf_append_byte(out, map ? '}' : ']');
}

void json_out_value(struct buf *out, const struct tally_value *value)
{
	size_t len = 0;
	const char *text;
	switch (tally_value_type(value)) {
	case TALLY_NIL:
		buf_append_text(out, "null");
		return;
	case TALLY_BOOL:
		buf_append_text(out, tally_value_int(value, 0) != 0 ? "true" : "false");
		return;
	case TALLY_INT:
		json_write_int(out, tally_value_int(value, 0));
		return;
	case TALLY_FLOAT:
		json_write_real(out, tally_value_float(value, 0));
		return;
	case TALLY_TEXT:
		text = tally_value_text(value, &len);
		json_write_text(out, slice_of(text, len));
		return;
	case TALLY_LIST:
		json_out_items(out, value, false);
		return;
	case TALLY_MAP:
		json_out_items(out, value, true);
		return;
	}
}

void json_out_name(struct buf *out, const char *name)
{
	if (out->len > 0 && out->data[out->len - 1] != '{') {
		buf_append_byte(out, ',');
	}
	json_write_text(out, slice_str(name));
	buf_append_byte(out, ':');
}

void json_out_text(struct buf *out, const char *name, const char *text)
{
	json_out_name(out, name);
	json_write_text(out, slice_str(text));
}

void json_out_int(struct buf *out, const char *name, int64_t value)
{
	json_out_name(out, name);
	json_write_int(out, value);
}

void json_out_ms(struct buf *out, const char *name, uint64_t us)
{
	json_out_name(out, name);
	buf_appendf(out, "%llu.%03llu", (unsigned long long)us / 1000, (unsigned long long)us % 1000);
}

void json_out_bool(struct buf *out, const char *name, bool value)
{
	json_out_name(out, name);
	buf_append_text(out, value ? "true" : "false");
}

void json_out_print(struct buf *out)
{
	fwrite(out->data, 1, out->len, stdout);
	fputc('\n', stdout);
	buf_fini(out);
}

void json_out_print_value(const struct tally_value *value)
{
	struct buf out;
	buf_init(&out, SIZE_MAX / 4);
	json_out_value(&out, value);
	json_out_print(&out);
}
