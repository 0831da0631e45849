"""How many drivers want the same cluster: each says so in the head's key-value table, and listens to the others.

Nothing of it outlives the drivers but a key, which is heard no more once it stops changing; clocks are not compared.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from uuid import uuid4

from ray.experimental import internal_kv

TABLE = b"paredown"
PREFIX = b"driver-"
BEAT_SECONDS = 1.0
SILENT_SECONDS = 10.0  # after which a driver is taken to have ended


class Share:
    """This driver among those of its cluster."""

    def __init__(self) -> None:
        self._key = PREFIX + uuid4().hex.encode()
        self._beats = 0
        self._beaten = -math.inf
        self._heard: dict[bytes, tuple[bytes, float]] = {}  # what each said last, and when it was first heard
        self.drivers = 1

    def beat(self, *, hungry: bool) -> None:
        """Say, at most once a second, that this driver lives and whether it wants more; count those who do."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        self._beats += 1
        said = f"{self._beats} {'more' if hungry else 'enough'}".encode()
        internal_kv._internal_kv_put(self._key, said, overwrite=True, namespace=TABLE)
        others = [key for key in internal_kv._internal_kv_list(PREFIX, namespace=TABLE) if key != self._key]
        heard = {key: internal_kv._internal_kv_get(key, namespace=TABLE) or b"" for key in others}
        now = time.monotonic()
        self._heard = {
            key: self._heard[key] if self._heard.get(key, (b"", 0.0))[0] == word else (word, now)
            for key, word in heard.items()
        }
        alive = [key for key, (word, at) in self._heard.items() if now - at < SILENT_SECONDS and word.endswith(b"more")]
        self.drivers = 1 + len(alive)

    def leave(self) -> None:
        """Be counted no more; take along what drivers that died have left."""
        gone = [key for key, (_, at) in self._heard.items() if time.monotonic() - at > SILENT_SECONDS]
        for key in (self._key, *gone):
            with suppress(Exception):  # the cluster may be gone
                internal_kv._internal_kv_del(key, namespace=TABLE)
