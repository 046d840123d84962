-- campaign.status: how a sale stands, over all its slices at one moment. Sold out is said only when
-- every slice is empty (P4).
procedure {
  name = "campaign.status",
  args = { campaign = id },
  result = { campaign = id, from_ms = int, until_ms = int, running = bool, sold_out = bool, price = money,
             per_customer = int, allotted = int, avail = int, held = int, committed = int, shipped = int, returned = int,
             slices = list(record { sku = id, avail = int, held = int, committed = int, shipped = int }) },
}
return function(call)
  local sale = db.campaign:need(call.campaign)
  local sum = { avail = 0, held = 0, committed = 0, shipped = 0 }
  local slices = {}
  for slice in db.slice:scan(call.campaign) do
    local line = { sku = slice.sku }
    for name in pairs(sum) do
      line[name] = slice[name]
      sum[name] = money.plus(sum[name], slice[name])
    end
    slices[#slices + 1] = line
  end
  return { campaign = call.campaign, from_ms = sale.from_ms, until_ms = sale.until_ms,
           running = sale.from_ms <= now_ms and now_ms < sale.until_ms, sold_out = sum.avail == 0,
           price = sale.price, per_customer = sale.per_customer, allotted = sale.allotted, returned = sale.returned,
           avail = sum.avail, held = sum.held, committed = sum.committed, shipped = sum.shipped, slices = slices }
end
