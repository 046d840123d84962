-- audit.check: does the shop add up? Reads everything in pages, writes nothing, reports what is wrong.
-- Call it without `resume`, then again with the `resume` it returned, until `done`.
--
-- The first page takes the pools and the last order number N at one moment; later pages look only at
-- orders up to N, so that it may run while the shop sells.
--   P1  campaign.out      = sum over slices (avail + held + committed)
--   P2  campaign.allotted = out + shipped + returned, of the campaign and of each slice
--   P3  units in orders   = sum over slices (held + committed + shipped)
--   P4  is nothing that is kept: campaign.status and order.flash_buy look at every slice when it is asked
--   Q1  0 <= units of a customer <= the largest per_customer so far; together they are the units in orders (when nothing was sold meanwhile)
--   N   order numbers 1 to N, each once
procedure {
  name = "audit.check",
  args = { resume = optional(text), limit = optional(int(1, 5000)) },
  result = { done = bool, checked = int, resume = optional(text),
             violations = list(record { rule = text, key = text, expected = int, actual = int }) },
}

local LIVE = { PENDING_PAYMENT = true, CONFIRMED = true, PROCESSING = true, COMPLETED = true, CLOSED = true }

local function pack(state)
  local lines = { table.concat({ state.phase, state.last, state.count, state.sum, state.squares, state.a, state.b }, "\t") }
  for name, tally in pairs(state.campaigns) do
    lines[#lines + 1] = table.concat({ name, tally.expected, tally.ordered, tally.bought }, "\t")
  end
  return table.concat(lines, "\n")
end

local function unpack_state(text)
  local state
  for line in text:gmatch("[^\n]+") do
    local f = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do f[#f + 1] = field end
    if state == nil then
      state = { phase = f[1], last = tonumber(f[2]), count = tonumber(f[3]), sum = tonumber(f[4]), squares = tonumber(f[5]),
                a = f[6], b = f[7], campaigns = {} }
      if f[7] == nil or not (state.last and state.count and state.sum and state.squares) then
        fail("VALIDATION", { argument = "resume" })
      end
    else
      state.campaigns[f[1]] = { expected = tonumber(f[2]), ordered = tonumber(f[3]), bought = tonumber(f[4]) }
    end
  end
  return state or fail("VALIDATION", { argument = "resume" })
end

return function(call)
  local violations, checked = {}, 0
  local function expect(rule, key, expected, actual)
    checked = checked + 1
    if expected ~= actual and #violations < 1000 then
      violations[#violations + 1] = { rule = rule, key = key, expected = expected, actual = actual }
    end
  end

  local function pools()
    local state = { phase = "orders", last = sequence("order", 0), count = 0, sum = 0, squares = 0, a = "", b = "",
                    campaigns = {} }
    for sale in db.campaign:scan() do
      local inside, live, shipped, slices = 0, 0, 0, 0
      for slice in db.slice:scan(sale.campaign) do
        local key = sale.campaign .. "/" .. slice.sku
        local here = slice.avail + slice.held + slice.committed
        expect("P2", key, slice.allotted, here + slice.shipped + slice.returned)
        inside, shipped, slices = inside + here, shipped + slice.shipped, slices + 1
        live = live + slice.held + slice.committed + slice.shipped
      end
      expect("P1", sale.campaign, sale.out, inside)
      expect("P2", sale.campaign, sale.allotted, sale.out + shipped + sale.returned)
      expect("slices", sale.campaign, sale.slices, slices)
      state.campaigns[sale.campaign] = { expected = live, ordered = 0, bought = 0 }
    end
    return state
  end

  local function orders(state, limit)
    local options = { limit = limit }
    if state.a ~= "" then options.after = { state.a } end
    local seen = 0
    for order in db.order:scan(options) do
      seen, state.a = seen + 1, order.order_id
      local number = order.number
      if number <= state.last then
        state.count, state.sum, state.squares = state.count + 1, state.sum + number, state.squares + number * number
        local tally = state.campaigns[order.campaign]
        if tally == nil then
          expect("P3", order.campaign, 0, order.qty)
        elseif LIVE[order.state] then
          tally.ordered = tally.ordered + order.qty
        end
      end
    end
    checked = checked + seen
    if seen == limit then return end
    local n = state.last
    expect("N count", "order", n, state.count)
    expect("N sum", "order", n * (n + 1) // 2, state.sum)
    local squares = 0
    -- n (n+1) (2n+1) / 6 without leaving 64 bits on the way: one of the factors takes each divisor.
    local x, y, z = n, n + 1, 2 * n + 1
    if x % 2 == 0 then x = x // 2 else y = y // 2 end
    if x % 3 == 0 then x = x // 3 elseif y % 3 == 0 then y = y // 3 else z = z // 3 end
    squares = x * y * z
    expect("N squares", "order", squares, state.squares)
    for name, tally in pairs(state.campaigns) do expect("P3", name, tally.expected, tally.ordered) end
    state.phase, state.a, state.b = "purchases", "", ""
  end

  local function purchases(state, limit)
    local options = { limit = limit }
    if state.a ~= "" then options.after = { state.a, state.b } end
    local seen, name, max = 0, nil, 0
    for bought in db.purchase:scan(options) do
      seen = seen + 1
      state.a, state.b = bought.campaign, bought.customer
      if name ~= state.a then
        local sale = db.campaign:get(state.a)
        name, max = state.a, sale and math.max(sale.per_customer, sale.most_per_customer) or 0
      end
      if bought.units > max then expect("Q1", name .. "/" .. state.b, max, bought.units) end
      local tally = state.campaigns[name]
      if tally then tally.bought = tally.bought + bought.units end
    end
    checked = checked + seen
    if seen == limit then return end
    if sequence("order", 0) == state.last then
      for campaign, tally in pairs(state.campaigns) do expect("Q1 sum", campaign, tally.ordered, tally.bought) end
    end
    state.phase = "done"
  end

  local limit = call.limit or 2000
  local state = call.resume == nil and pools() or unpack_state(call.resume)
  if state.phase == "purchases" then purchases(state, limit) else orders(state, limit) end
  local done = state.phase == "done"
  return { done = done, checked = checked, resume = not done and pack(state) or nil, violations = violations }
end
