"""Sends requests as fast as they are answered: with wrk, or where it is not installed with our own client."""

import asyncio
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Request:
    token: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """Of one round. `failed`: no answer, or a status from 400 on."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio (wrk is not installed)"


def write(file: Path, requests: list[Request]) -> None:
    file.write_bytes(b"".join(one.token.encode() + b"\t" + one.body + b"\n" for one in requests))


def run(url: str, requests: Path, *, clients: int, seconds: int, core: int) -> Outcome:
    """One round in a process of its own, pinned to `core`."""
    if shutil.which("wrk"):
        command = [
            "wrk",
            "--threads=1",
            f"--connections={clients}",
            f"--duration={seconds}s",
            "--timeout=10s",
        ]
        command += [f"--script={SCRIPT}", url, "--", str(requests)]
    else:
        command = [sys.executable, __file__, url, str(requests), str(clients), str(seconds)]
    told = subprocess.run(
        ["taskset", "--cpu-list", str(core), *command], capture_output=True, text=True, check=True
    ).stdout
    return Outcome(**json.loads(told.strip().splitlines()[-1]))


# --- without wrk ------------------------------------------------------------------------------


async def _load(url: str, lines: list[bytes], clients: int, seconds: int) -> Outcome:
    address = urlsplit(url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    wires = [
        head.encode()
        + b"Authorization: Bearer "
        + token
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
        for token, _, body in (line.partition(b"\t") for line in lines)
    ]
    taken: list[float] = []
    failed = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while (start := time.perf_counter()) < began + seconds:
            writer.write(random.choice(wires))
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(
                line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            await reader.readexactly(int(length.partition(b":")[2]))
            taken.append((time.perf_counter() - start) * 1000)
            failed += int(answer[9:12]) >= 400
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    cuts = statistics.quantiles(taken, n=100)
    return Outcome(len(taken), time.perf_counter() - began, cuts[49], cuts[94], cuts[98], failed)


if __name__ == "__main__":
    _url, _file, _clients, _seconds = sys.argv[1:]
    _outcome = asyncio.run(_load(_url, Path(_file).read_bytes().splitlines(), int(_clients), int(_seconds)))
    print(json.dumps(vars(_outcome)))
