"""What answers cost: a price per hour divided by what was answered in one."""

from __future__ import annotations

MILLION, SECONDS_PER_HOUR = 1e6, 3600.0


def cost_per_million(price_per_hour: float, rate_per_s: float) -> float | None:
    """Return the price of a million at a rate that is held all the time; None without a price or a rate.

    It is the price at that load: a machine that idles half of the day costs twice as much per answer.
    """
    if price_per_hour <= 0 or rate_per_s <= 0:
        return None
    return price_per_hour * MILLION / (rate_per_s * SECONDS_PER_HOUR)
