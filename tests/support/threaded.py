"""The TCP proxy for tests that have no event loop of their own: it lives on a loop in a thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.proxy import Proxy, open_proxy


class ThreadedProxy:
    """A proxy that is told what to do from another thread."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy, self._loop = proxy, loop
        self.port = proxy.port

    def do(self, fault: Callable[[Proxy], None]) -> None:
        """`proxy.do(Proxy.refuse)`: done when this returns."""

        async def call() -> None:
            fault(self._proxy)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(60)


@contextmanager
def proxy_thread(target_port: int, target_host: str = "127.0.0.1") -> Iterator[ThreadedProxy]:
    """A proxy in front of `target_host:target_port`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    opened = open_proxy(target_port, target_host)
    proxy = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(60)
    try:
        yield ThreadedProxy(proxy, loop)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
