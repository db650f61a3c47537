#!/usr/bin/env python3
"""Joins what sinter_bench and the peers measured into a table, JSON and a bar chart (no packages).

  compare.py DIR      reads DIR/*.json of tools/bench.sh; writes DIR/table.md, all.json, ratios.svg

Each figure is the median over the rounds of the rounds' medians, in us per step, with the least of
all blocks in brackets. The peer's configuration is chosen after the rounds are joined, so that one
lucky round does not pick it. The ratio is that of the best framework, in whichever kind of call it
is quickest, to Sinter; the share of the floor is that of the median. A peer without figures is
"missing"; one that a workload does not ask for is "-". Exit 1 if a step seems faster than its floor.
"""
import json
import math
import pathlib
import statistics
import sys

# Each with those of its kinds of calls that have a column.
FRAMEWORKS = {"JAX": ["step", "steps"], "ORT": ["step", "steps"], "PyTorch": ["step"]}
WORKLOADS = json.loads((pathlib.Path(__file__).parents[1] / "workloads.json").read_text())
# In the order in which the workloads first ask for them.
HAND_BUILT = list(dict.fromkeys(p for w in WORKLOADS for p in w.get("hand_built", [])))


def load(folder):
    """{program: [result of each file]}; Sinter's own results are those without a peer's name."""
    found = {}
    for path in sorted(folder.glob("*.*.json")):
        result = json.loads(path.read_text())
        found.setdefault(result.get("peer", "Sinter"), []).append(result)
    return found


def of_key(results, key):
    return [r["workloads"][key] for r in results if key in r["workloads"]]


def joined(entries, field="us_median"):
    return statistics.median(e[field] for e in entries)


def best(results, key):
    """(us, least, configuration) of the configuration with the smallest joined median, or None."""
    entries = of_key(results, key)
    configs = {c for e in entries for c in e["configs"]}
    times = []
    for config in configs:
        own = [e["configs"][config] for e in entries if config in e["configs"]]
        times.append((joined(own), min(e["us_min"] for e in own), config))
    return min(times, default=None)


def goal_of(workload, optimizer, kind):
    goals = workload["goal"]
    return goals.get(f"{optimizer}/{kind}", goals.get(kind))


def rows_of(found):
    for workload in WORKLOADS:
        for optimizer in workload["optimizers"]:
            for kind in ("step", "steps"):
                name = f"{workload['name']}/{optimizer}"
                ours = of_key(found.get("Sinter", []), f"{name}/{kind}")
                if not ours:
                    continue
                row = dict(key=f"{name}/{kind}", us=joined(ours), least=min(e["us_min"] for e in ours),
                           # Other programs make a machine seem slower, never faster.
                           floor=min(e["floor_us"] for e in ours), bound=ours[0]["floor_bound"],
                           goal=goal_of(workload, optimizer, kind), peers={})
                for peer in FRAMEWORKS:
                    for call in ("step", "step_read", "steps"):
                        figure = best(found.get(peer, []), f"{name}/{call}")
                        if figure:
                            row["peers"][f"{peer} {call}"] = figure
                for peer in HAND_BUILT:
                    figure = best(found.get(peer, []), f"{name}/step")
                    if figure:
                        row["peers"][peer] = figure
                row["asked"] = workload.get("hand_built", [])
                frameworks = [(f[0], p, f[2]) for p, f in row["peers"].items() if p not in HAND_BUILT]
                if frameworks:
                    us, peer, config = min(frameworks)
                    row |= dict(best=f"{peer}, {config}", ratio=us / row["us"])
                yield row


def number(us):
    return f"{us:.3f}" if us < 10 else f"{us:.1f}" if us < 1000 else f"{us:.0f}"


def cell(row, peer):
    if peer in row["peers"]:
        us, least, _ = row["peers"][peer]
        return f"{number(us)} ({number(least)})"
    return "missing" if peer not in HAND_BUILT or peer in row["asked"] else "-"


def hand_built_cell(row, peer):
    text = cell(row, peer)
    return f"{text}, {row['peers'][peer][0] / row['us']:.2f}x" if peer in row["peers"] else text


