-- campaign.allot: gives a sale units of a SKU, or takes them back (qty < 0).
-- The first allotment of a campaign brings its terms; a later one may change them. Keeps P1, P2.
procedure {
  name = "campaign.allot", writes = true,
  once = "allot_id", keep = "success",
  args = { allot_id = id, campaign = id, sku = id, qty = int(-1000000000, 1000000000),
           from_ms = optional(int), until_ms = optional(int), per_customer = optional(int(1, 1000000)),
           price = optional(money(0, 9000000000000)), pay_ttl_ms = optional(int(1000, 2592000000)) },
  result = { avail = int, held = int, committed = int, allotted = int },
  fails = { INSUFFICIENT_STOCK = "conflict", TERMS_MISSING = "refused", WINDOW_EMPTY = "refused" },
  emits = { "campaign.allotted" },
}
return function(call)
  db.allotment:vacant(call.allot_id)
  local sale = db.campaign:get(call.campaign)
  local terms = {}
  for _, name in ipairs({ "from_ms", "until_ms", "per_customer", "price", "pay_ttl_ms" }) do
    terms[name] = call[name]
    if terms[name] == nil and sale == nil then fail("TERMS_MISSING", { missing = name }) end
  end
  local from_ms = terms.from_ms or sale.from_ms
  local until_ms = terms.until_ms or sale.until_ms
  if from_ms >= until_ms then fail("WINDOW_EMPTY", { from_ms = from_ms, until_ms = until_ms }) end

  local pool = db.slice:get(call.campaign, call.sku)
  local avail = pool and pool.avail or 0
  if avail + call.qty < 0 then fail("INSUFFICIENT_STOCK", { available = avail }) end
  local given = math.max(call.qty, 0)
  local back = math.max(-call.qty, 0)

  if terms.per_customer then
    terms.most_per_customer = sale and math.max(sale.per_customer, sale.most_per_customer, terms.per_customer)
                              or terms.per_customer
  end
  if sale == nil then
    terms.campaign = call.campaign
    db.campaign:insert(terms)
  elseif next(terms) ~= nil then
    db.campaign:update(call.campaign, terms)
  end
  db.campaign:add(call.campaign, { allotted = given, returned = back, out = call.qty, slices = pool and 0 or 1 })
  db.slice:add(call.campaign, call.sku, { avail = call.qty, allotted = given, returned = back })
  db.allotment:insert { allot_id = call.allot_id, campaign = call.campaign, sku = call.sku, qty = call.qty, at_ms = now_ms }

  local now = db.slice:need(call.campaign, call.sku)
  emit("campaign.allotted", call.campaign, now)
  return { avail = now.avail, held = now.held, committed = now.committed, allotted = now.allotted }
end
