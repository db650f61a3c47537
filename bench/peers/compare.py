#!/usr/bin/env python3
"""Joins the rounds of a peer and of sinter_bench into one Markdown table (no packages needed).

  compare.py --peer FILE... [--sinter FILE...]

Each figure is the median over the rounds of the rounds' medians, in us per step, with the least of
all blocks in brackets. The peer's configuration is chosen after the rounds are joined, so that one
lucky round does not pick it. The share of the floor is that of the median. A `step` of Sinter always
returns its loss, so it stands beside the peer's `step` and its `step_read`.
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


def both(median, entries, config=None):
    if median is None:
        return "-"
    least = min((e["configs"][config] if config else e)["us_min"] for e in entries)
    return f"{cell(median)} ({cell(least)})"


def first_steps(files):
    """{workload/first_step_ms: (joined median, least)} of the rounds that have it."""
    keys = {k for f in files for k in f.get("first_step", {})}
    found = {k: [f["first_step"][k] for f in files if k in f.get("first_step", {})] for k in keys}
    return {k: (joined(e, "ms_median"), min(x["ms_min"] for x in e)) for k, e in found.items()}


def print_first_steps(peers, sinters, name):
    ours, theirs = first_steps(sinters), first_steps(peers)
    if not ours and not theirs:
        return
    print(f"\n| new process to first trained step | Sinter ms | {name} ms | peer / Sinter |")
    print("|---|---|---|---|")
    for key in sorted(ours.keys() | theirs.keys()):
        cells = [f"{e[key][0]:.0f} ({e[key][1]:.0f})" if key in e else "-" for e in (ours, theirs)]
        ratio = theirs[key][0] / ours[key][0] if key in ours and key in theirs else None
        print(f"| {key.split('/')[0]} | {cells[0]} | {cells[1]} | {cell(ratio, '{:.0f}x')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--sinter", nargs="*", default=[], metavar="FILE")
    args = parser.parse_args()
    peers, sinters = load(args.peer), load(args.sinter)

    name = peers[0]["peer"]
    print(f"| workload | Sinter us | {name} us | peer / Sinter | floor us | % of floor "
          "| peer's best |")
    print("|---|---|---|---|---|---|---|")
    impossible = []
    keys = list(peers[0]["workloads"])
    keys += [k for k in (sinters[0]["workloads"] if sinters else {}) if k not in keys]
    for key in keys:
        own = key.removesuffix("_read")
        ours = [s["workloads"][own] for s in sinters if own in s["workloads"]]
        theirs = [p["workloads"][key] for p in peers if key in p["workloads"]]
        us = joined(ours) if ours else None
        config, peer_us = best_config(theirs) if theirs else ("-", None)
        ratio = peer_us / us if us and peer_us else None
        # The least floor: other programs make a machine seem slower, never faster.
        floor = min((e["floor_us"] for e in ours), default=None)
        if floor and floor > us:
            impossible.append(key)
        print(f"| {key} | {both(us, ours)} | {both(peer_us, theirs, config)} "
              f"| {cell(ratio, '{:.2f}x')} | {cell(floor)} "
              f"| {cell(floor and floor / us * 100, '{:.1f}')} | {config} |")
    print_first_steps(peers, sinters, name)
    if sinters and sinters[0].get("machine"):
        print("\nmachine: " + ", ".join(f"{k} {v}" for k, v in sinters[0]["machine"].items()))
    if impossible:
        sys.exit("faster than the floor, so the bench is wrong: " + ", ".join(impossible))


if __name__ == "__main__":
    main()
