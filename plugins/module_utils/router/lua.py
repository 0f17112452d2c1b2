# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy has no directive for, as its Lua program: waiting for a replica, limits of a body, counts by key. Private.

Sources: HAProxy's Lua API (``doc/lua-api``): actions and services since 1.6, a state for each thread since 2.4, filters since
2.5. A state for each thread it must be: with one for all, versions before 2.6.17 and 2.8.8 mix up the filters of requests under
load (HAProxy's "missing lock in hlua_filter_new").
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER

PROGRAM = (
    f"-- {HEADER}\n"
    + r"""-- Each thread has its own state of this program. What others must know is in variables of the process.

local thread, threads = core.thread, nil
local names = {}
for name in (os.getenv("FULLRANK_ROUTER_KEYS") or ""):gmatch("%S+") do
    names[#names + 1] = name
end

local function each_thread(get, what, show)
    threads = threads or tonumber(core.get_info().Nbthread)
    for number = 1, threads do
        local value = get("proc." .. what .. "_" .. number)
        if value then
            show(value)
        end
    end
end

local function clock()
    local now = core.now()
    return now.sec + now.usec / 1000000
end

-- Requests of this thread that wait, and when each was last seen to. HAProxy ends the action of a client that leaves at its next
-- sleep, and nothing of it runs after that: a place that was not seen for so long is free.
local GONE = 1
local places, looked = {}, 0

local function publish_places(txn)
    local now, number = clock(), 0
    looked = now
    for place, seen in pairs(places) do
        if now - seen > GONE then
            places[place] = nil
        else
            number = number + 1
        end
    end
    txn:set_var("proc.waiting_" .. thread, ("%d %.3f"):format(number, now))
end

-- Of all threads; one on which all have left tells nothing new.
local function waiting(context)
    local sum, now = 0, clock()
    each_thread(function(name) return context:get_var(name) end, "waiting", function(value)
        local number, at = value:match("^(%S+) (%S+)$")
        if now - tonumber(at) <= GONE then
            sum = sum + tonumber(number)
        end
    end)
    return sum
end

-- A request waits here while no replica is ready. Arguments: backend, most waiting requests, most seconds. At least a second: a
-- replica that has just failed is known to have by then. It sets txn.waited to "no" (too many wait already), "late" or "yes".
core.register_action("wait", { "http-req" }, function(txn, backend, most, seconds)
    if waiting(txn) >= tonumber(most) then
        txn:set_var("txn.waited", "no")
        return
    end
    local place, waited, began = {}, "yes", clock()
    places[place] = began
    publish_places(txn)
    repeat
        core.msleep(100)
        local now = clock()
        places[place] = now
        if now - looked > GONE / 4 then
            publish_places(txn)
        end
        if now - began >= tonumber(seconds) and txn.f:nbsrv(backend) == 0 then
            waited = "late"
        end
    until waited == "late" or now - began >= 1 and txn.f:nbsrv(backend) > 0
    places[place] = nil
    publish_places(txn)
    txn:set_var("txn.waited", waited)
end, 3)

-- What is counted of a key: requests by status, seconds, tokens where the answer reports them. The name of the key, not the key.
local counts = {}
for number, name in ipairs(names) do
    counts[name] = { number = number, codes = {}, seconds = 0, prompt = 0, completion = 0, running = 0 }
end

local function publish(txn, count)
    local codes = {}
    for code, number in pairs(count.codes) do
        codes[#codes + 1] = code .. "=" .. number
    end
    local text = ("%d %.3f %d %d %s"):format(
        count.running, count.seconds, count.prompt, count.completion, table.concat(codes, ",")
    )
    txn:set_var("proc.count" .. count.number .. "_" .. thread, text)
end

-- An answer tells its tokens near its end, in its JSON or in the last event of a stream; Anthropic's API tells those of the
-- prompt in the first event. So much of both ends is kept. A longer number is none of tokens.
local KEPT, DIGITS = 4096, 9
local function reported(text, one, other)
    local last
    for _, name in ipairs({ one, other }) do
        for number in text:gmatch('"' .. name .. '"%s*:%s*(%d+)') do
            last = #number <= DIGITS and tonumber(number) or last
        end
    end
    return last
end

-- A request that goes no further, which filters do not see. Argument: the status.
core.register_action("refused", { "http-req" }, function(txn, code)
    local count = counts[txn:get_var("txn.team") or "none"]
    count.codes[code] = (count.codes[code] or 0) + 1
    publish(txn, count)
end, 1)

if core.register_filter then
    local Account = {}
    Account.__index = Account
    Account.id = "fullrank account"
    Account.flags = filter.FLT_CFG_FL_HTX

    -- Seconds so far without a ready replica, asked once a second.
    local sampled, downtime = 0, 0
    local function outage()
        local now = core.now().sec
        if now ~= sampled then
            sampled, downtime = now, core.backends.ready:get_stats().downtime or 0
        end
        return downtime
    end

    function Account.new(class)
        local own = { size = 0, tail = {}, kept = 0, bytes = class.bytes, patience = class.patience, began = clock() }
        return setmetatable(own, Account)
    end

    function Account.http_headers(self, txn, message)
        if not message.channel:is_resp() then
            self.count = counts[txn:get_var("txn.team") or ""]
            if self.count then
                self.count.running = self.count.running + 1
                publish(txn, self.count)
            end
        end
        filter.register_data_filter(self, message.channel)
    end

    -- A body whose size was not announced, or that comes slower than it may, ends the request. HAProxy up to 3.0 takes
    -- filter.ERROR here for "forward all" (it compares -1 with an unsigned number), but an error for what it is. While a request
    -- waits for a replica, what is larger than the buffers is not taken from its client: that time is not the client's.
    local function request(self, txn, arrived)
        if arrived <= 0 then
            return
        end
        self.size = self.size + arrived
        self.outage = self.outage or outage()
        local large, late = self.size > self.bytes, clock() - self.began > self.patience
        if large or late and clock() - self.began - (outage() - self.outage) > self.patience then
            txn:set_var("txn.ended", large and "large" or "late")
            error("a request was ended: its body is too large, or comes too slowly", 0)
        end
    end

    function Account.http_payload(self, txn, message)
        if not message.channel:is_resp() then
            return request(self, txn, message:input())
        end
        local text = self.count and message:body()
        if text and #text > 0 then
            self.head = self.head or text:sub(1, KEPT)
            self.tail[#self.tail + 1] = text
            self.kept = self.kept + #text
            while #self.tail > 1 and self.kept - #self.tail[1] >= KEPT do
                self.kept = self.kept - #table.remove(self.tail, 1)
            end
        end
    end

    function Account.end_analyze(self, txn, channel)
        local count = self.count
        if not channel:is_resp() or not count then
            return
        end
        self.count = nil
        count.running = count.running - 1
        local code = tostring(txn:get_var("txn.code") or 0)
        count.codes[code] = (count.codes[code] or 0) + 1
        count.seconds = count.seconds + clock() - self.began
        if self.head and code:match("^2") then
            local tail = table.concat(self.tail):sub(-KEPT)
            local function tokens(one, other)
                return reported(tail, one, other) or reported(self.head, one, other) or 0
            end
            count.prompt = count.prompt + tokens("prompt_tokens", "input_tokens")
            count.completion = count.completion + tokens("completion_tokens", "output_tokens")
        end
        publish(txn, count)
    end

    core.register_filter("account", Account, function(class, args)
        class.bytes, class.patience = tonumber(args[1]), tonumber(args[2])
        return class
    end)
end

-- The counts of all threads in Prometheus' text format.
core.register_service("keys", "http", function(applet)
    local function get(name)
        return applet:get_var(name)
    end
    local found = {}
    for number, name in ipairs(names) do
        local sum = { running = 0, seconds = 0, prompt = 0, completion = 0, codes = {} }
        each_thread(get, "count" .. number, function(value)
            local running, seconds, prompt, completion, codes = value:match("^(%S+) (%S+) (%S+) (%S+) (.*)$")
            sum.running, sum.seconds = sum.running + tonumber(running), sum.seconds + tonumber(seconds)
            sum.prompt, sum.completion = sum.prompt + tonumber(prompt), sum.completion + tonumber(completion)
            for code, requests in codes:gmatch("(%d+)=(%d+)") do
                sum.codes[code] = (sum.codes[code] or 0) + tonumber(requests)
            end
        end)
        found[name] = sum
    end
    local lines = {}
    local function metric(name, kind, help, show)
        lines[#lines + 1] = ("# HELP fullrank_router_%s %s"):format(name, help)
        lines[#lines + 1] = ("# TYPE fullrank_router_%s %s"):format(name, kind)
        for _, key in ipairs(names) do
            show(found[key], function(labels, value)
                local line = 'fullrank_router_%s{key="%s"%s} %s'
                lines[#lines + 1] = line:format(name, key, labels, value)
            end)
        end
    end
    metric("requests_total", "counter", "Requests by key and status; status 0 had no answer.", function(sum, add)
        for code, requests in pairs(sum.codes) do
            add((',code="%s"'):format(code), requests)
        end
    end)
    metric("request_seconds_total", "counter", "Seconds that requests took, to their last byte.", function(sum, add)
        add("", ("%.3f"):format(sum.seconds))
    end)
    metric("tokens_total", "counter", "Tokens that answers reported.", function(sum, add)
        add(',kind="prompt"', ("%d"):format(sum.prompt))
        add(',kind="completion"', ("%d"):format(sum.completion))
    end)
    metric("requests_running", "gauge", "Requests that are being answered.", function(sum, add)
        add("", ("%d"):format(sum.running))
    end)
    lines[#lines + 1] = "# HELP fullrank_router_requests_waiting Requests that wait for a replica to be ready."
    lines[#lines + 1] = "# TYPE fullrank_router_requests_waiting gauge"
    lines[#lines + 1] = ("fullrank_router_requests_waiting %d"):format(waiting(applet))
    local text = table.concat(lines, "\n") .. "\n"
    applet:set_status(200)
    applet:add_header("content-type", "text/plain; version=0.0.4")
    applet:add_header("content-length", tostring(#text))
    applet:start_response()
    applet:send(text)
end)
"""
)
