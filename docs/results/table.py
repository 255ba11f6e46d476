#!/usr/bin/env python3
"""results.jsonl of table.sh as the Markdown tables of docs/results.md: table.py OUT/results.jsonl"""
import json, sys

rows = {}
for line in open(sys.argv[1]):
    r = json.loads(line)
    rows.setdefault(r["method"], []).append(r)


def cell(values, digits=1):
    return " / ".join(f"{v:.{digits}f}" for v in values) or "-"


def table(columns, wanted):
    """columns: title -> function of a result, None where it has no such number; a column that nobody has is left out."""
    cells = {m: {t: [v for r in runs if (v := f(r)) is not None] for t, f in columns.items()} for m, runs in rows.items()}
    titles = [t for t in columns if any(c[t] for c in cells.values())]
    print("| method | " + " | ".join(titles) + " |\n|" + "---|" * (len(titles) + 1))
    for method, c in cells.items():
        if wanted(c):
            print(f"| {method} | " + " | ".join(cell(c[t], 2 if columns is gauges else 1) for t in titles) + " |")


scores = {"linear " * (i == 0) + t: (lambda r, i=i: r["linear"]["fractions"][i]["top1"]) for i, t in enumerate(("100 %", "50 %", "20 %"))}
scores |= {t: (lambda r, k=k: r["retrieve"][k]) for t, k in (("rank-1", "rank1"), ("rank-5", "rank5"), ("mAP", "mAP"))}
scores |= {f"{t}, other tracks": (lambda r, k=k: r["other_tracks"] and r["other_tracks"][k]) for t, k in (("rank-1", "rank1"), ("mAP", "mAP"))}
scores["linear on x_hat"] = lambda r: (r.get("reconstructed") or {}).get("top1")
gauges = {t: (lambda r, k=k: (r["last"] or {}).get(k)) for t, k in {
    "effective rank": "effective_rank", "unit std": "unit_std", "L_R": "L_R", "share perturbed": "selected_share",
    "rms(1-eta_bar)": "rms_one_minus_eta_bar", "noise eq. 5": "noise_to_signal_gradcam", "noise eq. 6": "noise_to_signal_lowvar"}.items()}
table(scores, lambda c: True)
print()
table(gauges, lambda c: any(c.values()))
