-- order.get: an order as it stands.
procedure {
  name = "order.get",
  args = { order_id = id },
  result = { order_id = id, number = int, campaign = id, sku = id, qty = int, customer = id, address_ref = optional(id),
             total = money, state = id, pay_by_ms = int },
}
return function(call)
  return db.order:need(call.order_id)
end
