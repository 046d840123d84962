procedure { name = "p", writes = true, args = { a = id, q = int(1, 9) }, result = { v = int } }
local t = { [[x]], "\z  y", 'z', 0x1f, --[==[ ]] ]==] }
return function(call)
  local r = db.order:need(call.a) -- r.qty
  db.slice:add(call.a, "s", { avail = -call.q, held = (r.qty), })
  if r.qty == call.q then return { v = r.qty; } elseif t then return { v = 1 // 2 } end
  for x in db.order:scan({ limit = 1 }) do emit("e", call.a, r) end
  return { v = ... }
end
