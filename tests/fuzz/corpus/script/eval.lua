local a, n = ARGV[1] .. "\-x" .. 1 .. 2, #KEYS
local goto = [==[ .. ]] ]==] -- a .. b
if n ~= 0 then return a .. n .. 'it\'s' end
--[[ .. ]] return {goto, ".." .. a}
