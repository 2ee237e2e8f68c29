# expect: deadlock
import asyncio
await asyncio.Event().wait()
