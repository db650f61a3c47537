#!/usr/bin/env python3
"""Joins the rounds of a peer and of sinter_bench into one Markdown table (no packages needed).

  compare.py --peer FILE... [--sinter FILE...]

Each figure is the median over the rounds of the rounds' medians, in us per step. The peer's
configuration is chosen after the rounds are joined, so that one lucky round does not pick it.
"""
import argparse
import json
import pathlib
import statistics
import sys


def load(files):
    return [json.loads(pathlib.Path(f).read_text()) for f in files]


def joined(entries, field="us_median"):
    return statistics.median(e[field] for e in entries)


def best_config(entries):
    """The configuration with the smallest joined median, and that median."""
    times = {c: joined([e["configs"][c] for e in entries]) for c in entries[0]["configs"]}
    best = min(times, key=times.get)
    return best, times[best]


def cell(value, form="{:.3f}"):
    return "-" if value is None else form.format(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--sinter", nargs="*", default=[], metavar="FILE")
    args = parser.parse_args()
    peers, sinters = load(args.peer), load(args.sinter)

    name = peers[0]["peer"]
    print(f"| workload | Sinter us | {name} us | peer / Sinter | % of floor | peer's best |")
    print("|---|---|---|---|---|---|")
    impossible = []
    keys = list(peers[0]["workloads"])
    keys += [k for k in (sinters[0]["workloads"] if sinters else {}) if k not in keys]
    for key in keys:
        ours = [s["workloads"][key] for s in sinters if key in s["workloads"]]
        theirs = [p["workloads"][key] for p in peers if key in p["workloads"]]
        us = joined(ours) if ours else None
        config, peer_us = best_config(theirs) if theirs else ("-", None)
        ratio = peer_us / us if us and peer_us else None
        floor = joined(ours, "floor_us") / us * 100 if us and "floor_us" in ours[0] else None
        if floor and floor > 100:
            impossible.append(key)
        print(f"| {key} | {cell(us)} | {cell(peer_us)} | {cell(ratio, '{:.2f}x')} "
              f"| {cell(floor, '{:.0f}')} | {config} |")
    if sinters and sinters[0].get("machine"):
        print("\nmachine: " + ", ".join(f"{k} {v}" for k, v in sinters[0]["machine"].items()))
    if impossible:
        sys.exit("faster than the floor, so the bench is wrong: " + ", ".join(impossible))


if __name__ == "__main__":
    main()
