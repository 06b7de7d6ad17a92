"""How available was each agent on a day, and what was the least available one doing?

    python examples/availability_of_a_day.py SOURCE DATE [ZONE]

SOURCE is a data directory, a lake, a published file or a server's URL, of one account.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

import polars as pl

import shiftlog

_HOUR = 3_600_000
_STATES = {0: "before first status", 1: "offline", 2: "online", 3: "back soon", 4: "away"}


def main(source: str, day: str, zone: str = "UTC") -> None:
    window = {"start": day, "end": str(date.fromisoformat(day) + timedelta(days=1)), "tz": zone}
    with shiftlog.open(source) as centre:
        names = {agent: name for (kind, agent), name in centre.names(**window).items() if kind == "agent"}
        agents = centre.metrics(by="agent", **window).sort("availability", nulls_last=True).collect()
        print(f"{centre.account} on {day} ({zone})")
        for agent, login, availability, occupancy in agents.select("agent_id", "login_ms", "availability", "occupancy").rows():
            busy = "" if occupancy is None else f", busy {occupancy:.1%} of that"
            print(f"{names.get(agent, agent)}: logged in {login / _HOUR:.2f} h, online {availability or 0:.1%}{busy}")
        if agents.height:
            least = agents["agent_id"][0]
            stretches = centre.intervals(agents=[least], **window).filter(pl.col("state") != 2).collect()
            print(f"{names.get(least, least)} was not online:")
            for state, start, end in stretches.select("state", "start", "end").rows():
                print(f"  {_STATES.get(state, 'unknown')} for {(end - start) / 60_000:.1f} min, from epoch ms {start}")


if __name__ == "__main__":
    main(*sys.argv[1:])
