"""Programs of their own, for what happens to a whole process: signals, forks, its end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

BEGIN = """
import asyncio, gc, os, signal, sys, threading, time
import picobase
from picobase import AsyncClient, Client
URL, *ARGS = sys.argv[1:]
"""


def run(code: str, *arguments: str, seconds: float = 90, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    command = [sys.executable, "-X", "faulthandler", "-W", "error", "-c", BEGIN + textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env={**environment(), **variables})
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done


def environment() -> dict[str, str]:
    """This process's, with what it can import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
