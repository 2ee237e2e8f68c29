"""Monty's worker as FastMCP's code mode starts it for each run, or leased from a pool: peers in the benchmark.

usage: monty_worker.py fastmcp|pool
Prints one line of JSON: milliseconds of runs, microseconds from one call's answer to the next call.
"""

import time

BEGAN = time.perf_counter()

import asyncio
import json
import os
import sys

CALLS = "for i in range(300):\n    await echo(k=i)\n1"
last: float | None = None
trips: list[float] = []


async def echo(**arguments: int) -> dict[str, int]:
    """Gives its arguments back."""
    global last
    if last is not None:
        trips.append((time.perf_counter() - last) * 1e6)
    last = time.perf_counter()
    return arguments


def private_kib() -> int:
    """Memory of this process's children for themselves alone."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as children:
            pids = children.read().split()
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    return total


async def measure(run, idle_kib: int | None) -> None:
    async def ms() -> float:
        began = time.perf_counter()
        await run("1")
        return (time.perf_counter() - began) * 1e3

    await ms()
    cold = [(time.perf_counter() - BEGAN) * 1e3]
    warm = []
    for _ in range(100):
        await asyncio.sleep(0.005)
        warm.append(await ms())
    row = [await ms() for _ in range(200)]
    await run(CALLS)
    began, count = time.perf_counter(), 0

    async def client() -> None:
        nonlocal count
        while time.perf_counter() - began < 3:
            await run("1")
            count += 1

    await asyncio.gather(*[client() for _ in range(4)])
    per_second = count / (time.perf_counter() - began)
    times = {"cold_ms": cold, "warm_ms": warm, "sequence_ms": row, "trip_us": trips}
    print(json.dumps({**times, "idle_kib": idle_kib, "per_second": per_second}))


async def fastmcp() -> None:
    from fastmcp.experimental.transforms.code_mode import MontySandboxProvider

    provider = MontySandboxProvider()

    async def run(code: str) -> None:
        # Its programs are bodies of functions in the transform; here they are bare.
        await provider.run(code, external_functions={"echo": echo})

    await measure(run, None)


async def pool() -> None:
    import pydantic_monty

    async with pydantic_monty.AsyncMonty() as workers:

        async def run(code: str) -> None:
            async with workers.checkout() as session:
                await session.feed_run(code, external_lookup={"echo": echo})

        async with workers.checkout() as session:
            await session.feed_run("1")
            idle_kib = private_kib()
        await measure(run, idle_kib)


asyncio.run(fastmcp() if sys.argv[1] == "fastmcp" else pool())