def table(rows, found):
    calls = [f"{peer} {call}" for peer, shown in FRAMEWORKS.items() for call in shown]
    out = ["| us per step | Sinter | % of floor | " + " | ".join(calls) + " | best framework | ratio "
           "| goal | " + " | ".join(HAND_BUILT) + " |",
           "|---" * (6 + len(calls) + len(HAND_BUILT)) + "|"]
    for row in rows:
        cells = [row["key"], f"{number(row['us'])} ({number(row['least'])})",
                 f"{100 * row['floor'] / row['us']:.0f}", *(cell(row, c) for c in calls),
                 row.get("best", "missing"), f"**{row['ratio']:.2f}x**" if "ratio" in row else "-",
                 f"{row['goal']}x" if row["goal"] else "-",
                 *(hand_built_cell(row, p) for p in HAND_BUILT)]
        out.append("| " + " | ".join(cells) + " |")
    ratios = [r["ratio"] for r in rows if "ratio" in r and r["goal"]]
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        out += ["", f"Geometric mean of the {len(ratios)} rows with a goal: **{mean:.2f}x**."]
    return out + first_steps(found) + machine(found)


def first_steps(found):
    names = ["Sinter", *FRAMEWORKS]
    times = {}
    for name in names:
        for result in found.get(name, []):
            for key, entry in result.get("first_step", {}).items():
                times.setdefault(key.split("/")[0], {}).setdefault(name, []).append(entry)
    if not times:
        return []
    out = ["", "| W12, ms from process start to the first step | " + " | ".join(names) + " |",
           "|---" * (1 + len(names)) + "|"]
    for workload, of in sorted(times.items()):
        cells = [f"{joined(of[n], 'ms_median'):.0f} ({min(e['ms_min'] for e in of[n]):.0f})"
                 if n in of else "missing" for n in names]
        out.append(f"| {workload} | " + " | ".join(cells) + " |")
    return out


def machine(found):
    ours = found.get("Sinter", [])
    if not ours:
        return []
    versions = [f"{p} {found[p][0]['version']}" if p in found else f"{p} missing"
                for p in [*FRAMEWORKS, *HAND_BUILT]]
    gflops = max(r["limits"]["all_cores"]["gflops_registers"] for r in ours)
    where = ", ".join(str(v) for v in ours[0]["machine"].values())
    return ["", f"Machine: {where}; {gflops} GFLOP/s. {', '.join(versions)}."]


def chart(rows):
    """Bars of the ratios on a logarithmic scale, with a tick at each goal."""
    shown = [r for r in rows if "ratio" in r]
    height, left, unit = 22, 130, 110
    place = lambda x: left + unit * max(0.0, math.log2(x) + 1)
    width = place(max([64] + [r["ratio"] for r in shown])) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
           f'height="{height * (len(shown) + 2)}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="6" y="15">Best framework / Sinter (higher is better); tick: goal</text>']
    for i, row in enumerate(shown):
        y, end = height * (i + 1), place(row["ratio"])
        color = "#b04030" if row["ratio"] < 1 else "#3070a0"
        out.append(f'<text x="6" y="{y + 15}">{row["key"]}</text>')
        out.append(f'<rect x="{left}" y="{y + 3}" width="{end - left:.0f}" height="{height - 7}" '
                   f'fill="{color}"/>')
        out.append(f'<text x="{end + 8:.0f}" y="{y + 15}">{row["ratio"]:.2f}x</text>')
        if row["goal"]:
            x = place(row["goal"])
            out.append(f'<path d="M{x:.0f} {y + 1}v{height - 3}" stroke="black" stroke-width="2"/>')
    x, bottom = place(1), height * (len(shown) + 1)
    out.append(f'<path d="M{x} {height}V{bottom}" stroke="gray" stroke-dasharray="3"/>')
    out.append(f'<text x="{x - 8}" y="{bottom + 15}">1x</text></svg>')
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    folder = pathlib.Path(sys.argv[1])
    found = load(folder)
    rows = list(rows_of(found))
    if not rows:
        sys.exit(f"no figures of Sinter in {folder}")
    text = "\n".join(table(rows, found)) + "\n"
    print(text, end="")
    (folder / "table.md").write_text(text)
    limits = [r["limits"] for r in found["Sinter"]]
    (folder / "all.json").write_text(json.dumps(dict(rows=rows, limits=limits), indent=1) + "\n")
    (folder / "ratios.svg").write_text(chart(rows))
    impossible = [r["key"] for r in rows if r["least"] < r["floor"]]
    if impossible:
        sys.exit("faster than the floor, so the bench is wrong: " + ", ".join(impossible))


if __name__ == "__main__":
    main()
