-- order.flash_buy: one buyer takes units of a campaign's pool. Keeps P1-P4 and Q1.
procedure {
  name = "order.flash_buy", writes = true,
  once = "order_id", keep = "success",   -- this argument is the request id; refusals leave no record
  args = { order_id = id, campaign = id, sku = id, customer = id, qty = int(1, 100), address_ref = optional(id) },
  result = { number = int, total = money, pay_by_ms = int, left = int },
  fails = { SALE_NOT_STARTED = "conflict", SALE_ENDED = "refused", PURCHASE_LIMIT_EXCEEDED = "refused",
            SOLD_OUT = "refused", INSUFFICIENT_STOCK = "conflict" },
  emits = { "order.placed", "campaign.sold_out" },
}
return function(call)
  db.order:vacant(call.order_id)                                -- else ALREADY_EXISTS
  local sale = db.campaign:need(call.campaign)                  -- absent: NOT_FOUND, naming table and key
  if now_ms < sale.from_ms then fail("SALE_NOT_STARTED", { from_ms = sale.from_ms }) end
  if now_ms >= sale.until_ms then fail("SALE_ENDED", { until_ms = sale.until_ms }) end
  local bought = db.purchase:get(call.campaign, call.customer)  -- limit before stock; nothing is deducted on trial
  local units = bought and bought.units or 0
  if units + call.qty > sale.per_customer then
    fail("PURCHASE_LIMIT_EXCEEDED", { bought = units, max = sale.per_customer })
  end
  local pool = db.slice:need(call.campaign, call.sku)
  if pool.avail == 0 then fail("SOLD_OUT") end
  if pool.avail < call.qty then fail("INSUFFICIENT_STOCK", { available = pool.avail }) end
  db.purchase:add(call.campaign, call.customer, { units = call.qty })
  db.slice:add(call.campaign, call.sku, { avail = -call.qty, held = call.qty })   -- a count column cannot go below 0
  local order = db.order:insert {                               -- insert, never put
    order_id = call.order_id, number = sequence("order"), campaign = call.campaign, sku = call.sku, qty = call.qty,
    customer = call.customer, address_ref = call.address_ref, total = money.times(sale.price, call.qty),
    state = "PENDING_PAYMENT", pay_by_ms = now_ms + sale.pay_ttl_ms }
  emit("order.placed", call.order_id, order)
  if pool.avail == call.qty then                                -- P4: a campaign is sold out when every slice is empty
    local some = false
    for slice in db.slice:scan(call.campaign) do some = some or slice.avail > 0 end
    if not some then emit("campaign.sold_out", call.campaign, { sku = call.sku }) end
  end
  return { number = order.number, total = order.total, pay_by_ms = order.pay_by_ms, left = pool.avail - call.qty }
end
