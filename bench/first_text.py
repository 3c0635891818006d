#!/usr/bin/env python3
"""Seconds from the start of a process to the first byte on its standard output, as JSON.

usage: first_text.py WHO COMMAND...
"""
import json
import subprocess
import sys
import time


def main(args):
    start = time.perf_counter()
    with subprocess.Popen(args[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          bufsize=0) as p:
        byte = p.stdout.read(1)
        taken = time.perf_counter() - start
        p.stdout.read()
    if not byte or p.wait() != 0:
        sys.exit(f"{args[0]}: no text (exit {p.returncode})")
    print(json.dumps({"who": args[0], "wall_s": round(taken, 4)}))


if __name__ == "__main__":
    main(sys.argv[1:])
