#!/usr/bin/env python3
"""Applies each edit of mutants.py to a copy of the step, builds the simulator with it, and wants it
to be found: within --seeds seeds, by a trace that shrinks to --events events or fewer.

    run.py [--seeds N] [--events N] [--cc CC] [--generated DIR] [--trace] [NAME]...

Prints the seeds until each was found. Exit 1: one was not, or an edit no longer applies.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[3]
CORE = ROOT / "src" / "core"
# what decides, and what it keeps its books in
STEP = [f for f in sorted(CORE.glob("*.c")) if not f.name.startswith(("manager", "registry", "trace"))]
TRIES = 5
BASE = ("alloc", "error", "clock", "str")


def compile_file(args, source, out):
    command = [args.cc, "-std=c11", "-D_XOPEN_SOURCE=700", "-O1", "-w", "-c", str(source),
               "-o", str(out), f"-I{ROOT}/tests", f"-I{ROOT}/src", f"-I{ROOT}/include"]
    command += [f"-I{args.generated}"] if args.generated else []
    subprocess.run(command, check=True)


def build_all(args, folder):
    """The simulator and the step as they are: objects by the name of their source."""
    sources = [ROOT / "tests" / "sim" / "sim_core.c", *STEP]
    sources += [ROOT / "src" / "base" / f"{b}.c" for b in BASE]
    objects = {s.name: folder / f"{s.stem}.o" for s in sources}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda s: compile_file(args, s, objects[s.name]), sources))
    return objects


def link(args, objects, out):
    subprocess.run([args.cc, *map(str, objects.values()), "-o", str(out), "-lm", "-lpthread"],
                   check=True)


def hunt(args, program, first=1):
    r = subprocess.run([str(program), "--first", str(first), "--hunt", str(args.seeds)],
                       capture_output=True, text=True, timeout=300)
    return r.returncode, r.stdout


def smallest(args, program, said):
    """The seed that found it, why, and the fewest events: some traces do not shrink, others do."""
    found = None
    for _ in range(TRIES):
        seed, why = re.search(r"^seed (\d+): (.*)$", said, re.M).groups()
        events = int(re.search(r"^shrunk to (\d+) events", said, re.M)[1])
        if not found or events < found[2]:
            found = (found[0] if found else int(seed), why, events, said)
        if events <= args.events:
            break
        code, said = hunt(args, program, int(seed) + 1)
        if code != 3:
            break
    return found


def try_one(args, folder, objects, number, mutant):
    """A sentence, its trace, and whether it was found in time and became small."""
    name, old, new, _ = mutant
    there = {f: f.read_text().count(old) for f in STEP}
    if sum(there.values()) != 1:
        return f"{name}: the edit no longer applies, its text is there {sum(there.values())} times", "", False
    file = max(there, key=there.get)
    text = file.read_text()
    source, out = folder / f"m{number}.c", folder / f"m{number}.o"
    source.write_text(text.replace(old, new))
    try:
        compile_file(args, source, out)
    except subprocess.CalledProcessError:
        return f"{name}: the edit no longer compiles", "", False
    program = folder / f"m{number}"
    link(args, {**objects, file.name: out}, program)
    code, said = hunt(args, program)
    if code != 3:
        return f"{name}: not found within {args.seeds} seeds", said, False
    seed, why, events, said = smallest(args, program, said)
    good = events <= args.events
    return f"{name:36} {seed:5} seeds, {events:3} events: {why}", said, good


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seeds", type=int, default=2000)
    p.add_argument("--events", type=int, default=30)
    p.add_argument("--cc", default=os.environ.get("CC", "cc"))
    p.add_argument("--generated", help="the folder of generated headers")
    p.add_argument("--trace", action="store_true", help="print the shrunk traces too")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    chosen = [m for m in MUTANTS if not args.names or m[0] in args.names]
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        objects = build_all(args, folder)
        link(args, objects, folder / "unchanged")
        code, said = hunt(args, folder / "unchanged")
        if code != 0:
            print(f"the step as it is: {said}")
            return 1
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(
                lambda m: try_one(args, folder, objects, *m), enumerate(chosen)))
    bad, seeds = 0, []
    for sentence, said, good in results:
        print(sentence if good else f"FAILED {sentence}")
        if args.trace or not good:
            print(said)
        bad += not good
        seeds += [int(n) for n in re.findall(r" (\d+) seeds, ", sentence)] if good else []
    print(f"measure 1: {len(chosen)} mutants, {len(chosen) - bad} found, the last at seed {max(seeds, default=0)}, "
          f"and shrunk to {args.events} events or fewer")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
