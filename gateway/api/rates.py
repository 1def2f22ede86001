"""How much one caller may ask, and how many refused requests of one address are told of one by one."""

import time
from collections.abc import Mapping

from limits import RateLimitItemPerMinute
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.api.windows import RequestWindows
from gateway.errors import GatewayError
from gateway.settings import Settings


class RateLimitedError(GatewayError):
    """More requests than are admitted (RFC 6585 §4).

    Attributes:
        headers: ``Retry-After`` and the fields of draft-ietf-httpapi-ratelimit-headers.
    """

    reason = "rate_limited"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = dict(headers)


class Rates:
    """The rates of a gate, counted over all processes that share its state.

    Callers are counted once their signature is verified, so that nobody can use up another's share. Refused
    requests are counted by address: above the limit they are answered 429, and no longer fill the ledger one by
    one. Behind a proxy all of them have its address; verified callers are never held up by that.
    """

    def __init__(self, settings: Settings, windows: RequestWindows) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(windows)
        self._callers = RateLimitItemPerMinute(settings.requests_per_minute)
        self._refusals = RateLimitItemPerMinute(settings.refusals_per_minute)

    def admit(self, caller: str) -> None:
        """Count a verified request of a caller.

        Raises:
            RateLimitedError: There were too many within a minute.
        """
        if not self._limiter.hit(self._callers, "caller", caller):
            raise self._limited(self._callers, "caller", caller)

    def refuse(self, address: str) -> None:
        """Count a request that proved nothing.

        Raises:
            RateLimitedError: There were too many from this address within a minute.
        """
        if not self._limiter.hit(self._refusals, "refused", address):
            raise self._limited(self._refusals, "refused", address)

    def _limited(self, limit: RateLimitItemPerMinute, name: str, who: str) -> RateLimitedError:
        window = self._limiter.get_window_stats(limit, name, who)
        wait = max(1, int(window.reset_time - time.time()) + 1)
        return RateLimitedError(
            f"too many requests (expected at most {limit.amount} a minute)",
            {
                "Retry-After": str(wait),
                "RateLimit-Policy": f'"{name}";q={limit.amount};w=60',
                "RateLimit": f'"{name}";r=0;t={wait}',
            },
        )
