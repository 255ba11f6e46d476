#!/usr/bin/env python3
"""results.jsonl of table.sh as the Markdown tables of docs/results.md: table.py OUT/results.jsonl"""
import json, sys

rows = {}
for line in open(sys.argv[1]):
    r = json.loads(line)
    rows.setdefault(r["method"], []).append(r)


def cell(values):
    return f"{values[0]:.1f}" if len(values) == 1 else " / ".join(f"{v:.1f}" for v in values)


print("| method | linear 100 % | 50 % | 20 % | rank-1 | rank-5 | mAP | rank-1, other tracks | mAP, other tracks | seconds |")
print("|---|---|---|---|---|---|---|---|---|---|")
for method, runs in rows.items():
    fractions = [[f["top1"] for f in (r["linear"]["fractions"][i] for r in runs)] for i in range(3)]
    retrieve = [[r["retrieve"][k] for r in runs] for k in ("rank1", "rank5", "mAP")]
    tracks = [[r["other_tracks"][k] for r in runs] for k in ("rank1", "mAP")]
    seconds = [float(r["seconds"]) for r in runs]
    print("| " + " | ".join([method] + [cell(v) for v in fractions + retrieve + tracks] + [cell(seconds) if any(seconds) else "-"]) + " |")

print("\n| method | effective rank | unit std | L_R | share perturbed | rms(1-eta_bar) | noise eq. 5 | noise eq. 6 |")
print("|---|---|---|---|---|---|---|---|")
keys = ["effective_rank", "unit_std", "L_R", "selected_share", "rms_one_minus_eta_bar", "noise_to_signal_gradcam", "noise_to_signal_lowvar"]
for method, runs in rows.items():
    last = [r["last"] for r in runs if r["last"]]
    if last:
        print("| " + " | ".join([method] + [" / ".join(f"{l[k]:.2f}" for l in last) if k in last[0] else "-" for k in keys]) + " |")
