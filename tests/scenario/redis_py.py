#!/usr/bin/python3
"""redis-py against one node, as an application uses it: TAP, one sentence a line.

usage: redis_py.py PORT
"""
import sys
import threading

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

PORT = int(sys.argv[1])
count = 0


def ok(holds, sentence):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {sentence}", flush=True)


def refused(call):
    """The text of the error that call raises."""
    try:
        return f"no error: {call()!r}"
    except redis.ResponseError as error:
        return str(error)


def client(**options):
    return redis.Redis(port=PORT, db=1, decode_responses=True, client_name="shop", socket_timeout=20, **options)


r = client(health_check_interval=1)
r.flushdb()
ok(r.ping() and r.client_getname() == "shop", "it connects, under its name")
ok(r.set("a", 1) and r.get("a") == "1" and r.set("a", 2, nx=True) is None, "values are text")
ok(r.mset({"b": "2", "c": "ü"}) and r.mget("a", "c", "none") == ["1", "ü", None], "many at once")

pipe = r.pipeline(transaction=False)
for i in range(1000):
    pipe.set(f"k:{i}", i)
for i in range(1000):
    pipe.get(f"k:{i}")
ok(pipe.execute()[1000:] == [str(i) for i in range(1000)], "a pipeline of two thousand is answered in order")
mixed = r.pipeline().set("word", "x").incr("word").get("word").execute(raise_on_error=False)
ok(mixed[0] is True and isinstance(mixed[1], redis.ResponseError) and mixed[2] == "x", "an error has its place in EXEC")


def add_one():
    def body(pipe):
        value = int(pipe.get("sum"))
        pipe.multi()
        pipe.set("sum", value + 1)

    mine = client()
    for _ in range(10):
        mine.transaction(body, "sum")


r.set("sum", 0)
threads = [threading.Thread(target=add_one) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ok(r.get("sum") == "40", "four threads that WATCH and repeat lose no update")

with r.pipeline() as watched:
    watched.watch("a")
    r.set("a", "other")
    watched.multi()
    watched.set("a", "mine")
    try:
        watched.execute()
        ok(False, "a watched key that changed is a WatchError")
    except redis.WatchError:
        ok(r.get("a") == "other", "a watched key that changed is a WatchError")

script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
ok(script(keys=["n"], args=[5]) == 5, "a registered script runs by its digest")
r.script_flush()
ok(script(keys=["n"], args=[5]) == 10, "and is loaded again where it was forgotten")
with r.pipeline() as pipe:
    script(keys=["n"], args=[1], client=pipe)
    ok(pipe.execute() == [11], "also from a pipeline")

ok(sorted(r.scan_iter("k:*", count=100)) == sorted(f"k:{i}" for i in range(1000)), "scan_iter yields every key once")
with r.lock("lock", timeout=20) as lock:
    ok(not client().lock("lock", blocking=False).acquire() and lock.extend(5) and lock.owned(), "a lock has one owner")
ok(not r.exists("lock"), "and is gone when it is let go")
ok(r.expire("a", 100) and 0 < r.ttl("a") <= 100 and r.persist("a") and r.ttl("a") == -1, "keys expire and persist")
ok(r.getex("a", ex=10) == "other" and r.getdel("a") == "other" and r.get("a") is None, "getex and getdel")
ok(r.setbit("bits", 3, 1) == 0 and r.bitfield("bits").set("u8", 8, 255).get("u8", 8).execute() == [0, 255], "bits")

ok(r.info()["redis_version"] == "7.0.15" and r.config_get("databases") == {"databases": "16"}, "info and config_get")
ok(r.acl_whoami() == "default" and r.acl_getuser("default")["flags"] == ["on", "nopass"], "acl_whoami, acl_getuser")
ok(r.lastsave() is not None and r.module_list() == [] and r.slowlog_len() >= 0, "lastsave, module_list, slowlog_len")
ok(r.memory_usage("b") > 0 and r.memory_stats()["maxmemory"] > 0 and r.memory_purge(), "memory_usage and memory_stats")
ok(len(r.command()) == r.command_count() and r.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"], "command")
ok([c["name"] for c in r.client_list() if c["id"] == str(r.client_id())] == ["shop"], "client_list")
ok(refused(lambda: r.config_set("timeout", 1)).startswith("CONFIG SET failed"), "config_set is refused")
ok(refused(lambda: r.hset("h", "f", "v")).startswith("unknown command 'HSET'"), "a type that is not there is an error")
ok(refused(lambda: r.set("big", "v" * (8 << 20))).startswith("TOO_LARGE {"), "a value of 8 MiB is told to be too large")
ok(r.get("b") == "2", "and the client goes on")
try:
    redis.RedisCluster(host="127.0.0.1", port=PORT)
    ok(False, "RedisCluster is told that there is no cluster mode")
except redis.exceptions.RedisClusterException as error:
    ok("not enabled" in str(error), "RedisCluster is told that there is no cluster mode")

patient = client(retry=Retry(ConstantBackoff(0.1), 20), retry_on_error=[redis.ConnectionError])
me = patient.client_id()
ok(r.client_kill_filter(_id=me) == 1 and patient.get("b") == "2", "who is cut off connects again and repeats")
print(f"1..{count}", flush=True)
