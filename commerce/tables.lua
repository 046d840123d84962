-- Tables of the commerce bundle. Columns are stored in this order; new ones go behind the last
-- and are optional or counts. A count cannot go below 0.
tables {
  -- A sale: its terms, and what was carved out of general stock for it. Written by campaign.allot
  -- alone, so that a storm of buyers reads one row that does not change.
  campaign = {
    key = { "campaign" }, hot = true,
    columns = {
      campaign = id, from_ms = int, until_ms = int, per_customer = int(1, 1000000), price = money(0, 9000000000000),
      pay_ttl_ms = int(1000, 2592000000),
      allotted = count,   -- ever carved out
      out = count,        -- carved out and neither shipped nor given back: P1
      returned = count,   -- given back to general stock
      slices = count,
      most_per_customer = count, -- the largest per_customer that it ever had: Q1
    },
  },
  -- The pool of one SKU in a campaign; what the buyers' storm writes: P3.
  slice = {
    key = { "campaign", "sku" },
    columns = { campaign = id, sku = id, avail = count, held = count, committed = count, shipped = count,
                allotted = count, returned = count },
  },
  -- One act of carving out or giving back, unique for ever.
  allotment = {
    key = { "allot_id" },
    columns = { allot_id = id, campaign = id, sku = id, qty = int, at_ms = int },
  },
  -- Units of a customer in live orders of a campaign, unpaid ones included: Q1.
  purchase = {
    key = { "campaign", "customer" },
    columns = { campaign = id, customer = id, units = count },
  },
  order = {
    key = { "order_id" },
    columns = {
      order_id = id, number = int(1, 9000000000000000), campaign = id, sku = id, qty = int(1, 1000000), customer = id,
      address_ref = optional(id), total = money(0, 9000000000000000), state = id, pay_by_ms = int,
    },
  },
}
