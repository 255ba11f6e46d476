#!/bin/sh
# plumage and PyTorch in turn, on this machine, in one sitting: sh bench/compare.sh BUILD PYTHON [ROUNDS]
# PyTorch gets huge pages and a heap that is never given back, its best setting. Prints the table of docs/performance.md:
# medians over the rounds. Means something only on a machine that does nothing else.
set -eu
build=$1 python=$2 rounds=${3:-3} here=$(dirname "$0")
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
peer() {
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_MMAP_THRESHOLD_=17179869184 MALLOC_TRIM_THRESHOLD_=17179869184 \
    MALLOC_TOP_PAD_=268435456 "$python" "$here/torch_step.py" "$@"
}
round=0
while [ "$round" -lt "$rounds" ]; do
  round=$((round + 1))
  for work in "resnet50 224 16 supervised 3" "resnet18 64 128 moco 5" "resnet18 64 64 full 4" "resnet50 224 16 full 2" "resnet50 224 16 forward 9"; do
    set -- $work
    set -- --arch "$1" --px "$2" --batch "$3" --step "$4" --steps "$5"
    echo "plumage $("$build/bench/step" "$@" --json)" >> "$lines"
    echo "pytorch $(peer "$@")" >> "$lines"
    echo "round $round of $rounds: $work" >&2
  done
done
"$python" - "$lines" <<'P'
import collections, json, statistics, sys
runs = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    side, text = line.split(" ", 1)
    r = json.loads(text)
    runs[f"{r['arch']}, {r['px']} px, batch {r['batch']}, {r['step']}"][side].append(r)
print("| step | plumage images/s | PyTorch images/s | ratio | plumage MB | PyTorch MB | ratio | matmul GFLOP/s, theirs |\n" + "|---" * 8 + "|")
for work, sides in runs.items():
    a, b = (collections.defaultdict(float, {k: statistics.median(r[k] for r in sides[s]) for k in ("images_per_s", "peak_rss_mb", "matmul_gflops")}) for s in ("plumage", "pytorch"))
    print(f"| {work} | {a['images_per_s']:.1f} | {b['images_per_s']:.1f} | {a['images_per_s'] / b['images_per_s']:.2f} | {a['peak_rss_mb']:.0f} | {b['peak_rss_mb']:.0f} | "
          f"{a['peak_rss_mb'] / b['peak_rss_mb']:.2f} | {a['matmul_gflops']:.0f}, {b['matmul_gflops']:.0f} |")
P
