#!/bin/sh
# A short set of timings: ops beside the machine's rates, whole steps, the input pipeline, evaluation. Under 5 minutes on two cores.
set -eu
build=$1
"$build/bench/ops"
echo
"$build/bench/weights"
for step in "--arch resnet18 --px 64 --batch 128 --step moco" "--arch resnet18 --px 64 --batch 64 --step full" \
            "--arch resnet50 --px 224 --batch 16 --step supervised"; do
  echo
  # shellcheck disable=SC2086
  "$build/bench/step" $step --steps 3
done
echo
"$build/bench/pipeline" --seconds 0.3
echo
"$build/bench/eval" --items 8000
