"""What every program here has in common. `scenario` prints what one scenario saw, as a line of JSON for test/clients/run.ts."""

import asyncio
import contextlib
import inspect
import json
import sys
import traceback

SECOND = "And what will the weather be tomorrow?"
FLAGGED = "Say what must not be said."
WEATHER = "sunny, 21 degrees"
# One loop for all scenarios: clients keep connections that belong to the loop which opened them.
LOOP = asyncio.new_event_loop()


def first(city: str) -> str:
    """Only this question names the city, so the second one needs what the client kept."""
    return f"How is the weather in {city}?"


def get_weather(city: str) -> str:
    """The weather of a city

    Args:
        city: The name of the city
    """
    return WEATHER


def scenario(name, work):
    try:
        # What a client prints is no fact.
        with contextlib.redirect_stdout(sys.stderr):
            facts = work()
            if inspect.isawaitable(facts):
                facts = LOOP.run_until_complete(facts)
    except Exception:
        facts = {"error": traceback.format_exc()}
    print(json.dumps({"scenario": name, **(facts or {})}), flush=True)
