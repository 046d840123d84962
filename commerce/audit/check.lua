-- audit.check: does the shop add up? Reads everything in pages, writes nothing, reports what is wrong.
-- Call it without `resume`, then again with the `resume` it returned, until `done`.
--
-- Campaigns are gone through in the order of their names, as many at once as `resume` holds sums of: all of them,
-- until a shop has had some hundreds. The first page of these takes their pools and the last order number N at one
-- moment; later pages look only at orders up to N, so that it may run while the shop sells.
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

-- What a portion of campaigns may take: of `resume` (65,536 bytes) and, as a slice counts for 4, of a call's steps.
local ROOM = 60000
-- Behind every id, which is UTF-8.
local LAST = "\255"
local LIVE = { PENDING_PAYMENT = true, CONFIRMED = true, PROCESSING = true, COMPLETED = true, CLOSED = true }

local function pack(state)
  local lines = { table.concat({ state.phase, state.last, state.count, state.sum, state.squares, state.a, state.b,
                                 state.from, state.to }, "\t") }
  for name, tally in pairs(state.campaigns) do
    lines[#lines + 1] = table.concat({ name, tally.expected, tally.ordered, tally.bought }, "\t")
  end
  return table.concat(lines, "\n")
end

local function whole(text)
  local number = tonumber(text or "")
  return math.type(number) == "integer" and number or fail("VALIDATION", { argument = "resume" })
end

local function unpack_state(text)
  local state
  for line in text:gmatch("[^\n]+") do
    local f = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do f[#f + 1] = field end
    if state == nil then
      if #f ~= 9 then fail("VALIDATION", { argument = "resume" }) end
      state = { phase = f[1], last = whole(f[2]), count = whole(f[3]), sum = whole(f[4]), squares = whole(f[5]),
                a = f[6], b = f[7], from = f[8], to = f[9], campaigns = {} }
    else
      state.campaigns[f[1]] = { expected = whole(f[2]), ordered = whole(f[3]), bought = whole(f[4]) }
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

  -- Of the campaigns behind `from`, up to `to`, which is "" when these are the last.
  local function pools(from)
    local state = { phase = "orders", last = sequence("order", 0), count = 0, sum = 0, squares = 0, a = "", b = "",
                    from = from, to = "", campaigns = {} }
    local room, name = ROOM, ""
    for sale in db.campaign:scan { after = from ~= "" and { from } or nil } do
      if room <= 0 then state.to = name break end
      name = sale.campaign
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
      state.campaigns[name] = { expected = live, ordered = 0, bought = 0 }
      room = room - #name - 64 - 4 * slices
    end
    return state
  end

  local function numbers(state)
    local n = state.last
    expect("N count", "order", n, state.count)
    expect("N sum", "order", n * (n + 1) // 2, state.sum)
    -- n (n+1) (2n+1) / 6 without leaving 64 bits on the way: one of the factors takes each divisor.
    local x, y, z = n, n + 1, 2 * n + 1
    if x % 2 == 0 then x = x // 2 else y = y // 2 end
    if x % 3 == 0 then x = x // 3 elseif y % 3 == 0 then y = y // 3 else z = z // 3 end
    expect("N squares", "order", x * y * z, state.squares)
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
          if state.from == "" and db.campaign:get(order.campaign) == nil then expect("P3", order.campaign, 0, order.qty) end
        elseif LIVE[order.state] then
          tally.ordered = tally.ordered + order.qty
        end
      end
    end
    checked = checked + seen
    if seen == limit then return end
    if state.from == "" then numbers(state) end
    for name, tally in pairs(state.campaigns) do expect("P3", name, tally.expected, tally.ordered) end
    state.phase, state.a, state.b = "purchases", "", ""
  end

  local function purchases(state, limit)
    local options = { limit = limit }
    if state.a ~= "" then
      options.after = { state.a, state.b }
    elseif state.from ~= "" then
      options.after = { state.from, LAST }
    end
    local seen, name, max = 0, nil, 0
    for bought in db.purchase:scan(options) do
      if state.to ~= "" and bought.campaign > state.to then break end
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
    state.phase = state.to == "" and "done" or "pools"
    state.from, state.campaigns = state.to, {}
  end

  local limit = call.limit or 2000
  local state = call.resume == nil and { phase = "pools", from = "" } or unpack_state(call.resume)
  if state.phase == "pools" then state = pools(state.from) end
  if state.phase == "purchases" then purchases(state, limit) else orders(state, limit) end
  local done = state.phase == "done"
  return { done = done, checked = checked, resume = not done and pack(state) or nil, violations = violations }
end
