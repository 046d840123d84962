/* bit: operations on 32 bits, as the BitOp library of Lua 5.1 has them
 * (bitop.luajit.org/semantics.html): results are signed, shifts take five bits of their count. */
#include <math.h>

#include <lauxlib.h>

#include "script/lua_redis.h"

/* Any number modulo 2^32; what is behind the point is rounded to the nearest even. */
static uint32_t check_bits(lua_State *L, int arg)
{
	if (lua_isinteger(L, arg)) {
		return (uint32_t)lua_tointeger(L, arg);
	}
	double number = luaL_checknumber(L, arg);
	if (!isfinite(number)) {
		return 0;
	}
	double rest = fmod(nearbyint(number), 4294967296.0);
	return (uint32_t)(int64_t)rest;
}

static int push_bits(lua_State *L, uint32_t bits)
{
	lua_pushinteger(L, (int32_t)bits);
	return 1;
}

static int bit_tobit(lua_State *L)
{
	return push_bits(L, check_bits(L, 1));
}

static int bit_bnot(lua_State *L)
{
	return push_bits(L, ~check_bits(L, 1));
}

static int bit_band(lua_State *L)
{
	uint32_t bits = check_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--) {
		bits &= check_bits(L, i);
	}
	return push_bits(L, bits);
}

static int bit_bor(lua_State *L)
{
	uint32_t bits = check_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--) {
		bits |= check_bits(L, i);
	}
	return push_bits(L, bits);
}

static int bit_bxor(lua_State *L)
{
	uint32_t bits = check_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--) {
		bits ^= check_bits(L, i);
	}
	return push_bits(L, bits);
}

static int bit_lshift(lua_State *L)
{
	return push_bits(L, check_bits(L, 1) << (check_bits(L, 2) & 31));
}

static int bit_rshift(lua_State *L)
{
	return push_bits(L, check_bits(L, 1) >> (check_bits(L, 2) & 31));
}

static int bit_arshift(lua_State *L)
{
	uint32_t bits = check_bits(L, 1), by = check_bits(L, 2) & 31;
	uint32_t sign = bits >> 31 != 0 && by > 0 ? ~(uint32_t)0 << (32 - by) : 0;
	return push_bits(L, bits >> by | sign);
}

static uint32_t rotate_left(uint32_t bits, uint32_t by)
{
	by &= 31;
	return by == 0 ? bits : bits << by | bits >> (32 - by);
}

static int bit_rol(lua_State *L)
{
	return push_bits(L, rotate_left(check_bits(L, 1), check_bits(L, 2)));
}

static int bit_ror(lua_State *L)
{
	return push_bits(L, rotate_left(check_bits(L, 1), 32 - (check_bits(L, 2) & 31)));
}

static int bit_bswap(lua_State *L)
{
	return push_bits(L, __builtin_bswap32(check_bits(L, 1)));
}

/* The count of digits may be any number (CVE-2024-31449): it is cut before it is used. */
static int bit_tohex(lua_State *L)
{
	uint32_t bits = check_bits(L, 1);
	int32_t count = lua_isnoneornil(L, 2) ? 8 : (int32_t)check_bits(L, 2);
	const char *digits = count < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
	uint32_t len = count < 0 ? 0 - (uint32_t)count : (uint32_t)count;
	if (len > 8) {
		len = 8;
	}
	char text[8];
	for (uint32_t i = len; i > 0; i--) {
		text[i - 1] = digits[bits & 15];
		bits >>= 4;
	}
	lua_pushlstring(L, text, len);
	return 1;
}

void lua_bit_open(lua_State *L)
{
	static const luaL_Reg functions[] = {{"tobit", bit_tobit},
					     {"tohex", bit_tohex},
					     {"bnot", bit_bnot},
					     {"band", bit_band},
					     {"bor", bit_bor},
					     {"bxor", bit_bxor},
					     {"lshift", bit_lshift},
					     {"rshift", bit_rshift},
					     {"arshift", bit_arshift},
					     {"rol", bit_rol},
					     {"ror", bit_ror},
					     {"bswap", bit_bswap},
					     {NULL, NULL}};
	lua_createtable(L, 0, 12);
	luaL_setfuncs(L, functions, 0);
}
