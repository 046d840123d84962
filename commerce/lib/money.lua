-- Sharing amounts so that the parts make the whole, to the last minor unit.
local money_lib = {}

-- Splits amount over weights by largest remainder, ties to the earlier one.
function money_lib.split(amount, weights)
  local whole = 0
  for _, weight in ipairs(weights) do whole = money.plus(whole, weight) end
  local parts, rests, left = {}, {}, amount
  for i, weight in ipairs(weights) do
    parts[i] = money.share(amount, weight, whole)
    rests[i] = { place = i, rest = money.times(amount, weight) - money.times(parts[i], whole) }
    left = left - parts[i]
  end
  table.sort(rests, function(a, b) return a.rest > b.rest or (a.rest == b.rest and a.place < b.place) end)
  for i = 1, left do parts[rests[i].place] = parts[rests[i].place] + 1 end
  return parts
end

-- Parts per million of an amount, half up.
function money_lib.rate(amount, ppm)
  return money.share(money.plus(money.times(amount, ppm), 500000), 1, 1000000)
end

return money_lib
