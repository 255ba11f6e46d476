#!/usr/bin/env python3
"""The tables of bench/gpu_check.sh: python3 bench/gpu_report.py RESULTS [BATCH]

RESULTS: a JSON object a line, as bench/step and bench/torch_step.py print them, with "side": "plumage" or "pytorch".
"""
import json
import sys

from gpu_floor import level_table


def rows(file):
    with open(file) as lines:
        return [json.loads(line) for line in lines]


def speed_table(runs):
    print("| step | side | way | images/s | ms a step | peak MB | held MB |\n|---|---|---|---|---|---|---|")
    for r in runs:
        what = f"| {r['arch']}, {r['px']} px, batch {r['batch']}, {r['step']}, {r['dtype']} | {r['side']} | {r.get('way', 'eager')} |"
        memory = f"{r.get('peak_device_mb', '')} | {r.get('held_device_mb', '')} |"
        if "error" in r:
            print(f"{what} does not work here: {r['error'].replace('|', '/')} | | | |")
        else:
            print(f"{what} {r['images_per_s']:.1f} | {1e3 * r['step_s']:.2f} | {memory}")


def ratio_table(runs):
    """The fastest way of each side; memory is that way's."""
    print("\n| step | plumage images/s | PyTorch images/s | ratio | peak MB | PyTorch | ratio | matmul TFLOP/s | PyTorch |")
    print("|---|---|---|---|---|---|---|---|---|")
    for step in dict.fromkeys(r["step"] for r in runs):
        best = {}
        for r in runs:
            if r["step"] == step and "error" not in r:
                best[r["side"]] = max(best.get(r["side"], r), r, key=lambda x: x["images_per_s"])
        if len(best) < 2:
            print(f"| {step} | {'; '.join(f'only {s} ran' for s in best) or 'neither ran'} | | | | | | | |")
            continue
        a, b = best["plumage"], best["pytorch"]
        memory = [x.get("peak_device_mb", 0) for x in (a, b)]
        share = f"{memory[0] / memory[1]:.2f}" if memory[1] else ""
        print(f"| {step} | {a['images_per_s']:.1f} | {b['images_per_s']:.1f} ({b['way']}) | {a['images_per_s'] / b['images_per_s']:.2f} | {memory[0]} | "
              f"{memory[1]} | {share} | {a['matmul_gflops'] / 1e3:.1f} | {b['matmul_gflops'] / 1e3:.1f} |")


def family_table(r):
    total = sum(r["seconds"].values())
    print(f"\n{r['arch']}, batch {r['batch']}, {r['step']}: where the device's time goes, op by op, against the floor: each op at the longer of its "
          f"operations at {r['matmul_gflops'] / 1e3:.1f} TFLOP/s and its tensors' bytes, once each, at {r['copy_gbs'] / 1e3:.2f} TB/s, both of this run.")
    print("\n| kernels | ms | share | floor ms | of the floor |\n|---|---|---|---|---|")
    for family, seconds in r["seconds"].items():
        floor = r["floors"][family]
        print(f"| {family} | {1e3 * seconds:.2f} | {seconds / total:.1%} | {1e3 * floor:.2f} | {floor / seconds if seconds else 0:.2f} |")
    print(f"| the step | {1e3 * r['step_s']:.2f} | | {1e3 * r['floor_s']:.2f} | {r['floor_s'] / r['step_s']:.2f} |")


def main():
    runs = rows(sys.argv[1])
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    print("# plumage and PyTorch on this device\n")
    speed_table(runs)
    ratio_table(runs)
    ours = [r for r in runs if r["side"] == "plumage"]
    for r in ours:
        family_table(r)
    if ours:
        print(f"\nThe floor of docs/gpu-design.md at the rates of this run: ResNet-50, 224 pixels, {batch} images, forward + backward + SGD.\n")
        level_table(batch, 1e9 * ours[0]["matmul_gflops"], 1e9 * ours[0]["copy_gbs"])


if __name__ == "__main__":
    main()
