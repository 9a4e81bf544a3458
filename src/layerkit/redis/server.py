"""Commands and scripts through a client of redis-py, answered in bytes."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from layerkit.redis.errors import DRIVER_ERRORS, translate


class Script:
    """Hold a Lua script and its name on the server.

    Args:
        text: The script.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Server:
    """Send commands through a client, however it is set to decode.

    Args:
        client: The client; it stays the caller's.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    @property
    def pool(self) -> object:
        """What keeps the client's connections."""
        return self._client.connection_pool

    def is_connected(self) -> bool:
        """Tell whether a connection is open, free or at work."""
        pool = vars(self._client.connection_pool)
        held = ("_available_connections", "_in_use_connections")
        return any(one.is_connected for name in held for one in pool.get(name, ()))

    async def call(self, *command: Any) -> Any:
        """Return the reply to *command*; texts are bytes.

        Raises:
            AppException: What ``translate`` makes of the client's error.
        """
        try:
            return await self._send(*command)
        except DRIVER_ERRORS as error:
            failure = translate(error)
            raise failure from error

    async def run(
        self, script: Script, keys: list[bytes], values: list[Any], *, commits: bool
    ) -> Any:
        """Return what *script* returns; the server keeps it after the first time.

        Args:
            script: The script.
            keys: Every key that it touches, all of one slot.
            values: Its other arguments.
            commits: True where an error leaves the outcome of a unit unknown.

        Raises:
            AppException: What ``translate`` makes of the client's error.
        """
        rest = (len(keys), *keys, *values)
        try:
            try:
                return await self._send("EVALSHA", script.sha1, *rest)
            except NoScriptError:
                return await self._send("EVAL", script.text, *rest)
        except DRIVER_ERRORS as error:
            failure = translate(error, commits=commits)
            raise failure from error

    async def _send(self, *command: Any) -> Any:
        execute: Callable[..., Awaitable[Any]] = self._client.execute_command
        return await execute(*command, **{NEVER_DECODE: True})


COMMIT: Final = Script("""
-- KEYS: the mark of this unit, then the key of each step in order.
-- ARGV: three numbers of steps, then what each needs.
-- A script is not undone when it fails: what may fail comes before the first write.
local commands = {'GET', 'TYPE', 'SET', 'DEL', 'SADD', 'SREM', 'ZADD', 'ZREM'}
for _, command in ipairs(commands) do
  if not redis.acl_check_cmd(command, KEYS[1]) then
    return redis.error_reply('NOPERM ' .. command)
  end
end
if redis.call('GET', KEYS[1]) then
  return {'done'}  -- the client has sent it again, its connection lost after the first
end
local k, a = 1, 3
local function key() k = k + 1; return KEYS[k] end
local function value() a = a + 1; return ARGV[a] end
-- 1. Each document is what the unit has read: the digest of it, '' for none.
for i = 1, tonumber(ARGV[1]) do
  local document = redis.call('GET', key())
  local digest = document and redis.sha1hex(document) or ''
  if digest ~= value() then return {'changed', i} end
end
-- 2. Each unique value is free, or held by one that has it or gives it up here.
for i = 1, tonumber(ARGV[2]) do
  local holder = redis.call('GET', key())
  local new, old = value(), value()
  if holder and holder ~= new and holder ~= old then return {'taken', i} end
end
-- 3. Each set is one.
local first_key, first_value = k, a
local kinds = {SADD = 'set', SREM = 'set', ZADD = 'zset', ZREM = 'zset'}
for _ = 1, tonumber(ARGV[3]) do
  local command, name = value(), key()
  if command ~= 'DEL' then value() end
  local kind = redis.call('TYPE', name).ok
  if kinds[command] and kind ~= 'none' and kind ~= kinds[command] then
    return redis.error_reply('WRONGTYPE ' .. name)
  end
end
-- 4. Write.
k, a = first_key, first_value
for _ = 1, tonumber(ARGV[3]) do
  local command, name = value(), key()
  if command == 'DEL' then redis.call('DEL', name)
  elseif command == 'ZADD' then redis.call('ZADD', name, 0, value())
  else redis.call(command, name, value()) end
end
redis.call('SET', KEYS[1], '', 'EX', 300)
return {'done'}
""")
"""Store a unit of work, or nothing of it."""

RAISE: Final = Script("""
-- A Lua number has 53 bits, so that long ones are compared as texts.
local last, given = redis.call('GET', KEYS[1]) or '0', ARGV[1]
if #given > #last or (#given == #last and given > last) then
  redis.call('SET', KEYS[1], given)
end
""")
"""Let generated keys go on from one that was given."""
